"""User values to bytes and back; only clients and workers may import this module.

This module decides which pickler writes a value, which of its buffers travel beside the pickle, and how a future inside
a call becomes the name of a dependency; not where the bytes go.

A value is a list of *frames*: the pickle, then the buffers it refers to (protocol 5, out of band).  The C pickler goes
first, because it is ten times faster; cloudpickle writes what it can't (lambdas, closures) and what it would write
wrongly: by reference, what is defined in a module that the reader doesn't have, or of which it has another (a
notebook's ``__main__``; ``local_modules``).
"""

from __future__ import annotations

import hashlib
import pickle
import sys
import threading
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from himalia.comm.buffers import Buffer, nbytes, pack, unpack
from himalia.errors import UsageError
from himalia.local_modules import LOCAL_MODULES
from himalia.names import Digest, Key, shorten

__all__ = [
    "Buffer", "collecting", "digest_of", "dumps", "dumps_function", "dumps_packed", "loads", "loads_packed", "nbytes",
    "pack", "reference", "resolve", "resolving", "travels_by_value", "unpack",
]  # fmt: skip

OUT_OF_BAND: Final = 4096
"""Bytes from which a buffer is a frame of its own.  An array there and back, measured: at 1 KiB its copy in the pickle
is an eighth quicker than a frame, at 4 KiB both take the same, at 64 KiB the copy takes a third longer."""
MAX_FRAMES: Final = 512
"""Frames of one value at most; their sizes have to fit into a datagram.  Later buffers go into the pickle."""


def dumps(value: object) -> list[Buffer]:
    """Serialize ``value``; may be called from any thread.

    The frames are views of the value's own buffers: use them before anybody changes the value.

    Returns
    -------
    list of Buffer
        The pickle, then its out-of-band buffers, each contiguous and of single bytes.

    Raises
    ------
    UsageError
        If neither pickle nor cloudpickle can write it; the cause is chained.
    """
    # The place of the pickle, which is made last: its buffers are appended meanwhile.
    frames: list[Buffer] = [b""]
    found = _context.found
    before = 0 if found is None else len(found)
    try:
        body = pickle.dumps(value, 5, buffer_callback=_collector(frames))
    except Exception:  # anything: user code runs in here; cloudpickle may know better, or says it better
        pass
    else:
        if not LOCAL_MODULES.are_named_in(body):
            frames[0] = body
            return frames
    # The C pickler may have met futures before it failed or was refused. cloudpickle meets them anew, in its own order.
    if found is not None:
        while len(found) > before:
            found.popitem()
    return _cloud_dumps(value)


def loads(frames: Sequence[Buffer]) -> Any:
    """Return the value that ``frames`` describe; arrays are views of writable frames, copies of read-only ones.

    Raises
    ------
    Exception
        Whatever the value's own classes raise, or the import of their modules.
    """
    if len(frames) == 1:
        return pickle.loads(frames[0])
    return pickle.loads(frames[0], buffers=[_writable(frame) for frame in frames[1:]])


def dumps_packed(value: object) -> bytes:
    """Serialize ``value`` into one byte string, for what is known to be small; see :func:`dumps`."""
    return pack(dumps(value))


def loads_packed(data: Buffer) -> Any:
    """Return the value of :func:`dumps_packed`; see :func:`loads`."""
    # A lone pickle begins with this byte (comm/buffers.py), and needs no view to be cut out of it.
    if data[0] == 0x80:
        return pickle.loads(data)
    return loads(unpack(data))


def dumps_function(function: Callable[..., object]) -> tuple[Digest, bytes]:
    """Serialize a function and name it: the BLAKE2b-128 of its pickle."""
    body = dumps_packed(function)
    return digest_of(body), body


def digest_of(body: bytes) -> Digest:
    """Return how a function is called from now on."""
    return Digest(hashlib.blake2b(body, digest_size=16).digest())


def _collector(frames: list[Buffer]) -> Callable[[pickle.PickleBuffer], bool]:
    """Return a ``buffer_callback`` that appends large buffers to ``frames`` and leaves the others in the pickle."""

    def keep_in_band(buffer: pickle.PickleBuffer) -> bool:
        try:
            view = buffer.raw()
        except BufferError:  # not contiguous
            return True
        if view.nbytes < OUT_OF_BAND or len(frames) >= MAX_FRAMES:
            return True
        frames.append(view)
        return False

    return keep_in_band


def _cloud_dumps(value: object) -> list[Buffer]:
    frames: list[Buffer] = [b""]
    try:
        from himalia import cloud

        # New frames: what the C pickler had found belongs to a pickle that isn't used.
        frames[0] = cloud.dumps(value, _collector(frames))
    except UsageError:  # ours: it says what is wrong
        raise
    except Exception as error:
        raise UsageError(_unpicklable_text(value, error)) from error
    return frames


def _unpicklable_text(value: object, error: Exception) -> str:
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    try:
        reason = f"{type(error).__name__}: {error}"
    except Exception:  # an exception may have any __str__
        reason = type(error).__name__
    # cloudpickle says it with a PicklingError, in whose text the word is.
    if isinstance(error, RecursionError) or "recursion" in reason.lower():
        return (
            f"A value of type {name} is nested too deeply to be pickled (Python's limit is {sys.getrecursionlimit()} "
            f"levels). Turn what is nested into a flat list, or build it inside the call."
        )
    if isinstance(value, types.CoroutineType):
        # Or Python complains later, at some other line, that it was never awaited.
        value.close()
        return (
            f"{value.__qualname__} is an `async def` function: calling it gives a coroutine, which nobody awaits in a "
            f"worker, and which can't be sent to another process. Submit a function that runs it: "
            f"lambda *args: asyncio.run({value.__name__}(*args))."
        )
    if isinstance(value, types.GeneratorType | types.AsyncGeneratorType):
        return (
            f"A value of type {name} can't be sent to another process: what {value.__qualname__} would yield isn't "
            f"computed yet. Return a list of it, or submit a call for each item."
        )
    return (
        f"A value of type {name} can't be sent to another process ({shorten(reason, 300)}). Locks, open files, sockets "
        f"and generators only live in the process that made them: create them inside the call."
    )


def travels_by_value(module: str) -> bool:
    """Whether what a module defines travels by value: others don't have it, or the user wants it so."""
    return module in LOCAL_MODULES.names()


def _writable(frame: Buffer) -> Buffer:
    """Return ``frame``, or a copy that can be written to: arrays of a result have to be writable."""
    if type(frame) is bytes or (type(frame) is memoryview and frame.readonly):
        # NumPy makes read-only arrays of read-only buffers, and `result += 1` would fail.
        return bytearray(frame)
    return frame


# Futures inside calls.  While a call is pickled, a future writes itself as ``resolve(key)``; while it is unpickled in
# a worker, ``resolve`` answers with the value.  Both are bound to the thread.


class _Context(threading.local):
    # A dict for the order, in which dependencies are sent; a set has none.
    found: dict[Key, None] | None = None
    values: Mapping[Key, object] | None = None


_context = _Context()


class collecting:  # reads as a verb: `with collecting() as found`
    """Context in which pickled futures become references; gives the dict of their keys, in order of appearance."""

    __slots__ = ("found", "outer")

    def __enter__(self) -> dict[Key, None]:
        # Contexts nest: a user's __reduce__ may submit another call while the first is pickled.
        self.outer = _context.found
        self.found: dict[Key, None] = {}
        _context.found = self.found
        return self.found

    def __exit__(self, *error: object) -> None:
        _context.found = self.outer


class resolving:
    """Context in which unpickled references become values.

    Parameters
    ----------
    values : mapping of Key to object
        The inputs of the call.
    """

    __slots__ = ("outer", "values")

    def __init__(self, values: Mapping[Key, object]) -> None:
        self.values = values

    def __enter__(self) -> None:
        self.outer = _context.values
        _context.values = self.values

    def __exit__(self, *error: object) -> None:
        _context.values = self.outer


def reference(key: Key) -> tuple[Callable[[Key], object], tuple[Key]] | None:
    """Note that the value being pickled depends on ``key``, and return what to pickle in its place.

    For the ``__reduce__`` of futures; ``None`` if no call is being pickled in this thread.
    """
    found = _context.found
    if found is None:
        return None
    found[key] = None
    # By name: the pickle is small, and a worker needs no client to read it.
    return resolve, (key,)


def resolve(key: Key) -> object:
    """Return the value of a dependency; what :func:`reference` leaves in a pickle calls this."""
    values = _context.values
    if values is None:
        raise UsageError(f"The pickle refers to the result of {shorten(key)}, which only its worker has.")
    try:
        return values[key]
    except KeyError:
        raise UsageError(f"The call refers to {shorten(key)}, which is not among its inputs.") from None
