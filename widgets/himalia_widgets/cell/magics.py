"""``%load_ext himalia``: ``%himalia on``, ``%himalia off`` and ``%%himalia``, for a bar under cells.

Decides which cells get one: all that submit something, or, while it is off, those that begin with ``%%himalia``.  Such
a cell stays an ordinary cell, with ``await``, a last value and tracebacks: the line becomes ``%himalia cell``.
"""

from __future__ import annotations

import weakref
from typing import Any

from IPython.core.error import UsageError

from himalia.client.default import default_client
from himalia.errors import HimaliaError
from himalia.notebook_cells import Cells, find_cells
from himalia_widgets.cell.cell_bar import CellBar
from himalia_widgets.cell.display import show_under
from himalia_widgets.cell.own_session import OwnSession

USAGE = "%himalia on: a bar under every cell that submits something; %himalia off: none; %%himalia: under this cell."


class CellBars:
    """The bars of one kernel's cells."""

    def __init__(self, shell: Any, cells: Cells) -> None:
        self._shell = shell
        self._cells = cells
        self._is_on = True
        self._number = 0
        """Of the cell that runs."""
        self._wanted = False
        """Whether it is to have a bar."""
        self._bar: CellBar | None = None
        self._may_wait = True
        """Whether the end of the cell may wait for it."""
        # Weak: a bar is held by its thread, which lives as long as there is something to tell.
        self._bars: weakref.WeakSet[CellBar] = weakref.WeakSet()
        """All that may have something to tell yet, also those of earlier cells."""

    def load(self) -> None:
        """Begin to know the magics."""
        self._shell.register_magic_function(self.himalia, magic_kind="line", magic_name="himalia")
        # Ahead of IPython's own cell magics, which hand the body over as a text: no await, no last value.
        self._shell.input_transformers_cleanup.append(cell_magic_to_line)
        self._shell.events.register("pre_run_cell", self._begin)
        self._shell.events.register("post_run_cell", self._end)
        self._cells.on_submission = self._submitted
        self._cells.on_closing = self._look_last
        # The cell that loads this runs already: its pre_run_cell is over.
        self._begin()

    def unload(self) -> None:
        """Forget them."""
        self._cells.on_submission = self._cells.on_closing = None
        self._shell.magics_manager.magics["line"].pop("himalia", None)
        self._shell.input_transformers_cleanup.remove(cell_magic_to_line)
        self._shell.events.unregister("pre_run_cell", self._begin)
        self._shell.events.unregister("post_run_cell", self._end)

    def himalia(self, line: str) -> None:
        """Show what a cell submits in a bar under it: ``%himalia on``, ``%himalia off``, ``%%himalia``."""
        match line.strip():
            case "on":
                self._is_on = self._wanted = True
                # The cell may have submitted something before this line.
                self._submitted(self._cells.submitting)
            case "off":
                self._is_on = self._wanted = False
                if self._bar is not None:
                    self._bar.drop()
            case "cell":
                self._wanted = True
                self._submitted(self._cells.submitting)
            case _:
                raise UsageError(USAGE)

    def _begin(self, info: object = None) -> None:
        self._number = self._cells.number()
        self._wanted = self._is_on
        self._bar = None

    def _end(self, result: object) -> None:
        bar, self._bar = self._bar, None
        self._wanted = False
        if bar is not None:
            bar.end(wait=self._may_wait)

    def _submitted(self, number: int) -> None:
        """Begin the bar of the cell that runs, if it is this one that submitted something and it shall have one."""
        # A thread that an earlier cell began may submit now: that isn't this cell's.
        if not self._wanted or self._bar is not None or number != self._number or not number:
            return
        try:
            client = default_client()
        except HimaliaError:
            return  # it submits by a client that is not the default one any more
        span = f"{client.id}/{number}"
        self._may_wait = not client.asynchronous  # else its loop may run in this very thread
        self._bar = CellBar(OwnSession(client), span, show_under(self._cells.publisher, self._cells.header_of(span)))
        self._bars.add(self._bar)

    def _look_last(self) -> None:
        """Have bars look while a client or a cluster that is about to close still answers."""
        # A list, since cells make new bars while these look.
        for bar in list(self._bars):
            bar.look_last()


def cell_magic_to_line(lines: list[str]) -> list[str]:
    """Make ``%%himalia``, at the top of a cell, a line of it.

    >>> cell_magic_to_line(["%%himalia", "1 + 1"])
    ['%himalia cell', '1 + 1']
    """
    if lines and lines[0].rstrip() == "%%himalia":
        return [lines[0].replace("%%himalia", "%himalia cell"), *lines[1:]]
    return lines


_bars: CellBars | None = None


def load(shell: Any) -> None:
    """Carry out ``%load_ext himalia``."""
    global _bars
    cells = find_cells()
    if cells is None:
        raise UsageError("%himalia shows bars in a notebook's page; this is a terminal. There, use himalia.progress().")
    if _bars is None:
        _bars = CellBars(shell, cells)
        _bars.load()


def unload() -> None:
    """Carry out ``%unload_ext himalia``."""
    global _bars
    if _bars is not None:
        _bars.unload()
        _bars = None
