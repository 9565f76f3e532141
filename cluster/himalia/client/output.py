"""What calls print and log, on its way from the client's session to where a person reads it.

Decides how often it is shown, and how it reads in a terminal: each line with its worker, the same line of many calls
once.  How a notebook shows it is decided by ``himalia_widgets``.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Iterable
from typing import Final

from himalia.client.engine.callbacks import CallbackThread
from himalia.follow.rewritten import write_lines
from himalia.messages.client import CallOutput
from himalia.notebook_cells import find_cells
from himalia.views import find_views

PAUSE: Final = 0.2
"""Seconds for which lines are collected before they are shown: a page that changes five times a second is live."""
WAITING: Final = 10_000
"""Messages that wait to be shown at most; a callback of the user may be in the way."""


class OutputForwarder:
    """Shows what one client's calls write.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
        That of the client's session.
    callbacks : CallbackThread
        Where it is shown, for that may take a while.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, callbacks: CallbackThread) -> None:
        self._loop = loop
        self._callbacks = callbacks
        self._waiting: deque[CallOutput] = deque(maxlen=WAITING)
        self._is_closed = False

    def take(self, output: CallOutput) -> None:
        """Take what a call wrote; any thread."""
        self._waiting.append(output)
        if len(self._waiting) == 1:  # asked after it is in: what was there before may be on its way to the page
            self._loop.call_soon_threadsafe(self._loop.call_later, PAUSE, self.flush)

    def flush(self) -> None:
        """Have what waits shown; any thread."""
        if not self._waiting:
            return
        if self._is_closed:
            # A line that came while the client closed: a thread that was started for it now would never be ended.
            self._show()
            return
        self._callbacks.start()
        self._callbacks.put(self._show)

    def close(self) -> None:
        """Have what waits shown, and start no thread for what comes later; before the callbacks' thread is ended."""
        self.flush()
        self._is_closed = True

    def _show(self) -> None:
        outputs = []
        # One by one: more may come meanwhile.
        while self._waiting:
            outputs.append(self._waiting.popleft())
        cells = find_cells()
        views = find_views() if cells is not None else None
        if views is not None:
            views.show_output(outputs, cells)
            return
        for stream, texts in zip((sys.stdout, sys.stderr), compose(outputs), strict=True):
            if texts:
                write_lines(stream, texts)


def compose(outputs: Iterable[CallOutput]) -> tuple[list[str], list[str]]:
    """Return the lines for standard output and for standard error."""
    writers: dict[tuple[bool, str], list[str]] = {}
    dropped = 0
    for output in outputs:
        dropped += output.dropped
        for line in output.lines:
            writers.setdefault((line.source != "stdout", line.text), []).append(output.worker)
    texts: tuple[list[str], list[str]] = ([], [])
    for (is_error, text), workers in writers.items():
        first, *others = dict.fromkeys(workers)
        who = f"{first} and {len(others)} more" if others else first
        texts[is_error].append(f"[{who}] {text}" + (f" ×{len(workers)}" if len(workers) > 1 else ""))
    if dropped:
        lost = "1 line was" if dropped == 1 else f"{dropped:,} lines were"
        texts[True].append(f"[himalia] {lost} dropped: calls wrote more than anybody can read.")
    return texts
