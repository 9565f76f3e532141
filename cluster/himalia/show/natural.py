"""The order in which people look for names that have numbers in them."""

from __future__ import annotations

import re
from typing import Final

READ: Final = 200
"""Characters that are looked at: a name of a million digits would take a while to become a number."""


def natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key by which ``worker-10`` comes after ``worker-9``.

    >>> sorted(["w-10", "w-9", "w"], key=natural)
    ['w', 'w-9', 'w-10']
    """
    pieces = [piece for piece in re.split(r"(\d+)", name[:READ]) if piece]
    # Pairs of one shape, since a number and a text can't be compared; texts come before all numbers.
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in pieces]
