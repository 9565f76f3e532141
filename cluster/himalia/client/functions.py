"""Functions on their way to the cluster: pickled as rarely as possible, never stale.

Decides when the pickle of a function may be used again, whether it rides inside a call or is sent once and named by its
digest, and which ones the scheduler may forget.  It never sends anything itself.

When a pickle may be used again
-------------------------------
A notebook redefines things all the time: a global that a function reads, a variable in its closure, a helper it calls.
Its pickle carries all of those, so it is used again only while each of them is still *the same object* and none of them
can change inside.  Whatever captures a list, an instance or a class of the notebook is pickled for every call.
"""

from __future__ import annotations

import functools
import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Final

from himalia import serialize
from himalia.messages import ClientToScheduler, ForgetFunctions, FunctionBody
from himalia.names import Digest, Key

BODY_LIMIT: Final = 1024 * 1024
"""Bytes of a pickled function that still travels as a message; larger ones are stored like data.  Guess."""
ATOMS: Final = frozenset({type(None), bool, int, float, complex, str, bytes, type(...), range, types.ModuleType})
"""Types of values that can't change inside."""
MISSING: Final = object()


class PickledFunction:
    """A function, its pickle, and what must be unchanged for the pickle to be of any use later.

    Attributes
    ----------
    dependencies : tuple of Key
        Futures that it captured; such a function is of one use only.
    """

    __slots__ = ("body", "dependencies", "digest", "function", "name", "traits")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.name = function_name(function)
        with serialize.collecting() as found:
            self.digest, self.body = serialize.dumps_function(function)
        self.dependencies: tuple[Key, ...] = tuple(found)
        self.traits = None if found else traits_of(function)

    def is_current(self) -> bool:
        """Return whether pickling the function again would give the same."""
        return self.traits is not None and all(trait.holds() for trait in self.traits)

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        """Become the function itself where a call that carries it is unpickled."""
        return serialize.loads_packed, (self.body,)


class FunctionCache:
    """The functions that the scheduler knows from this client, and pickles that may be used again.

    Parameters
    ----------
    limit : int
        Functions remembered at most; the same number for each of the two.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pickled: OrderedDict[int, PickledFunction] = OrderedDict()
        self._sent: OrderedDict[Digest, None] = OrderedDict()
        self._seen: OrderedDict[Digest, None] = OrderedDict()

    def pickle(self, function: Callable[..., Any]) -> PickledFunction:
        """Return the pickle of ``function``, made anew if anything it refers to may have changed."""
        known = self._pickled.get(id(function))
        if known is not None:
            if known.function is function and known.is_current():
                return known
            self._pickled.pop(id(function), None)
        made = PickledFunction(function)
        if made.traits is not None:
            self._pickled[id(function)] = made
            if len(self._pickled) > self._limit:
                self._pickled.popitem(last=False)
        return made

    def is_worth_naming(self, pickled: PickledFunction) -> bool:
        """Return whether to send the function once and name it: from its second use on."""
        digest = pickled.digest
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
        messages: list[ClientToScheduler] = [FunctionBody(digest, pickled.body)]
        if len(self._sent) > self._limit:
            messages.append(ForgetFunctions([self._sent.popitem(last=False)[0]]))
        return messages

    def retract(self, pickled: PickledFunction) -> None:
        """Undo :meth:`announce`: its messages may not have been sent.  A function that is sent twice does no harm."""
        self._sent.pop(pickled.digest, None)


class Trait:
    """What one Python function consists of, by identity: its code, defaults, closure, and the globals it reads."""

    __slots__ = ("cells", "code", "contents", "defaults", "function", "globals", "kwdefaults", "names", "values")

    def __init__(self, function: types.FunctionType) -> None:
        self.function = function
        self.code = function.__code__
        self.defaults = function.__defaults__
        self.kwdefaults = function.__kwdefaults__
        self.cells = function.__closure__ or ()
        self.contents = tuple(map(_contents, self.cells))
        self.globals = function.__globals__
        self.names = tuple(dict.fromkeys(_global_names(self.code)))
        self.values = tuple(self.globals.get(name, MISSING) for name in self.names)

    def holds(self) -> bool:
        """Return whether all of it is still the same."""
        function = self.function
        if function.__code__ is not self.code or function.__defaults__ is not self.defaults:
            return False
        if function.__kwdefaults__ is not self.kwdefaults:
            return False
        for cell, content in zip(self.cells, self.contents, strict=True):
            if _contents(cell) is not content:
                return False
        get = self.globals.get
        for name, value in zip(self.names, self.values, strict=True):
            if get(name, MISSING) is not value:
                return False
        return True

    def captured(self) -> Iterator[Any]:
        """Yield every object that its pickle contains."""
        yield from self.contents
        yield from (value for value in self.values if value is not MISSING)
        yield from self.defaults or ()
        yield from (self.kwdefaults or {}).values()


def traits_of(function: Callable[..., Any]) -> list[Trait] | None:
    """Return what must hold for a pickle of ``function`` to stay good; ``None`` if nothing could ensure it."""
    traits: list[Trait] = []
    todo: list[Any] = [function]
    seen: set[int] = set()
    while todo:
        value = todo.pop()
        if type(value) in ATOMS or id(value) in seen:
            continue
        seen.add(id(value))
        if type(value) in (tuple, frozenset):
            todo.extend(value)
        elif is_importable(value):
            continue
        elif type(value) is types.FunctionType:
            if value.__dict__.keys() - {"__wrapped__"} or len(traits) > 100:  # attributes travel too
                return None
            todo.extend(value.__dict__.values())
            trait = Trait(value)
            traits.append(trait)
            todo.extend(trait.captured())
        elif type(value) is functools.partial and not value.__dict__:
            todo.extend((value.func, value.args, *value.keywords.values()))
        else:
            return None
    return traits


def is_importable(value: Any) -> bool:
    """Return whether pickle names ``value`` by its module: a function or class of a file, not of a notebook."""
    if not isinstance(value, types.FunctionType | types.BuiltinFunctionType | type):
        return False
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if module is None or name is None or module == "__main__" or "<" in name:
        return False
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value and not _is_by_value(module)


def function_name(function: Callable[..., Any]) -> str:
    """Return what to call ``function`` in keys and plots: ``lambda``, or what a partial calls, or its own name."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None) or type(function).__name__
    return "lambda" if name == "<lambda>" else str(name)


def _is_by_value(module: str) -> bool:
    """Whether the user asked cloudpickle to pickle this module, or its package, by value."""
    cloudpickle = sys.modules.get("cloudpickle.cloudpickle")
    if cloudpickle is None:
        return False
    return any(module == name or module.startswith(name + ".") for name in cloudpickle.list_registry_pickle_by_value())


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet assigned
        return MISSING


def _global_names(code: types.CodeType) -> Iterator[str]:
    """Yield the names that ``code`` and the functions inside of it may look up in their globals."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)
