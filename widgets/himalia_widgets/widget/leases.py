"""Which views are being looked at, as far as a kernel can know that is often busy.

A page's messages wait while a cell runs, so a view that says nothing may be there all the same.  Therefore the kernel
calls a roll only when its loop is free to hear the answers, and a view is forgotten only when it missed several: a
page that was closed without a word, and no page that waits.  Decides that and nothing else; reads no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PERIOD: Final = 3.0
"""Seconds between two rolls.  Jupyter asks its kernels as often whether they are alive (``time_to_dead``); a page left
behind costs pushes for 12 s."""
MISSES: Final = 3
"""Rolls that a view may miss.  A page in the background runs its timers once a minute, but answers messages."""


@dataclass(slots=True)
class Lease:
    """Of a view: one place of a page where the widget is shown."""

    tab: str
    roll: int
    """The last one that it answered."""


class Leases:
    """The views of one widget."""

    def __init__(self) -> None:
        self.views: dict[str, Lease] = {}
        self.roll = 0
        self.called_at = float("-inf")
        self._promised: int | None = None

    def promise(self) -> None:
        """Note that a view was asked for by a cell and may appear in a moment, or while the cell keeps the kernel."""
        # In rolls, not seconds: while a cell keeps the kernel none is called, and the promise stays.
        self._promised = self.roll

    def look(self, view: str, tab: str) -> None:
        """Note that a view shows this tab."""
        self._promised = None
        self.views[view] = Lease(tab, self.roll)

    def here(self, view: str, tab: str, roll: int) -> None:
        """Note that a view, which may have been forgotten, answers a roll, and shows this tab."""
        self.views[view] = Lease(tab, roll)

    def leave(self, view: str) -> None:
        """Note that a view is gone."""
        self.views.pop(view, None)

    def call(self, now: float) -> None:
        """Call the next roll, if it is time; only while the kernel could hear the answers."""
        if now - self.called_at < PERIOD:
            return
        self.called_at = now
        # Before the next number: a view has all of the time between two rolls to answer.
        self.views = {name: view for name, view in self.views.items() if self.roll - view.roll < MISSES}
        # A cell's output may never be shown: a notebook that runs without a page.
        if self._promised is not None and self.roll - self._promised >= MISSES:
            self._promised = None
        self.roll += 1

    @property
    def is_promised(self) -> bool:
        """Whether a view was asked for that hasn't reported yet."""
        return self._promised is not None

    @property
    def is_watched(self) -> bool:
        """Whether anybody may be looking."""
        return bool(self.views) or self.is_promised

    def shows(self, tab: str) -> bool:
        """Whether a view shows this tab."""
        return any(view.tab == tab for view in self.views.values())
