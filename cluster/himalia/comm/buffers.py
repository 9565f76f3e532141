"""Several buffers as one byte string, and back: how a value rides inside a message.

This file decides how frames are told from a lone pickle; it never looks into one, so that roles which may not unpickle
(scheduler, nanny) can use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from himalia.decoders import decoder_of

Buffer = bytes | bytearray | memoryview
"""What a value is made of once it is serialized."""

PICKLE_START: Final = 0x80
"""First byte of every pickle of protocol 2 or later: a value of one frame is packed as itself."""
SEVERAL_START: Final = b"\x01"
"""First byte of several frames; what follows is a msgpack array of them."""

_encode = msgspec.msgpack.Encoder().encode
_decode = decoder_of(list[memoryview]).decode


def pack(frames: Sequence[Buffer]) -> bytes:
    """Return ``frames`` as one byte string; a single pickle is returned as it is, without a copy if it is ``bytes``."""
    if len(frames) == 1:
        frame = frames[0]
        # Most values by far: one pickle, and nothing is copied.
        if type(frame) is bytes and frame[:1] == b"\x80":
            return frame
        if len(frame) and frame[0] == PICKLE_START:
            return bytes(frame)
    return SEVERAL_START + _encode(frames)


def unpack(data: Buffer) -> list[memoryview]:
    """Return the frames that :func:`pack` was given, as views of ``data``.

    Raises
    ------
    ValueError
        If ``data`` was not made by :func:`pack`.
    """
    view = memoryview(data)
    if not view:
        raise ValueError("A packed value can't be empty.")
    if view[0] == PICKLE_START:
        return [view]
    if view[0] != SEVERAL_START[0]:
        raise ValueError(f"A packed value can't start with byte {view[0]:#04x}.")
    return _decode(view[1:])


def nbytes(frames: Sequence[Buffer]) -> int:
    """The bytes of all frames together; frames are one-dimensional and of single bytes."""
    return sum(map(len, frames))
