"""The five messages of a handshake as bytes: all that is decoded of a peer before it is known.

Each is a magic word, a length and a MessagePack array.  Decides how they look; what has to be in them, and in which
order they come, is decided in ``handshake.py``.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from himalia.decoders import decoder_of

MAGIC: Final = b"HMLA"
"""First bytes of each handshake message; whatever begins otherwise isn't himalia."""
MAX_HANDSHAKE: Final = 4096
"""Bytes that a peer may send before it is known (docs/design.md, Trust)."""
PREFIX: Final = struct.Struct(">4sH")
"""The magic word, and the bytes that follow."""


class Hello(msgspec.Struct, array_like=True, tag=1, frozen=True):
    """The dialer presents itself; the first four fields keep their places in every protocol."""

    protocol: int
    version: str
    role: str
    cluster_id: str
    incarnation: str
    nonce: bytes
    session: str
    resume: bool
    received: int
    early: bytes = b""
    """Keyed hash of the rest: who has the key is no stranger.  It lets nobody in, since it could be a repetition."""


class Challenge(msgspec.Struct, array_like=True, tag=2, frozen=True):
    """The listener presents itself and proves that it has the secret."""

    protocol: int
    version: str
    role: str
    cluster_id: str
    incarnation: str
    nonce: bytes
    proof: bytes


class Proof(msgspec.Struct, array_like=True, tag=3, frozen=True):
    """The dialer proves that it has the secret."""

    proof: bytes
    claim: bytes = b""
    """Proves that the dialer is the process of that incarnation: the same on all its connections to one listener."""


class Welcome(msgspec.Struct, array_like=True, tag=4, frozen=True):
    """The dialer is in; ``received`` counts what this side has of a resumed session."""

    received: int
    holder_key: bytes = b""
    """From the scheduler, for a nanny: what it checks those with who read from it (``security.HELD_ROLES``)."""


class Refusal(msgspec.Struct, array_like=True, tag=5, frozen=True):
    """The sender ends the conversation; ``reason`` is for a person."""

    reason: str


Introduction = Hello | Challenge | Proof | Welcome | Refusal

encode: Final = msgspec.msgpack.Encoder().encode
_decoder: Final[msgspec.msgpack.Decoder[Introduction]] = decoder_of(Introduction)
decode: Final = _decoder.decode


def frame(message: msgspec.Struct) -> bytes:
    """A handshake message as it goes over the wire."""
    body = encode(message)
    return PREFIX.pack(MAGIC, len(body)) + body


def printable(text: str, limit: int) -> str:
    """A stranger's text so that it can be shown: one line, no control characters, not long."""
    # Escape sequences of a stranger would act in the terminal of whoever reads the log.
    return "".join(c if c.isprintable() else "�" for c in text[:limit])
