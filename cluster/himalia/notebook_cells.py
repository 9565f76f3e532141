"""Which cell of a notebook calls are submitted from, and which cells are interrupted.

What becomes of an interrupted cell's calls: ``client/interrupted_cell.py`` tells the scheduler, and
``scheduler/cancelling.py`` decides it.

Every submission has a *span*: ``"<client id>/<number of the cell>"`` in a Jupyter kernel, nothing elsewhere.  The
cell is the one whose code runs in the submitting thread, as IPython knows it; a thread that outlives its cell counts
for the newest one.  What is shown under a cell is decided elsewhere, by the header that is remembered here.

A kernel tells of its cells from the first client on, for as long as it lives; listeners come and go with clients.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeAlias

from himalia.views import find_shell

REMEMBERED: Final = 1000
"""Cells whose headers are remembered, the newest: about a kilobyte each."""


class CellListener(Protocol):
    """Somebody who wants to know that a cell was interrupted."""

    def cell_interrupted(self, number: int) -> None:
        """Take the number of a cell that ended by an interrupt."""


Header: TypeAlias = Mapping[str, Any]
"""Of a message of Jupyter's protocol."""


class Cells:
    """The cells of this process's kernel.

    Parameters
    ----------
    shell : IPython.core.interactiveshell.InteractiveShell
        That of the kernel.

    Attributes
    ----------
    publisher : ipykernel.zmqshell.ZMQDisplayPublisher
        What knows the header of the message that the current thread works on; it may be called by any thread.
    listeners : WeakSet
        Who is told of interrupts.
    submitting : int
        Number of the cell that submitted something last; 0 before the first.
    on_submission : callable or None
        Called with that number, in the submitting thread, when it changes.
    on_closing : callable or None
        Called before a client or a cluster closes, while it still answers; not in a loop's thread.
    """

    def __init__(self, shell: Any) -> None:
        self.publisher = shell.display_pub
        self.listeners: weakref.WeakSet[CellListener] = weakref.WeakSet()
        self.submitting = 0
        self.on_submission: Callable[[int], object] | None = None
        self.on_closing: Callable[[], object] | None = None
        self._shell = shell
        self._numbers: dict[str, int] = {}
        """By the id of the message that had it executed."""
        self._headers: dict[int, Header] = {}
        shell.events.register("pre_run_cell", self._begin)
        shell.events.register("post_run_cell", self._end)
        # The cell that makes the first client runs already: its pre_run_cell is over.
        self._begin()

    def number(self) -> int:
        """Return the number of the cell that this thread works for; 0 if it works for none."""
        return self._numbers.get(self.publisher.parent_header.get("msg_id", ""), 0)

    def note_submission(self) -> int:
        """Note that this thread submits something, and return the number of its cell, as :meth:`number` does."""
        number = self.number()
        if number and number != self.submitting:
            self.submitting = number
            if self.on_submission is not None:
                self.on_submission(number)
        return number

    def header_of(self, span: str) -> Header:
        """Return the header of what had a span's cell executed; where there is none any more, the newest cell's."""
        number = span.rpartition("/")[2]
        # A cell may have been forgotten (REMEMBERED): what its calls print is still shown somewhere.
        header = self._headers.get(int(number)) if number.isdecimal() else None
        return header if header is not None else next(reversed(self._headers.values()), {})

    def _begin(self, info: object = None) -> None:
        header = self.publisher.parent_header
        # No message had this run: a startup file, say.
        if "msg_id" not in header:
            return
        # In pre_run_cell it is already that of the cell that begins.
        number = self._shell.execution_count
        self._numbers[header["msg_id"]] = number
        self._headers.pop(number, None)  # so that the newest is the last one
        self._headers[number] = header
        if len(self._numbers) > REMEMBERED:
            del self._numbers[next(iter(self._numbers))]
        if len(self._headers) > REMEMBERED:
            del self._headers[next(iter(self._headers))]

    def _end(self, result: Any) -> None:
        # By the message: the counter is past this cell by now.
        number = self.number()
        if isinstance(result.error_in_exec, KeyboardInterrupt) and number:
            # A copy: a listener may be collected, and leaves a WeakSet, while another is told.
            for listener in list(self.listeners):
                listener.cell_interrupted(number)


_cells: Cells | None = None


def find_cells() -> Cells | None:
    """Return the cells of this process's kernel; ``None`` if it isn't one."""
    global _cells
    shell = find_shell()
    if getattr(shell, "kernel", None) is None:
        return None
    # A test, or an embedded IPython, may make another shell in this process.
    if _cells is None or _cells._shell is not shell:
        _cells = Cells(shell)
    return _cells


def current_span(client_id: str) -> str:
    """Return what a client that submits in this thread does it under; empty where there is no cell.  Cheap."""
    # Not find_cells(): this runs at every submit, and a client that is made has called it.
    number = _cells.note_submission() if _cells is not None else 0
    return f"{client_id}/{number}" if number else ""


def has_to_tell() -> bool:
    """Whether anybody wants to hear of :func:`tell_closing`."""
    return _cells is not None and _cells.on_closing is not None


def tell_closing() -> None:
    """Let those who show something of this kernel's cells ask a last time; called before a client or cluster closes."""
    if _cells is not None and _cells.on_closing is not None:
        _cells.on_closing()
