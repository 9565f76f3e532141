"""What a task stream draws, as the columns of its sources: everything in a window, or only what is new.

Decides how much is said and when all is said again; which bars show a call is decided in ``view/stream/stream.py``.
"""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

import numpy as np

from himalia_widgets.plots.legend import Indices, legend, recent
from himalia_widgets.view.history import History
from himalia_widgets.view.stream import lanes, stream
from himalia_widgets.view.stream.marks import HEIGHT, Columns, join
from himalia_widgets.view.stream.window import Window

LIVE: Final = 60.0
"""Seconds that a live stream shows."""
PIXEL: Final = LIVE / 1500
"""Seconds of one of its pixels."""
ROLLOVER: Final = 10_000
"""Bars that a source is to hold at most where rows are appended (measured: a browser draws 10,000 at 50 frames/s)."""
BURST: Final = 100
"""Bars of one push: four a second, and all anew when there are too many, are about 70 kB/s."""
PAUSE: Final = 5.0
"""Seconds between two complete pictures where a row shows many threads: their calls overlap, so that what ended since
can't be appended to what was drawn before."""
COARSE: Final = 3000
"""Bars of such a picture, of the live window: about 300 kB."""


class Cursor(NamedTuple):
    """How far somebody who appends has come."""

    history: int
    """Number of the history told of."""
    function: str | None
    """The only function told of."""
    calls: int
    """Calls told of."""
    moves: int
    """Moves to disk and back told of."""
    layout: lanes.Layout
    rows: int
    """Bars said since all was said."""
    time: float
    """When that was, epoch seconds."""
    full: bool
    """Whether the bars said with it replace those said before: at the start, and when rows were added or moved."""


class StreamColumns:
    """Columns of a stream that is so many ``pixels`` high, of all workers or of one.

    Attributes
    ----------
    function : str or None
        Say only calls of this function.
    """

    def __init__(self, pixels: int, worker: str | None) -> None:
        self.function: str | None = None
        self._pixels = pixels
        self._worker = worker
        self._layout: tuple[tuple[int, ...], lanes.Layout] | None = None

    def between(self, history: History, window: Window) -> dict[str, Columns]:
        """Return the data of each source for a window of time."""
        layout = self._arrange(history)
        found = history.calls.window(*window)
        shown = stream.show(history, window, layout=layout, indices=found, max_rows=ROLLOVER, function=self.function)
        data = {"calls": in_milliseconds(shown.calls), **self._around(history, shown, window, found)}
        running = data["running"]
        running["left"] = np.maximum(running["left"], window.start * 1000)  # so that the axis begins with the window
        return data

    def fresh(self, history: History, cursor: Cursor | None = None) -> tuple[dict[str, Columns], Cursor]:
        """Return the data of each source for who appends to ``calls`` and replaces the others.

        Parameters
        ----------
        cursor : Cursor, optional
            What came back the last time.

        Returns
        -------
        columns : dict
            By source.  Bars of ``calls`` are to be appended, unless ``cursor.full``: then they replace all, as happens
            before there are more than :data:`ROLLOVER`.
        cursor : Cursor
            To be handed in the next time.
        """
        layout = self._arrange(history)
        if cursor is None or self._is_stale(cursor, layout, history):
            # Half of what a source may hold: the other half is for what is appended before all is said again.
            data = self._everything(history, layout, COARSE if layout.shared else ROLLOVER // 2)
            return data, self._cursor_at(history, layout, len(data["calls"]["left"]), history.now, full=True)
        # Nothing new where rows are shared, see PAUSE; what runs and the legend are said all the same.
        new = history.calls.since(history.calls.total if layout.shared else cursor.calls)
        table = history.calls.columns
        moves = history.moves_since(cursor.moves)
        start = min([history.now - 1.0, *table["start"][new].tolist(), *[move.start for _, move in moves]])
        end = float(table["end"][new].max()) if len(new) else history.now
        # From the first bar that is new, not from the last push: a call may end late that began long ago.
        window = Window(max(start, history.now - LIVE), max(end, start + 1e-3, history.now))
        shown = stream.show(
            history,
            window,
            layout=layout,
            indices=new,
            moves=moves,
            pixel=PIXEL,
            max_rows=BURST,
            function=self.function,
        )
        data = {
            "calls": in_milliseconds(shown.calls),
            # The legend explains all that is in sight, not only what was appended now.
            **self._around(history, shown, live_window(history), recent(history, LIVE)),
        }
        # The time stays: it is when all was said.
        return data, self._cursor_at(history, layout, cursor.rows + len(data["calls"]["left"]), cursor.time, full=False)

    def _arrange(self, history: History) -> lanes.Layout:
        """Return the rows, which change rarely."""
        # Asked first, since it is cheaper than to arrange.
        change = (history.number, *lanes.change(history))
        if self._layout is None or self._layout[0] != change:
            self._layout = (change, lanes.arrange(history, worker=self._worker))
        return self._layout[1]

    def _is_stale(self, cursor: Cursor, layout: lanes.Layout, history: History) -> bool:
        """Whether all must be said again: it is of something else, bars can't be appended, or are too many."""
        # By the names of rows: a layout may be made anew and be the same.
        other = (cursor.history, cursor.function, cursor.layout.names) != (history.number, self.function, layout.names)
        # Before a source is full: beyond ROLLOVER it would drop its first bars, which may be in sight.
        return other or (layout.shared and history.now - cursor.time >= PAUSE) or cursor.rows > ROLLOVER - BURST

    def _cursor_at(self, history: History, layout: lanes.Layout, rows: int, time: float, *, full: bool) -> Cursor:
        return Cursor(history.number, self.function, history.calls.total, history.moved, layout, rows, time, full)

    def _everything(self, history: History, layout: lanes.Layout, most: int) -> dict[str, Columns]:
        """Return the live window, and coarser what was before it, so that one can look back."""
        now, calls = live_window(history), history.calls
        # Never empty, whether or not there was anything.
        before = Window(min(calls.first, now.start - 1.0), now.start)
        # A call that was refused before it began has no start, and no place in time.
        is_new, is_real = calls["end"] > now.start, calls["start"] > 0.0
        new, old = np.flatnonzero(is_new & is_real), np.flatnonzero(~is_new & is_real)
        show = partial(stream.show, history, layout=layout, function=self.function)
        shown = show(
            now, indices=new, moves=[move for move in history.moves if move.move.start > now.start], max_rows=most
        )
        data = {"calls": in_milliseconds(shown.calls), **self._around(history, shown, now, new)}
        if len(old):
            moves = [move for move in history.moves if move.move.start <= now.start]
            # Fewer bars for what is out of sight.
            coarse = show(before, indices=old, moves=moves, max_rows=most // 3)
            # The past first: that is what a source drops when it is full.
            data["calls"] = join([in_milliseconds(coarse.calls), data["calls"]])
        return data

    def _around(self, history: History, shown: stream.Stream, window: Window, calls: Indices) -> dict[str, Columns]:
        """Return what is drawn beside the finished calls; ``calls`` are those that the legend is to explain."""
        count = len(shown.layout.names)
        row = np.arange(count)
        # 13 pixels for a label; the rows between stay, without a name.
        every = -(-count * 13 // max(1, self._pixels - 60))
        return {
            "running": in_milliseconds(shown.running),
            "rows": {
                "top": row - HEIGHT / 2, "bottom": row + HEIGHT / 2,
                "label": [text if at % every == 0 else "" for at, text in enumerate(shown.layout.labels)],
            },
            "span": {
                "left": [window.start * 1000], "right": [max(window.end, history.now) * 1000],
                "top": [-0.5], "bottom": [max(count, 1) - 0.5],
            },
            "legend": legend(history, calls),
        }  # fmt: skip


def live_window(history: History) -> Window:
    """Return the window that a live stream shows."""
    return Window(max(history.started, history.now - LIVE), history.now)


def in_milliseconds(bars: Columns) -> Columns:
    """Return the bars with the times that Bokeh's axes have."""
    return {**bars, "left": bars["left"] * 1000, "right": bars["right"] * 1000}
