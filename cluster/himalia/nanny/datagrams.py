"""Datagrams on their way to workers: the queue that all of a host read, and what waits because a socket is full.

It decides nothing about calls, and never blocks the loop: what the kernel doesn't take at once waits in a backlog.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from typing import Final

from himalia.decoders import decoder_of
from himalia.messages.worker import DATAGRAM_LIMIT, Run, Stored
from himalia.worker.wiring import datagram_pair

GONE: Final = (errno.EPIPE, errno.ECONNRESET, errno.ECONNREFUSED)
"""What a socket says whose other end is closed."""
FULL: Final = (errno.EAGAIN, errno.ENOBUFS)
"""What it says when its buffer is full."""


def send(end: socket.socket, data: bytes) -> bool:
    """Send a datagram; whether that is over: ``False`` if the socket takes no more now.  Who is gone gets nothing."""
    try:
        end.send(data)
    except OSError as error:
        # ENOBUFS is what macOS says; Linux says EAGAIN.
        if error.errno in FULL:
            return False
        # A worker that is gone is heard of by its exit, which knows what becomes of its calls; here it is no error.
        if error.errno not in GONE:
            raise
    return True


def send_some(end: socket.socket, backlog: deque[bytes]) -> bool:
    """Send what the socket takes of a backlog; whether that was all."""
    while backlog:
        if not send(end, backlog[0]):
            return False
        backlog.popleft()
    return True


class RunQueue:
    """The queue that all workers of a host share: the kernel gives each datagram to exactly one thread that reads.

    Attributes
    ----------
    workers_end : socket
        For workers to inherit.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._end, self.workers_end = datagram_pair()
        self._end.setblocking(False)
        self._backlog: deque[bytes] = deque()
        self._flush_due = False
        """Whether :meth:`_flush` will be called: soon, or (``_is_full``) when the socket takes more."""
        self._is_full = False
        self._decode = decoder_of(Run | Stored).decode

    def put(self, data: bytes) -> None:
        """Put a run into the queue, at the end of this tick.

        All of a tick go one right after the other: a worker that the first one wakes then finds the others, instead of
        going to sleep and being woken for each, which costs both sides more than all the rest (docs/notes/0006).
        """
        self._backlog.append(data)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def head(self) -> Run | Stored | None:
        """Return the oldest run that no worker took yet."""
        try:
            # Peeked at through the workers' own end, which we still hold: nobody takes a datagram to look at it.
            data = self.workers_end.recv(2 * DATAGRAM_LIMIT, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            if not self._backlog:
                return None
            # Not in the kernel yet, and so certainly taken by nobody.
            data = self._backlog[0]
        head: Run | Stored = self._decode(data)
        return head

    def close(self) -> None:
        """Close both ends."""
        self._loop.remove_writer(self._end)
        self._end.close()
        self.workers_end.close()

    def _flush(self) -> None:
        if send_some(self._end, self._backlog):
            self._flush_due = False
            if self._is_full:
                self._is_full = False
                self._loop.remove_writer(self._end)
        # The writer is added once, and taken away when all is out: a socket that is nearly always writable would keep
        # the loop busy.
        elif not self._is_full:
            self._is_full = True
            self._loop.add_writer(self._end, self._flush)
