"""Where one frame ends and the next begins.

::

    u32 length │ u64 seq │ u64 ack │ body            big endian; length counts what follows it

``seq`` numbers the first message of the body, from 1 in each session; the body is a msgpack array of messages.
``seq`` 0 is a control frame: with an empty body it only acknowledges, else the body is a goodbye's reason.
``ack`` is the number of the last message that the sender of the frame received.

This module cuts streams; it never looks into a body and never keeps a frame.
"""

from __future__ import annotations

import struct
from typing import Final

Frame = bytes | bytearray | memoryview

LENGTH: Final = struct.Struct(">I")
HEADER: Final = struct.Struct(">IQQ")

MAX_FRAME: Final = 64 * 1024 * 1024
"""Bytes a frame may have after its length field; a larger one is a broken or hostile peer."""

_LENGTH_SIZE: Final = LENGTH.size
_REST: Final = HEADER.size - LENGTH.size


class FrameError(Exception):
    """The peer sent something that is no valid frame of this session; the session can't go on."""


def control_frame(ack: int, body: bytes = b"") -> bytes:
    """A frame that carries no messages: a bare acknowledgement, or a goodbye with its reason."""
    # Messages count from 1, so 0 is no message's number.
    return HEADER.pack(_REST + len(body), 0, ack) + body


def is_goodbye(frame: Frame) -> bool:
    """Whether a whole frame ends its session."""
    return len(frame) > HEADER.size and HEADER.unpack_from(frame)[1] == 0


class Splitter:
    """Cuts a stream of bytes into whole frames, length field included."""

    __slots__ = ("_needed", "_pending")

    def __init__(self) -> None:
        self._pending = bytearray()
        self._needed = 0
        """Bytes that ``_pending`` must have before it is worth looking at again."""

    def feed(self, data: bytes) -> list[Frame]:
        """Take what was read and return the frames that are complete now; they are valid as long as you like.

        Raises
        ------
        FrameError
            If a length is impossible; the stream is useless from then on.
        """
        pending = self._pending
        if not pending:
            # The bounds are checked here as well: this way goes past _checked().
            if HEADER.size <= len(data) <= MAX_FRAME and LENGTH.unpack_from(data)[0] + _LENGTH_SIZE == len(data):
                return [data]  # by far the most common: one read, one frame, no copy
            return self._split(data)
        pending += data
        # Not looked at for each piece: cutting a frame of 64 MiB would copy what is there a thousand times.
        if len(pending) < self._needed:
            return []
        # A new one, since frames will be views of the old, and a bytearray that has views can't shrink.
        self._pending = bytearray()
        return self._split(pending)

    def _split(self, data: bytes | bytearray) -> list[Frame]:
        """Cut ``data``, which starts at a frame's start, and keep the rest."""
        view = memoryview(data)
        end = len(data)
        frames: list[Frame] = []
        position = 0
        self._needed = _LENGTH_SIZE
        while end - position >= _LENGTH_SIZE:
            # Before the frame is waited for: a length of 4 GiB would be collected until memory is gone.
            size = _checked(LENGTH.unpack_from(data, position)[0]) + _LENGTH_SIZE
            if end - position < size:
                self._needed = size
                break
            frames.append(view[position : position + size])
            position += size
        self._pending += view[position:]
        return frames


def _checked(length: int) -> int:
    """Return ``length`` if a frame may have it."""
    if not _REST <= length <= MAX_FRAME:
        raise FrameError(f"a frame of {length} bytes: between {_REST} and {MAX_FRAME} are possible")
    return length
