"""How long a kernel has been free to hear its pages.

Their messages wait while a cell runs, also while one awaits something and the loop turns, and they wait behind all
cells that were queued before.
"""

from __future__ import annotations

import time

from IPython import get_ipython


class _Cells:
    """When the newest cell ended; infinitely late while it runs."""

    ended = float("-inf")


def watch() -> None:
    """Note from now on when cells run; to be called inside a cell."""
    shell = get_ipython()
    if shell is not None:
        # Registered once, however often: IPython looks. pre_execute also hears of code that is no cell.
        shell.events.register("pre_execute", _begin)
        shell.events.register("post_execute", _end)
        # The cell that calls this runs already.
        _begin()


def quiet() -> float:
    """Return for how many seconds no cell has run; negative while one does."""
    return time.monotonic() - _Cells.ended


def _begin() -> None:
    _Cells.ended = float("inf")


def _end() -> None:
    _Cells.ended = time.monotonic()
