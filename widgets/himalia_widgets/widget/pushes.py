"""What the pages of a cluster are told, push by push: everything at first, and then what changed.

Decides what is in each push and when there is one; how often somebody looks is decided in ``board.py``.  Pure: takes
what is known and the time.  ``js/store.js`` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from himalia.show.plain import Plain
from himalia_widgets.view.history import History
from himalia_widgets.widget.allowance import Allowance
from himalia_widgets.widget.live_plot import NAMES, LivePlot
from himalia_widgets.widget.pack import BufferPacker
from himalia_widgets.widget.worker_table import PER_WORKER, WorkerTable

Message = tuple[Plain, list[memoryview]]
"""What is sent to all pages, and its buffers."""

PULSE: Final = 1.0
"""Seconds after which something is sent even if nothing changed, so that silence means something."""
REPEAT: Final = 1.0
"""Seconds until the second snapshot to a view that can't report, because the cell that shows it still runs; doubled
from one to the next."""


class Pushes:
    """The pushes of one widget.

    Attributes
    ----------
    wants_all : bool
        Whether some page has nothing yet, so that the next push must say everything.
    """

    def __init__(self) -> None:
        self.wants_all = True
        self._plots = [LivePlot(name) for name in NAMES]
        self._table = WorkerTable()
        self._allowance = Allowance()
        self._told: Plain = {}
        self._sequence = 0
        self._sent_at = float("-inf")
        self._repeat, self._repeat_at, self._plots_at = REPEAT, 0.0, 0.0

    def describe_plots(self) -> Plain:
        """Return what a page needs to draw the plots; once is enough."""
        return {name: plot.describe() for name, plot in zip(NAMES, self._plots, strict=True)}

    def compose(
        self,
        history: History,
        header: Mapping[str, object],
        scale: Mapping[str, object],
        *,
        roll: int,
        is_promised: bool,
        now: float,
    ) -> Message | None:
        """Return the next push, or None if there is nothing to say.

        Parameters
        ----------
        header, scale : dict
            What the top of the widget and its Scale tab show.
        roll : int
            The roll that views answer to (``leases.py``).
        is_promised : bool
            Whether a page may be there that can't say so, and is told everything now and then.
        now : float
            Epoch seconds.
        """
        # For all pages at once, also those that have everything: a message goes to each view of the model.
        full = self.wants_all or (is_promised and now >= self._repeat_at)
        if full:
            self._forget()
            self._plots_at = now
            self._repeat = REPEAT if self.wants_all else 2 * self._repeat
            self._repeat_at = now + self._repeat
        packer = BufferPacker()
        push: Plain = {}
        for name, value in (("header", header), ("scale", scale), ("roll", roll)):
            if self._told.get(name) != value:
                self._told[name] = push[name] = value
        # The header is told in any case: it is small, and what people look at first.
        if full or self._allowance.left(now) > 0:
            self._put_workers(push, packer, history, now)
            self._put_plots(push, packer, history, now)
        if not push and now - self._sent_at < PULSE:
            return None
        self._sent_at = now
        self.wants_all = False
        # Without gaps, so that a page notices what it missed, and asks for everything.
        self._sequence += 1
        message = {"type": "push", "sequence": self._sequence, "time": now, "full": full, **push}
        if not full:  # a page needs everything once, whatever that takes
            self._allowance.spend(packer.nbytes + len(msgspec.json.encode(message)))
        return message, packer.buffers

    def end(self) -> None:
        """Let go of all that another push would need."""
        self._forget()
        # The picture was composed: figures and what was told are of no more use.
        self._plots.clear()

    def _forget(self) -> None:
        """Tell everything next time."""
        self._told.clear()
        self._table.forget()
        for plot in self._plots:
            plot.forget()

    def _put_workers(self, push: Plain, packer: BufferPacker, history: History, now: float) -> None:
        rows, gone = self._table.membership(history)
        columns = self._table.changes(history, now)
        if rows or gone or columns:
            push["workers"] = {"rows": rows, "gone": gone, "columns": packer.pack(columns)}

    def _put_plots(self, push: Plain, packer: BufferPacker, history: History, now: float) -> None:
        if not history.version or now < self._plots_at:
            return
        self._plots_at = now + len(history.info.workers) * PER_WORKER
        changes = [change for plot in self._plots for change in plot.changes(history).items()]
        if changes:
            push["sources"] = {
                name: {"columns": packer.pack(change.columns), "rollover": change.rollover} for name, change in changes
            }
