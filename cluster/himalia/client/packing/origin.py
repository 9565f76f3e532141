"""What a name that a user chose stands for, so that nobody takes the result of another call for his own.

A key that is still held keeps its result, whatever is submitted under it next (Dask's rule).  That is right for the
same call, and for another one a surprise.  So whatever gets its name from a user carries an *origin*: the name of its
function, and a digest of function and arguments.  This file decides what an origin is made of, when two of them differ,
and says so: in the client for keys that it holds, on word of the scheduler for those that others hold.

Names that are made of the content, or of a number, need none: equal names are equal calls there.
"""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Iterable, Sequence
from typing import Final

from himalia import serialize
from himalia.client.engine.state import Record
from himalia.client.packing.functions import PickledFunction
from himalia.names import shorten

LOOKED_AT: Final = 1024 * 1024
"""Bytes of one frame of arguments that are told apart by all of their content, a millisecond's worth; of a larger one
its size is, and pieces from its beginning to its end."""
PIECES: Final = 64
"""Pieces of a larger frame, of LOOKED_AT / PIECES bytes each."""


def of_call(function: PickledFunction, frames: Sequence[serialize.Buffer]) -> str:
    """Return the origin of a call with these pickled arguments."""
    return f"{function.name} {_digest(function.digest, frames)}"


def of_value(type_name: str, frames: Sequence[serialize.Buffer]) -> str:
    """Return the origin of a value that is stored under a name."""
    return f"{type_name} {_digest(b'', frames)}"


def differ(one: str, other: str) -> bool:
    """Whether two origins are known, and not the same."""
    return bool(one and other) and one != other


def warn_if_other(record: Record, origin: str) -> None:
    """Warn, once for each time that a key is held, that ``record`` is of another call than was submitted now."""
    warn_of_others([(record, origin)])


def warn_of_others(submitted: Iterable[tuple[Record, str]]) -> None:
    """The same for several calls that were submitted together: one warning, which names the first and counts them."""
    text, more = "", 0
    for record, origin in submitted:
        if not differ(record.origin, origin):
            continue
        if text:
            more += 1
        else:
            text = text_of_other(record.key, record.origin, origin)
        # Told once: what has no origin differs from nothing.
        record.origin = ""
    if text:
        others = f" So it is with {more} more of the keys that were submitted with it." if more else ""
        warnings.warn(text + others, stacklevel=_levels_to_user())


def text_of_other(key: str, before: str, now: str) -> str:
    """Return what to tell somebody who submitted another call under a key that is in use."""
    held, new = before.rpartition(" ")[0], now.rpartition(" ")[0]
    who = f"{held}, with other arguments or in an earlier version" if held == new else held
    return (
        f"The key {shorten(key)!r} is in use for the result of {who}; {new} was submitted under the same key, was not "
        f"run, and gets that result. Let go of all futures of the key (and of what depends on it) first, or choose "
        f"another one."
    )


def _levels_to_user() -> int:
    """Return how many calls away the user's own line is, for ``warnings.warn`` in the function that asks."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "himalia":
        level, frame = level + 1, frame.f_back
    return level


def _digest(start: bytes, frames: Sequence[serialize.Buffer]) -> str:
    digest = hashlib.blake2b(start, digest_size=8)
    for frame in frames:
        view = memoryview(frame).cast("B")
        # With its length, or the same bytes cut into other frames would be the same.
        digest.update(len(view).to_bytes(8))
        if len(view) <= LOOKED_AT:
            digest.update(view)
            continue
        length = LOOKED_AT // PIECES
        for number in range(PIECES):
            # The last piece ends where the frame does.
            offset = (len(view) - length) * number // (PIECES - 1)
            digest.update(view[offset : offset + length])
    return digest.hexdigest()
