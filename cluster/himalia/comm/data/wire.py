"""Messages and raw bytes on one stream: how the data plane's connections are cut.

::

    u32 length │ message │ u32 length │ message │ raw bytes │ u32 length │ …

A message says in its ``sizes`` how many raw bytes follow it; whoever handles it names the memory they go to, and they
are received right there, without a copy.  Pure: buffers come from and go to an ``asyncio.BufferedProtocol``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec

from himalia.decoders import decoder_of

LENGTH: Final = struct.Struct(">I")
MAX_MESSAGE: Final = 16 * 1024 * 1024
"""Bytes of one message, raw bytes not counted: keys of 200,000 results.  A longer one is a broken or hostile peer."""
CHUNK: Final = 1024 * 1024
"""Bytes read or written at once: bounds how long the loop is busy (3 ms into fresh pages)."""
BUFFER: Final = 64 * 1024
"""Bytes of the buffer that messages are read into."""

_encode_into: Final = msgspec.msgpack.Encoder().encode_into
_scratch: Final = memoryview(bytearray(256 * 1024))


class WireError(Exception):
    """The peer sent something that is no message of this wire; the connection can't go on."""


def encode(message: msgspec.Struct) -> bytearray:
    """A message as it goes over the wire."""
    frame = bytearray(LENGTH.size)
    # One buffer for both: the length is filled in when it is known.
    _encode_into(message, frame, LENGTH.size)
    LENGTH.pack_into(frame, 0, len(frame) - LENGTH.size)
    return frame


def nowhere(nbytes: int) -> Iterator[memoryview]:
    """Yield memory for bytes that nobody wants."""
    while nbytes > 0:
        yield _scratch[:nbytes]
        nbytes -= len(_scratch)


def chunks(frames: Iterable[bytes | bytearray | memoryview]) -> Iterator[memoryview]:
    """Yield all bytes of ``frames`` in pieces that a loop can write without being away for long."""
    for frame in frames:
        view = memoryview(frame)
        for start in range(0, len(view), CHUNK):
            yield view[start : start + CHUNK]


class DataReader:
    """Cuts what was read into messages and raw bytes.

    Parameters
    ----------
    union : type
        The messages that the peer may send.
    handle : callable
        Called with each message; calls :meth:`expect` if raw bytes follow it.
    """

    def __init__(self, union: Any, handle: Callable[[Any], None]) -> None:
        self._decode = decoder_of(union).decode
        self._handle = handle
        self._buffer = bytearray(BUFFER)
        self._view = memoryview(self._buffer)
        self._end = 0  # of what was read into the buffer and not handled yet, from its start
        self._target: memoryview | None = None
        self._targets: Iterator[memoryview] = iter(())
        self._received: Callable[[], None] = _nothing
        self.is_held = False
        """Whether what comes next has to wait in the buffer."""

    def resume(self) -> None:
        """Go on with what waits in the buffer; raises as :meth:`updated`."""
        self.is_held = False
        self._cut()

    def expect(self, targets: Iterator[memoryview], received: Callable[[], None]) -> None:
        """Read the next bytes into ``targets``, one after the other, then call ``received``."""
        self._targets = targets
        self._received = received
        self._next_target()

    def get_buffer(self) -> memoryview:
        """Where to read to."""
        if self._target is not None:
            # Straight to where they belong; in pieces, so that one read keeps the loop for a few milliseconds only.
            return self._target[:CHUNK]
        return self._view[self._end :]

    def updated(self, nbytes: int) -> None:
        """Look at ``nbytes`` more that were read to where :meth:`get_buffer` said.

        Raises
        ------
        WireError
            If they are no valid message; the stream is useless from then on.
        """
        if self._target is not None:
            self._advance(nbytes)
        else:
            self._end += nbytes
            self._cut()

    def _cut(self) -> None:
        """Handle all that is complete in the buffer, and move the rest to its start."""
        position, end = 0, self._end
        needed = LENGTH.size
        # The handler of a message may say where the next bytes go, or that they have to wait.
        while not self.is_held:
            if self._target is not None:
                size = min(len(self._target), end - position)
                self._target[:size] = self._view[position : position + size]
                position += size
                self._advance(size)
                if position == end:
                    break
                continue
            if end - position < LENGTH.size:
                break
            length = LENGTH.unpack_from(self._buffer, position)[0]
            if length > MAX_MESSAGE:
                raise WireError(f"a message of {length} bytes: {MAX_MESSAGE} are possible")
            start, stop = position + LENGTH.size, position + LENGTH.size + length
            if stop > end:
                needed = LENGTH.size + length
                break
            self._handle(self._message(start, stop))
            position = stop
        self._keep(position, end, needed)

    def _message(self, start: int, stop: int) -> object:
        try:
            return self._decode(self._view[start:stop])
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise WireError(f"a message that this side doesn't understand: {error}") from error

    def _keep(self, position: int, end: int, needed: int) -> None:
        rest = self._view[position:end]
        # A length is only a claim: the buffer grows with what has come, so that 64 bytes can't ask for megabytes.
        size = max(BUFFER, min(needed, 2 * len(rest)))
        # Shrunk again when it is large: a connection lives for hours and keeps no megabytes for one long message.
        if size > len(self._buffer) or size == BUFFER < len(self._buffer):
            self._buffer = bytearray(size)
            self._view = memoryview(self._buffer)
        if position and rest:
            self._view[: len(rest)] = bytes(rest)  # may overlap
        elif rest and rest.obj is not self._buffer:
            self._view[: len(rest)] = rest
        self._end = len(rest)

    def _advance(self, nbytes: int) -> None:
        assert self._target is not None
        self._target = self._target[nbytes:]
        if not self._target:
            self._next_target()

    def _next_target(self) -> None:
        # An iterator, so that nowhere() can name the same memory again and again.
        for target in self._targets:
            if target:  # an array may have no bytes at all
                self._target = target
                return
        self._target = None
        # Taken first: it may expect the next bytes itself.
        received, self._received = self._received, _nothing
        received()


def _nothing() -> None:
    """Do nothing."""
