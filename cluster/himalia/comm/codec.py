"""Messages of one tick to one frame, and back.

The array header of a body always has its five-byte form, so that a frame is encoded in one pass into one buffer and its
count is filled in last.  This module knows nothing of numbering and never sees a socket.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from himalia.comm.framing import HEADER, LENGTH, MAX_FRAME, Frame, FrameError
from himalia.decoders import decoder_of

SPLIT: Final = 1024 * 1024
"""Bytes after which a frame is closed and the next one begun: a receiver starts on it while the rest is encoded."""

_ARRAY32: Final = 0xDD
_PREFIX: Final = struct.Struct(">IQQBI")
_EMPTY_PREFIX: Final = bytes(_PREFIX.size)
_BODY: Final = HEADER.size
_MAX_SIZE: Final = MAX_FRAME + LENGTH.size

_encode_into: Final = msgspec.msgpack.Encoder().encode_into


def decoder(union: Any) -> Callable[[Frame], list[object]]:
    """The function that decodes and validates a body whose messages are of ``union``."""
    return decoder_of(list[union]).decode


def decode_body(decode: Callable[[Frame], list[object]], frame: Frame) -> list[object]:
    """Return the messages of a frame.

    Raises
    ------
    FrameError
        If anything in it isn't a valid message of the expected union.
    """
    try:
        # A view: slicing bytes would copy all of them.
        return decode(memoryview(frame)[_BODY:])
    # The last two are none of msgspec's errors: nested too deeply, and a text that isn't UTF-8.
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise FrameError(f"a message that this side doesn't understand: {error}") from error


def encode_frame(
    messages: Sequence[object], start: int, seq: int, ack: int, rejected: list[tuple[object, str]]
) -> tuple[bytearray, int, int]:
    """Encode messages from index ``start`` on until the frame is about :data:`SPLIT` long.

    Returns
    -------
    frame : bytearray
        Complete, not to be changed any more.
    end : int
        Index of the first message that isn't in it.
    count : int
        Messages in it.  Those that can't be encoded, or are too large for a frame of their own, are put into
        ``rejected`` with the reason: somebody has to answer for them (``unsendable.py``), and the session goes on.
    """
    # The number of messages is known last: some may not be encodable.
    frame = bytearray(_EMPTY_PREFIX)
    encode_into = _encode_into
    index, end, size = start, len(messages), len(frame)
    skipped = 0
    while index < end and size < SPLIT:
        message = messages[index]
        try:
            # -1: behind what is there.
            encode_into(message, frame, -1)
            # Only known once it is encoded; a message has no size before.
            if len(frame) > _MAX_SIZE:
                if size > _PREFIX.size:  # it may still fit into a frame of its own
                    del frame[size:]
                    break
                raise OverflowError(f"{len(frame)} bytes are more than the {MAX_FRAME} that a frame may have")
        # One message that can't be encoded must not take along the others of its tick.
        except Exception as error:
            del frame[size:]
            skipped += 1
            rejected.append((message, str(error)))
        index += 1
        size = len(frame)
    count = index - start - skipped
    _PREFIX.pack_into(frame, 0, size - LENGTH.size, seq, ack, _ARRAY32, count)
    return frame, index, count
