"""The colours of what is drawn: one table, the same numbers in every view.

Bars carry a number, not a colour, so that they cross a wire as numbers; plots look them up in ``PALETTE``.  All are
readable on white and on black.  Red means failed and nothing else.  The first eight functions get hues that stay apart
for colour-blind people (after Okabe & Ito 2008, made fit for a dark ground); the others differ in lightness as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final
from zlib import crc32

ERROR: Final = 0
TRANSFER: Final = 1
DESERIALIZE: Final = 2
SERIALIZE: Final = 3
SPILL: Final = 4
UNSPILL: Final = 5
MIXED: Final = 6
"""Calls of more functions than can be told apart."""

_SPECIAL: Final = ("#d62f45", "#c98f86", "#a3acb8", "#78828f", "#9a7b4f", "#c9b184", "#8a94a0")
_FIRST: Final = ("#4a86c8", "#e39a2d", "#2ca37c", "#b478c8", "#55b5de", "#6f9f2f", "#dd7fae", "#6a70d6")
_SECOND: Final = (
    "#a8913a", "#3b8ea5", "#cc8a5c", "#8fa2c4", "#5fbf9f", "#8c63b5", "#d0b84a", "#b0697f",
    "#4f9a58", "#7c8fe0", "#c77a3a", "#4fb0b8", "#a77fa0", "#96a63c", "#5c7fa3", "#dba27c",
)  # fmt: skip

PALETTE: Final = (*_SPECIAL, *_FIRST, *_SECOND)
"""Colours by number."""
APART: Final = 42.0
"""Distance of colours that nobody takes for one another in a thin bar; found by looking at pairs of them."""


class Colors:
    """Which colour number each function has: drawn from its name, and moved on where another has it or one like it.

    Two views that were told of the same functions in the same order agree, and one colour means one function as long
    as there are colours.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._taken: set[int] = set()

    def number(self, name: str) -> int:
        """Return the index into ``PALETTE`` of this function."""
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = self._choose(name)
            self._taken.add(number)
        return number

    def color(self, name: str) -> str:
        """Return the colour of this function as ``#rrggbb``."""
        return PALETTE[self.number(name)]

    def with_others(self, others: Iterable[str]) -> dict[str, int]:
        """Return the numbers of these functions and of ``others``, which use up no colour here.

        An other one gets a colour that no function here has, or, where none is free, the grey of ``MIXED``.
        """
        extended = Colors()
        extended._numbers, extended._taken = dict(self._numbers), set(self._taken)
        for name in others:
            if name not in extended._numbers:
                is_full = len(extended._taken) == len(PALETTE) - len(_SPECIAL)
                extended._numbers[name] = MIXED if is_full else extended.number(name)
        return extended._numbers

    def _choose(self, name: str) -> int:
        # Not hash(), which is another one in each process. A name may have lone surrogates, which nothing encodes.
        place = crc32(name.encode("utf-8", "replace"))
        start = len(_SPECIAL)
        # All of the first before any of the second: those stay apart for colour-blind people.
        for tier in (_FIRST, _SECOND):
            order = (start + (place + step) % len(tier) for step in range(len(tier)))
            free = [number for number in order if number not in self._taken]
            if free:
                # The name's own place first, so that a function has the same colour in the next notebook, if it is free
                # there.
                return next((number for number in free if self._is_apart(number)), free[0])
            start += len(tier)
        # All are taken: this one is shared.
        return len(_SPECIAL) + place % (len(PALETTE) - len(_SPECIAL))

    def _is_apart(self, number: int) -> bool:
        """Whether a colour can be told at a glance from all that are taken."""
        return all(distance(PALETTE[number], PALETTE[other]) >= APART for other in self._taken)


def distance(color: str, other: str) -> float:
    """Return how different two colours look, roughly: 0 to 255, green counting most."""
    red, green, blue = (int(color[at : at + 2], 16) - int(other[at : at + 2], 16) for at in (1, 3, 5))
    return math.sqrt(0.3 * red**2 + 0.59 * green**2 + 0.11 * blue**2)
