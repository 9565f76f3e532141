"""Functions on their way to the cluster: pickled as rarely as possible, never stale.

Decides when the pickle of a function may be used again, whether it rides inside a call or is sent once and named by its
digest, and which ones the scheduler may forget.  It never sends anything itself.

When a pickle may be used again
-------------------------------
A notebook redefines things all the time: a global that a function reads, a variable in its closure, a helper it calls.
Its pickle carries all of those, so it is used again only while each of them is still *the same object* and none of them
can change inside.  Whatever captures a list, an instance or a class of the notebook is pickled for every call.

When a live function may be used again
--------------------------------------
A worker that keeps the function it unpickled hands one call what another call left in it.  Only the client has the
object at hand, so it says with the body which of the two it is: a function that can't carry state, which calls share,
or one that is unpickled for each call: everything that captures what can change inside, and everything that writes to
what it captured (``global``, ``nonlocal``, attributes of functions).
"""

from __future__ import annotations

import datetime
import decimal
import dis
import functools
import itertools
import operator
import re
import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from himalia import callables, serialize
from himalia.client.packing.surroundings import Surroundings
from himalia.messages.client import ClientToScheduler
from himalia.messages.parts import ForgetFunctions, FunctionBody
from himalia.names import Digest, Key
from himalia.surroundings import Difference
from himalia.wellformed import label_of

BODY_LIMIT: Final = 1024 * 1024
"""Bytes of a pickled function that still travels as a message; larger ones are stored like data.  Spark warns of
tasks from 1,000 KiB on (``TASK_SIZE_TO_WARN_KIB``)."""
ATOMS: Final = frozenset({
    type(None), type(...), type(NotImplemented), bool, int, float, complex, str, bytes, range, datetime.date,
    datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone, decimal.Decimal, re.Pattern,
})  # fmt: skip
"""Types of values that can't change inside."""
MISSING: Final = object()
TRAITS: Final = 100
"""Functions of a notebook that one may refer to in all; a look at so many before each call
takes 0.7 ms, measured, and that is enough."""
REWRITES: Final = frozenset({dis.opmap["STORE_GLOBAL"], dis.opmap["DELETE_GLOBAL"]})
CELL_REWRITES: Final = frozenset({dis.opmap["STORE_DEREF"], dis.opmap["DELETE_DEREF"]})
ATTRIBUTE_REWRITES: Final = frozenset({dis.opmap["STORE_ATTR"], dis.opmap["DELETE_ATTR"]})
DETOURS: Final = frozenset({
    "__closure__", "__code__", "__defaults__", "__dict__", "__globals__", "__kwdefaults__", "__setattr__",
    "delattr", "eval", "exec", "globals", "setattr", "vars",
})  # fmt: skip
"""Names by which code can change what it captured without any of the instructions above."""


class PickledFunction:
    """A function, its pickle, and what must be unchanged for the pickle to be of any use later.

    Attributes
    ----------
    dependencies : tuple of Key
        Futures that it captured; such a function is of one use only.
    difference : Difference or None
        What its calls need that workers weren't started with; part of ``body``.
    plain : bytes
        The body without that, for a function inside of another's arguments.
    is_shared : bool
        Whether calls in one worker may share the live function: it can't carry anything from one to the next.
    """

    __slots__ = (
        "body", "dependencies", "difference", "digest", "function", "is_shared", "name", "plain", "traits",
    )  # fmt: skip

    def __init__(self, function: Callable[..., object], difference: Difference | None = None) -> None:
        self.function = function
        self.name = function_name(function)
        with serialize.collecting() as found:
            self.plain = serialize.dumps_packed(function)
        self.difference = difference
        self.body = self.plain if difference is None else difference.around(self.plain)
        self.digest = serialize.digest_of(self.body)
        self.dependencies: tuple[Key, ...] = tuple(found)
        self.traits = None if found else traits_of(function)
        self.is_shared = self.traits is not None and not carries_state(self.traits)

    def is_current(self) -> bool:
        """Whether pickling the function again would give the same."""
        return self.traits is not None and all(trait.holds() for trait in self.traits)

    def __reduce__(self) -> tuple[Callable[[bytes], object], tuple[bytes]]:
        """Become the function itself where a call that carries it is unpickled."""
        return serialize.loads_packed, (self.body,)


class FunctionCache:
    """The functions that the scheduler knows from this client, and pickles that may be used again.

    Parameters
    ----------
    limit : int
        Functions remembered at most, in each of its tables.
    surroundings : Surroundings, optional
        Looked at for each call.
    """

    def __init__(self, limit: int, surroundings: Surroundings | None = None) -> None:
        self._limit = limit
        self._look = surroundings.look if surroundings is not None else lambda: None
        # By id, as not every callable has a hash; each entry holds its function, so no other gets the same id.
        self._pickled: OrderedDict[int, PickledFunction] = OrderedDict()
        self._sent: OrderedDict[Digest, None] = OrderedDict()
        self._seen: OrderedDict[Digest, None] = OrderedDict()

    def pickle(self, function: Callable[..., object]) -> PickledFunction:
        """Return the pickle of ``function``, made anew if anything it refers to may have changed."""
        difference = self._look()
        known = self._pickled.get(id(function))
        if known is not None:
            # `is`: look() returns the same object as long as nothing changes.
            if known.function is function and known.difference is difference and known.is_current():
                return known
            # Out, since what is made now may be none to be kept.
            self._pickled.pop(id(function), None)
        made = PickledFunction(function, difference)
        if made.traits is not None:
            self._pickled[id(function)] = made
            if len(self._pickled) > self._limit:
                self._pickled.popitem(last=False)
        return made

    def has_difference(self) -> bool:
        """Whether calls made now need something that workers weren't started with."""
        return self._look() is not None

    def is_worth_naming(self, pickled: PickledFunction) -> bool:
        """Whether to send the function once and name it: from its second use on.

        At once, if its body says where to import from: a worker reads it before inputs and arguments then.
        """
        digest = pickled.digest
        if pickled.difference is not None:
            return not pickled.dependencies
        if digest in self._sent or digest in self._seen:
            return not pickled.dependencies
        self._seen[digest] = None
        if len(self._seen) > self._limit:
            self._seen.popitem(last=False)
        return False

    def announce(self, pickled: PickledFunction) -> list[ClientToScheduler]:
        """Return what has to be sent before a call may name the function; mostly nothing."""
        digest = pickled.digest
        if digest in self._sent:
            self._sent.move_to_end(digest)
            return []
        self._sent[digest] = None
        # The digest stays that of the plain body: how a worker keeps a function is no part of its name.
        body = pickled.body if pickled.is_shared else callables.per_call(pickled.body)
        messages: list[ClientToScheduler] = [FunctionBody(digest, body)]
        if len(self._sent) > self._limit:
            # Told, or the scheduler would keep every body that it ever got.
            messages.append(ForgetFunctions([self._sent.popitem(last=False)[0]]))
        return messages

    def retract(self, pickled: PickledFunction) -> None:
        """Undo :meth:`announce`: its messages may not have been sent.  A function that is sent twice does no harm."""
        self._sent.pop(pickled.digest, None)


class FunctionTrait:
    """What one Python function consists of, by identity: code, defaults, closure, attributes, the globals it reads."""

    __slots__ = (
        "cells",
        "code",
        "contents",
        "defaults",
        "function",
        "globals",
        "kwdefaults",
        "names",
        "values",
        "wraps",
    )

    def __init__(self, function: types.FunctionType) -> None:
        self.function = function
        self.code = function.__code__
        self.defaults = function.__defaults__
        # Its items, for the dict itself can be changed in place; defaults are a tuple.
        self.kwdefaults = _items(function.__kwdefaults__)
        self.cells = function.__closure__ or ()
        self.contents = tuple(map(_contents, self.cells))
        self.globals = function.__globals__
        self.names = tuple(dict.fromkeys(_global_names(self.code)))
        # Also that a name is missing: what is a builtin now may be defined in the next cell.
        self.values = tuple(self.globals.get(name, MISSING) for name in self.names)
        self.wraps = function.__dict__.get("__wrapped__", MISSING)

    def holds(self) -> bool:
        """Whether all of it is still the same."""
        function = self.function
        if function.__code__ is not self.code or function.__defaults__ is not self.defaults:
            return False
        if (function.__kwdefaults__ or self.kwdefaults) and not _same(_items(function.__kwdefaults__), self.kwdefaults):
            return False
        attributes = function.__dict__
        # Any attribute but the __wrapped__ that was looked at came later.
        if attributes and (len(attributes) > 1 or attributes.get("__wrapped__", self) is not self.wraps):
            return False
        for cell, content in zip(self.cells, self.contents, strict=True):
            if _contents(cell) is not content:
                return False
        get = self.globals.get
        for name, value in zip(self.names, self.values, strict=True):
            if get(name, MISSING) is not value:
                return False
        return True

    def captured(self) -> Iterator[object]:
        """Yield every object that its pickle contains."""
        yield from (value for value in (*self.contents, *self.values, self.wraps) if value is not MISSING)
        yield from self.defaults or ()
        yield from self.kwdefaults[1::2]


class PartialTrait:
    """What one ``functools.partial`` consists of; its keywords are a dict that anybody can change."""

    __slots__ = ("args", "function", "keywords", "partial")

    def __init__(self, partial: functools.partial[object]) -> None:
        self.partial = partial
        self.function = partial.func
        self.args = partial.args
        self.keywords = _items(partial.keywords)

    def holds(self) -> bool:
        """Whether all of it is still the same."""
        partial = self.partial
        if partial.func is not self.function or partial.args is not self.args or partial.__dict__:
            return False
        return _same(_items(partial.keywords), self.keywords)

    def captured(self) -> Iterator[object]:
        """Yield every object that its pickle contains."""
        yield self.function
        yield from self.args
        yield from self.keywords[1::2]


Trait = FunctionTrait | PartialTrait


def traits_of(function: Callable[..., object]) -> list[Trait] | None:
    """Return what must hold for a pickle of ``function`` to stay good; ``None`` if nothing could ensure it."""
    traits: list[Trait] = []
    todo: list[Any] = [function]
    seen: set[int] = set()
    while todo:
        value = todo.pop()
        # By the exact type, since a subclass may have attributes; and each once, since functions refer to each other.
        if type(value) in ATOMS or id(value) in seen:
            continue
        seen.add(id(value))
        # They can't change, but what is in them may.
        if type(value) in (tuple, frozenset):
            todo.extend(value)
            continue
        if is_importable(value) or is_numpys(value):
            continue
        trait: Trait
        if type(value) is types.FunctionType and not value.__dict__.keys() - {"__wrapped__"}:  # attributes travel too
            trait = FunctionTrait(value)
        elif type(value) is functools.partial and not value.__dict__:
            trait = PartialTrait(value)
        else:
            # A list, an instance, a class of the notebook: what is in it may change unseen.
            return None
        traits.append(trait)
        if len(traits) > TRAITS:
            return None
        todo.extend(trait.captured())
    return traits


def is_numpys(value: object) -> bool:
    """Whether it is something of NumPy that can't change inside: a data type, a ufunc, a number."""
    # Not imported for this: without it nothing can be NumPy's.
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, (numpy.dtype, numpy.ufunc, numpy.generic)):
        return False
    # Fields of a record can be set, and an object is whatever it is.
    return not isinstance(value, (numpy.void, numpy.object_))


def carries_state(traits: list[Trait]) -> bool:
    """Whether a call can leave something behind in functions that consist of these."""
    functions = [trait for trait in traits if type(trait) is FunctionTrait]
    if any(rewrites_captured(trait.code) for trait in functions):
        return True
    # Setting an attribute leaves something behind only if it is one of a function that came along.
    if not any(rewrites_attributes(trait.code) for trait in functions):
        return False
    return any(type(value) is types.FunctionType for trait in traits for value in trait.captured())


@functools.lru_cache(1000)
def rewrites_captured(code: types.CodeType) -> bool:
    """Whether code, or code inside of it, may rebind a global or a variable of a closure that it came with."""
    free = frozenset(code.co_freevars)
    for inner in _codes(code):
        operations = set(inner.co_code[::2])  # every other byte; those between are arguments
        if operations & REWRITES or not DETOURS.isdisjoint(inner.co_names):
            return True
        # Disassembled only here, since it is slow: variables of its own are rebound by the same instructions.
        if free and operations & CELL_REWRITES:
            if any(step.opcode in CELL_REWRITES and step.argval in free for step in dis.get_instructions(inner)):
                return True
    return False


@functools.lru_cache(1000)
def rewrites_attributes(code: types.CodeType) -> bool:
    """Whether code, or code inside of it, sets attributes: of a function that it captured, perhaps."""
    return any(set(inner.co_code[::2]) & ATTRIBUTE_REWRITES for inner in _codes(code))


def is_importable(value: object) -> bool:
    """Whether pickle names ``value`` by its module: of a file that others have too, not of a notebook."""
    if isinstance(value, types.ModuleType):
        return sys.modules.get(value.__name__) is value and not serialize.travels_by_value(value.__name__)
    if not isinstance(value, types.FunctionType | types.BuiltinFunctionType | type):
        return False
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    # <lambda> and <locals> can't be looked up.
    if module is None or name is None or "<" in name:
        return False
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    # By that name there may be something else by now: what decorates it, or what a cell defined since.
    return found is value and not serialize.travels_by_value(module)


def function_name(function: Callable[..., object]) -> str:
    """Return what to call ``function`` in keys and plots: ``lambda``, or what a partial calls, or its own name."""
    while isinstance(function, functools.partial):
        function = function.func
    name = label_of(function)
    return "lambda" if name == "<lambda>" else name


def _contents(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not yet assigned
        return MISSING


def _items(mapping: Mapping[str, object] | None) -> tuple[object, ...]:
    """Return names and values, one after the other."""
    return tuple(itertools.chain.from_iterable(mapping.items())) if mapping else ()


def _same(now: tuple[object, ...], then: tuple[object, ...]) -> bool:
    return len(now) == len(then) and all(map(operator.is_, now, then))


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield ``code`` and the code of the functions inside of it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _global_names(code: types.CodeType) -> Iterator[str]:
    """Yield the names that ``code`` and the functions inside of it may look up in their globals."""
    for inner in _codes(code):
        yield from inner.co_names
