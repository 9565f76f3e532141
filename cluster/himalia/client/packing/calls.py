"""From a function and its arguments to what the scheduler is told: keys, pickled calls, dependencies, options.

Decides how calls are named, and what is too large to ride in a message and has to be stored at a host first.  It never
sends or stores anything: a :class:`Parcel` says what the shell has to do before the call may be submitted.

Names
-----
A *pure* call is named by what it is: the digest of its function and of its arguments, so that the same
call made twice is one task while a future of it lives.  Arguments of more than a megabyte are not looked through for
that (a digest costs as much time as sending them): such calls get a name of their own, as impure ones do.
"""

from __future__ import annotations

import hashlib
import itertools
import pickle
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from himalia import serialize
from himalia.bounds import problem_of
from himalia.client.packing import origin
from himalia.client.packing.functions import BODY_LIMIT, FunctionCache, PickledFunction
from himalia.client.packing.remote import InlineCall, Reference
from himalia.errors import UsageError
from himalia.messages.parts import TaskOptions, TaskSpec
from himalia.names import Key, PeerId, shorten
from himalia.serialize import Buffer
from himalia.wellformed import name_of

DIGEST_LIMIT: Final = 1024 * 1024
"""Bytes of arguments up to which a call is named by their digest: a millisecond."""

FOR_EVER: Final = 2**31
"""Retries that nobody lives to see the end of; who asks for more means that."""


class Parcel(msgspec.Struct, gc=False, eq=False):
    """A value that has to be stored at a host before a call that needs it is submitted."""

    key: Key
    group: str
    frames: list[Buffer]
    type_name: str
    wanted: bool = False
    origin: str = ""
    """What its name stands for, if the user chose that; see ``origin.py``."""
    attempt: int = 0
    """Of the same value, if that is on the cluster already; 0: it is new."""


class Call(msgspec.Struct, gc=False, eq=False):
    """A call that is ready to be submitted, after ``parcels`` were stored and the scheduler knows what it names."""

    spec: TaskSpec
    parcels: list[Parcel]
    named: PickledFunction | None = None
    """Its function, if that doesn't ride inside."""


class KeyMaker:
    """Names for calls and values."""

    def __init__(self, me: PeerId) -> None:
        # The random part of this incarnation: no other client makes the same names.
        self._unique = me.rpartition("-")[2]
        self._numbers = itertools.count(1)

    def unique(self, prefix: str) -> Key:
        """Return a name that nobody else makes; any thread."""
        return Key(f"{prefix}-{self._unique}{next(self._numbers):x}")

    def of_content(self, prefix: str, frames: list[Buffer], start: bytes = b"") -> Key:
        """Return a name made of the content, or a unique one if that is large."""
        if len(frames) == 1 and len(frames[0]) <= DIGEST_LIMIT:
            return Key(f"{prefix}-{hashlib.blake2b(start + bytes(frames[0]), digest_size=16).hexdigest()}")
        if serialize.nbytes(frames) > DIGEST_LIMIT:
            return self.unique(prefix)
        digest = hashlib.blake2b(start, digest_size=16)
        for frame in frames:
            digest.update(len(memoryview(frame).cast("B")).to_bytes(8))  # else another cut would be the same content
            digest.update(frame)
        return Key(f"{prefix}-{digest.hexdigest()}")


class CallMaker:
    """Makes calls of one client.

    Parameters
    ----------
    functions : FunctionCache
    keys : KeyMaker
    inline_limit : int
        Bytes of a packed call that still rides inside a message.
    """

    def __init__(self, functions: FunctionCache, keys: KeyMaker, inline_limit: int) -> None:
        self.functions = functions
        self.keys = keys
        self._limit = inline_limit

    def make(
        self,
        function: PickledFunction,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        *,
        key: Key | None,
        pure: bool,
        order: int = 0,
        options: TaskOptions | None = None,
        prefix: str = "",
    ) -> Call:
        """Return one call of ``function``; ``prefix`` begins its name instead of the function's own.

        Raises
        ------
        UsageError
            If the arguments can't be pickled.
        """
        with serialize.collecting() as found:
            frames = serialize.dumps((args, kwargs))
        name = function.name
        if key is None:
            prefix = prefix or name
            key = self.keys.of_content(prefix, frames, function.digest) if pure else self.keys.unique(prefix)
        else:
            options = named_options(options, origin.of_call(function, frames))
        dependencies = tuple(found)
        if len(frames) == 1 and len(frames[0]) <= self._limit and not function.dependencies:
            # A function that is used once costs no message of its own.
            if len(function.body) <= self._limit and not self.functions.is_worth_naming(function):
                # The C pickler will do: both are bytes already.
                call = pickle.dumps(InlineCall(function.body, bytes(frames[0])), 5)
                return Call(TaskSpec(key, name, b"", call, dependencies, order, True, "", options), [])
            if len(function.body) <= BODY_LIMIT:
                call = bytes(frames[0])
                spec = TaskSpec(key, name, function.digest, call, dependencies, order, True, "", options)
                return Call(spec, [], function)
        return self._make_special(function, args, kwargs, frames, dependencies, key, order, options)

    def _make_special(
        self,
        function: PickledFunction,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        frames: list[Buffer],
        dependencies: tuple[Key, ...],
        key: Key,
        order: int,
        options: TaskOptions | None,
    ) -> Call:
        """Make a call that is large, or whose function is, or whose function captured futures."""
        parcels: list[Parcel] = []
        named: PickledFunction | None = None
        if function.dependencies or len(function.body) > BODY_LIMIT:
            carried: object = function
            if not function.dependencies:
                parcels.append(self.function_parcel(function))
                carried = Reference(parcels[0].key)
            # The body has to be inside: futures that it captured get their values while the call is unpickled.
            with serialize.collecting() as found:
                frames = serialize.dumps((carried, args, kwargs))
            # Its own are added: it was pickled before, and nobody notes them this time.
            dependencies = tuple(dict.fromkeys((*found, *function.dependencies)))
        else:
            named = function
        call, argument = b"", ""
        if serialize.nbytes(frames) <= self._limit:
            call = serialize.pack(frames)
        else:
            parcels.append(Parcel(self.keys.unique("himalia-argument"), "himalia-argument", frames, "tuple"))
            argument = parcels[-1].key
            dependencies = (*dependencies, parcels[-1].key)
        digest = function.digest if named is not None else b""
        spec = TaskSpec(key, function.name, digest, call, dependencies, order, True, argument, options)
        return Call(spec, parcels, named)

    def function_parcel(self, function: PickledFunction) -> Parcel:
        """Return a function that is too large for a message as a value to be stored."""
        frames: list[Buffer] = list(serialize.unpack(function.body))
        return Parcel(Key(f"himalia-closure-{function.digest.hex()}"), "himalia-closure", frames, "function")


def make_options(
    *,
    priority: float = 0,
    retries: int | None = None,
    workers: str | Iterable[str] | None = None,
    allow_other_workers: bool = False,
    resources: Mapping[str, float] | None = None,
) -> TaskOptions | None:
    """Return what the user asked for beyond the call itself, checked; ``None`` if that is nothing.

    Raises
    ------
    UsageError
        If an option can't mean anything.
    """
    names = tuple(map(name_of, (workers,) if isinstance(workers, str) else workers or ()))
    if allow_other_workers and not names:
        raise UsageError("allow_other_workers=True says that `workers` is a wish only: give workers= too, or neither.")
    if not (priority or retries or names or resources):
        return None
    try:
        checked = {name_of(name): float(amount) for name, amount in (resources or {}).items()}
        again = min(int(retries or 0), FOR_EVER)
        options = TaskOptions(float(priority), again, names, bool(allow_other_workers), checked)
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UsageError(f"priority and retries are numbers, resources a dict of numbers: {error}.") from None
    if options.retries < 0 or any(amount < 0 for amount in checked.values()):
        raise UsageError("retries and resources can't be negative.")
    # Asked here: what is beyond its bounds would end the session where it is decoded.
    problem = problem_of(options)
    if problem:
        raise UsageError(
            f"{shorten(str(options), 300)} can't be sent: {problem}. Give finite, sensible numbers and short names."
        )
    return options


def named_options(options: TaskOptions | None, origin: str) -> TaskOptions:
    """Return options of a call whose name the user chose; see ``origin.py``."""
    return TaskOptions(origin=origin) if options is None else msgspec.structs.replace(options, origin=origin)


def check_callable(function: Callable[..., object], method: str) -> None:
    """Raise if ``function`` can't be called: the most frequent slip is to pass a call's result."""
    if not callable(function):
        raise TypeError(
            f"The first argument of {method}() is the function itself, not {type(function).__name__} "
            f"{str(function)[:60]!r}. Write {method}(f, x), not {method}(f(x))."
        )
