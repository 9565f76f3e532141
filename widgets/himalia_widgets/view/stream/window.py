"""Stretches of time that are looked at."""

from __future__ import annotations

from typing import NamedTuple

from himalia_widgets.view.history import History


class Window(NamedTuple):
    """A stretch of time, epoch seconds."""

    start: float
    end: float

    @property
    def length(self) -> float:
        return self.end - self.start


def whole(history: History) -> Window:
    """Return the window that shows everything."""
    calls = history.calls
    # Of the calls that are kept: before those there would be nothing but an empty stretch.
    starts = calls["start"][calls["start"] > 0.0]
    first = float(starts.min()) if len(starts) else history.started or history.now - 1.0
    last = float(calls["end"].max()) if len(calls) else history.now
    # Never empty: lengths are divided by.
    return Window(first, max(last, history.now, first + 1e-3))
