"""The identifiers of the runtime, as types of their own, so that none is passed for another.

All are strings on the wire.  This module decides what names look like; it never decides what they are used for.
"""

from __future__ import annotations

import secrets
from typing import Annotated, NewType
from zlib import crc32

from msgspec import Meta

from himalia.bounds import DIGEST_LENGTH, Name

Key = NewType("Key", Name)
"""Name of a task and of its result, unique in a cluster."""

PeerId = NewType("PeerId", Name)
"""Incarnation of any process at the other end of a session; hosts and clients are peers of the scheduler."""

HostId = NewType("HostId", PeerId)
"""Incarnation of a nanny: a nanny that restarts is another host."""

ClientId = NewType("ClientId", PeerId)
"""Incarnation of a client."""

WorkerName = NewType("WorkerName", Name)
"""Name of a worker, unique in a cluster; a worker that is replaced passes its name on."""

Digest = NewType("Digest", Annotated[bytes, Meta(max_length=DIGEST_LENGTH)])
"""BLAKE2b-128 of a pickled function: how it is named after it was sent once."""

SCHEDULER = PeerId("scheduler")
"""How clients and nannies call the one peer that they all have."""


def new_incarnation(role: str) -> PeerId:
    """Return an id that no other process start has: the role and 64 random bits."""
    return PeerId(f"{role}-{secrets.token_hex(8)}")


def role_of(peer: PeerId) -> str:
    """Return the role that an id was made for.

    >>> role_of(PeerId("client-0123456789abcdef"))
    'client'
    """
    # From the end: a role may have a hyphen, the random part hasn't.
    return peer.rpartition("-")[0]


def digest(key: Key, attempt: int) -> int:
    """Return what one (key, attempt) adds, by xor, to a heartbeat's digest of beliefs; the same in every process."""
    # Not hash(), whose seed is another one in each process.
    return crc32(key.encode()) ^ attempt


def is_good_for(attempt: int, needed: int) -> bool:
    """Whether a result of one attempt may be read in the place of another of the same key.

    A computed result may stand for an earlier attempt's.  Placed data (negative) are what a client said they are: no
    other attempt means the same, since the key may have been let go of and used again for something else.
    """
    return attempt == needed or (0 <= needed < attempt)


def shorten(key: str, limit: int = 60) -> str:
    """Return ``key`` fit for one line of a message: printable, and at most ``limit`` characters."""
    text = key if key.isprintable() else ascii(key)[1:-1]
    # The end is kept as well: keys of one function differ there.
    return text if len(text) <= limit else f"{text[: limit - 13]}…{text[-12:]}"
