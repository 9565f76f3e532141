"""What both ends of a data connection share: messages and raw bytes out, in order, no faster than the peer reads.

This file decides when the next bytes are written; the server and the client decide which.  Nothing is read from a store
before its turn comes, so a peer that asks for a terabyte costs a queue of keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from himalia.bucket import Complaints
from himalia.comm.data.wire import DataReader, WireError, encode
from himalia.errors import HimaliaError

_complaints: Final = Complaints(logging.getLogger("himalia.comm"))

BATCH: Final = 64 * 1024
"""Bytes of small messages that are joined before they are written."""
PIECES: Final = 16
"""Writes until the loop looks after others, for a peer that reads as fast as we write: 10 ms of a large result."""
MOST_QUEUED: Final = 10_000
"""Answers that wait for a peer to read, beyond which a server reads no further requests of it: 1.5 MB of the
shortest (measured)."""
SOCKET_BUFFER: Final = 4 * 1024 * 1024
"""Bytes a Unix socket may hold (the system may allow less): each side then runs for longer before the other has to."""


@dataclass(slots=True)
class Outgoing:
    """A message, and the raw bytes that follow it."""

    message: bytes | bytearray
    raw: Iterator[memoryview] | None = None
    done: Callable[[bool], None] | None = None
    """Called when the last raw byte has left this process (True), or never will (False)."""


class DataConnection(asyncio.BufferedProtocol):
    """One end of a connection after its handshake.

    Parameters
    ----------
    union : type
        Messages that the peer may send.
    handlers : mapping of type to callable
        What to do with each.
    """

    hears_out = True
    """Whether it reads on however much the peer has to read first.  Only a server may be False: two that wait for each
    other to read would do so for ever."""

    def __init__(self, union: Any, handlers: Mapping[type, Callable[[Any], None]]) -> None:
        self.reader = DataReader(union, lambda message: handlers[type(message)](message))
        self._queue: deque[Outgoing | Callable[[], Outgoing]] = deque()
        self._streaming: Outgoing | None = None
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._is_scheduled = False
        self._is_deaf = False
        """Whether it reads no further requests for now."""

    @property
    def is_open(self) -> bool:
        """Whether messages can still be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, message: msgspec.Struct) -> None:
        """Queue a message; dropped if the connection is gone."""
        self.send_later(Outgoing(encode(message)))

    def send_later(self, outgoing: Outgoing | Callable[[], Outgoing]) -> None:
        """Queue a message with raw bytes, or what makes one when its turn comes."""
        self._queue.append(outgoing)
        # Its requests are what fills the queue: unread, they wait in its own buffers.
        if len(self._queue) > MOST_QUEUED and not self.hears_out and not self._is_deaf:
            self._is_deaf = True
            self._read_if_free()
        self._schedule()

    def hold(self) -> None:
        """Read no more until :meth:`go_on`: what comes next has no place yet."""
        self.reader.is_held = True
        self._read_if_free()

    def go_on(self) -> None:
        """End a :meth:`hold`; for a connection that is gone meanwhile this does nothing."""
        if self._transport is None or self._transport.is_closing():
            return
        # What had come before the hold is in the reader's buffer, and no event will tell of it.
        self._take(self.reader.resume)
        self._read_if_free()

    def _read_if_free(self) -> None:
        """Read, or don't: either reason is enough not to, so that the end of one of them doesn't end the other."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._is_deaf or self.reader.is_held:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def close(self) -> None:
        """Write what is queued, as far as the peer takes it now, then close."""
        self._pump()
        if self._transport is not None:
            self._transport.close()

    def lost(self, reason: str) -> None:
        """Clean up; called once, when the connection is gone."""
        raise NotImplementedError

    # the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by inheritance
        # "Not paused" has to mean that nothing is buffered: a range may be reused once its bytes have left.  Plain
        # transports pause when more than `high` bytes are buffered, TLS ones when `high` bytes are or more.
        high = 0 if transport.get_extra_info("sslcontext") is None else 1
        self._transport.set_write_buffer_limits(high=high, low=0)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family == socket.AF_UNIX:  # TCP tunes its own
            with contextlib.suppress(OSError):  # macOS refuses what is too much, Linux cuts it
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
        self._schedule()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.reader.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        self._take(lambda: self.reader.updated(nbytes))

    def _take(self, read: Callable[[], None]) -> None:
        """Handle what came, and end the connection if that can't be done."""
        try:
            read()
        except WireError as error:
            _complaints.write(asyncio.get_running_loop().time(), "a data connection is closed: %s", error)
            self._abort()
        # A fault of ours, maybe; the stream can't be trusted any more in any case, but others live on.
        except Exception as error:
            text = "a data connection is closed: a message could not be handled"
            _complaints.write(asyncio.get_running_loop().time(), text, error=error)
            self._abort()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._streaming is not None:
            self._finish_streaming(False)
        # Taken away first: what is told below may queue something.
        queue, self._queue = self._queue, deque()
        for item in queue:
            if isinstance(item, Outgoing) and item.done is not None:
                item.done(False)
        self.lost(str(exc) if exc else "the peer closed the connection")

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _schedule(self) -> None:
        if not self._is_scheduled and self._transport is not None:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Write until the peer has to read first."""
        self._is_scheduled = False
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        # A bound: a peer on this machine reads as fast as we write, and nobody else would have a turn.
        for _ in range(PIECES):
            if self._paused:
                return
            if self._streaming is not None:
                assert self._streaming.raw is not None
                try:
                    chunk = next(self._streaming.raw, None)
                except HimaliaError:  # half of it is at the peer, and there is no way to say that the rest won't come
                    self._abort()
                    return
                if chunk is None:
                    self._finish_streaming(True)
                else:
                    transport.write(chunk)
            elif self._queue:
                transport.write(self._next_batch())
            else:
                return
            if transport.is_closing():
                return
        self._schedule()

    def _next_batch(self) -> bytearray:
        """Queued messages, up to the first that raw bytes follow."""
        batch = bytearray()
        while self._queue and len(batch) < BATCH and self._streaming is None:
            # Not before the queue is half empty: to be deaf and hear again for each answer would cost two system calls
            # each time.
            item = self._queue.popleft()
            if self._is_deaf and len(self._queue) < MOST_QUEUED // 2:
                self._is_deaf = False
                self._read_if_free()
            # Made only now: what it names may have been freed while it waited, and memory isn't held for a peer that
            # doesn't read.
            outgoing = item if isinstance(item, Outgoing) else item()
            batch += outgoing.message
            if outgoing.raw is not None:
                self._streaming = outgoing
        return batch

    def _finish_streaming(self, success: bool) -> None:
        outgoing, self._streaming = self._streaming, None
        if outgoing is not None and outgoing.done is not None:
            outgoing.done(success)
