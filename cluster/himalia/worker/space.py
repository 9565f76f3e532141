"""Where a worker writes large results: parts of the arena that its nanny granted, used from front to back.

Most results find room in the current grant and need no question.  What is left of a grant that is too small for the
next result is handed back with the request for a new one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from himalia.comm.buffers import Buffer
from himalia.comm.data.layout import range_length
from himalia.comm.data.mapping import ArenaWriter
from himalia.errors import StoreFullError
from himalia.messages.worker import GrantSpace, NeedSpace, Place


class Space:
    """The arena as a place to write to; any thread.

    Parameters
    ----------
    arena : str
        Path of the arena.
    nursery : int
        Bytes to ask for at least.
    send : callable
        Sends the nanny a :class:`NeedSpace`.
    """

    def __init__(self, arena: str, nursery: int, send: Callable[[NeedSpace], None]) -> None:
        self._arena = arena
        self._nursery = nursery
        self._send = send
        self._writer: ArenaWriter | None = None
        self._lock = threading.Lock()
        self._offset = 0
        self._end = 0
        self._request = 0
        self._answers: dict[int, GrantSpace] = {}
        """By request; of one whose thread was interrupted while it waited, until the next request hands it back."""
        self._answered = threading.Event()

    def write(self, frames: Sequence[Buffer]) -> Place:
        """Write a value's frames, and return where they are.

        Raises
        ------
        StoreFullError
            If the nanny will never have room; for want of room now, it waits.
        """
        sizes = tuple([memoryview(frame).nbytes for frame in frames])
        offset = self._take(range_length(sizes))
        assert self._writer is not None
        # Without the lock: the range is ours alone, and threads may write side by side.
        self._writer.write(offset, frames)
        return Place(None, offset, sizes)

    def forget(self) -> None:
        """In a child that user code forked: what was granted is the parent's, which writes there."""
        # The old one may be held by a thread that the child doesn't have.
        self._lock = threading.Lock()
        self._offset = self._end = 0
        self._answers.clear()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def granted(self, message: GrantSpace) -> None:
        """Take the nanny's answer; called by the thread that listens to it."""
        self._answers[message.request] = message
        self._answered.set()

    def _take(self, length: int) -> int:
        with self._lock:
            if self._writer is None:
                self._writer = ArenaWriter(self._arena)
            if self._offset + length > self._end:
                self._ask(length)
            offset = self._offset
            self._offset += length
            return offset

    def _ask(self, length: int) -> None:
        # What is left is handed back, though a smaller result would fit: keeping several ranges would need the nanny's
        # allocator here again.
        unused = [(self._offset, self._end - self._offset)] if self._end > self._offset else []
        # Before the wait, which an interrupt may end: what is handed back must not be written to any more.
        self._offset = self._end = 0
        while self._answers:
            _, late = self._answers.popitem()
            if late.length:
                unused.append((late.offset, late.length))
        self._request += 1
        # The nursery as well as what is needed: a small store grants the latter (nanny/exchange.py).
        self._send(NeedSpace(self._request, max(length, self._nursery), length, unused))
        while self._request not in self._answers:
            self._answered.wait()
            # Before the next look at the answers, so that one which comes in between wakes us again.
            self._answered.clear()
        granted = self._answers.pop(self._request)
        if granted.length < length:
            raise StoreFullError(granted.error, length)
        self._offset = granted.offset
        self._end = granted.offset + granted.length
