"""Ctrl-C in a notebook's cell, on the client's side: the scheduler is told the span whose calls are meant.

Which cell was interrupted is found out by ``notebook_cells.py``; which calls of the span are cancelled is decided by
``scheduler/cancelling.py``, and whether a client listens at all by ``lifetime.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from himalia.messages.client import CancelSpan

if TYPE_CHECKING:
    from himalia.client.engine.engine import Engine


class CellInterrupts:
    """One client's listener to the cells of its kernel; they hold it weakly, so whoever makes one keeps it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def cell_interrupted(self, number: int) -> None:
        """Cancel what this client submitted from a cell that was interrupted."""
        if self._engine.status == "running":
            self._engine.send(CancelSpan(f"{self._engine.me}/{number}", "its cell was interrupted"))
