"""Decoders of our structs, made by one thread at a time.

What msgspec knows of a struct it finds out when the first decoder of it is made, by Python code in the midst of which
another thread may go on; and it puts it where others find it before it is complete (a struct may contain itself).  A
decoder that a second thread makes meanwhile then follows a pointer to nothing, and the process dies: measured with
msgspec 0.22, 3 of 600 processes in which two threads began at once.  So nobody else makes one; a test holds it.
"""

from __future__ import annotations

import functools
from _thread import allocate_lock
from typing import Any, Final, TypeVar, overload

import msgspec

T = TypeVar("T")

_lock: Final = allocate_lock()


@overload
def decoder_of(kind: type[T]) -> msgspec.msgpack.Decoder[T]: ...
@overload
def decoder_of(kind: object) -> msgspec.msgpack.Decoder[Any]: ...
def decoder_of(kind: object) -> msgspec.msgpack.Decoder[Any]:
    """Return the decoder of MessagePack for a type; any thread."""
    with _lock:
        return _make(kind)


def json_decoder_of(kind: type[T]) -> msgspec.json.Decoder[T]:
    """Return the decoder of JSON for a type; any thread."""
    with _lock:
        return _make_json(kind)  # type: ignore[arg-type]  # a type can be hashed


def convert(value: object, kind: type[T]) -> T:
    """Return a value of plain types as an object of a struct; see ``msgspec.convert``; any thread."""
    with _lock:
        # It makes no decoder, but finds out the same of a struct that nobody has used yet.
        return msgspec.convert(value, kind)


# Called under the lock only: of two threads that miss at once a cache lets both do the work.
@functools.cache
def _make(kind: object) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)


@functools.cache
def _make_json(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)
