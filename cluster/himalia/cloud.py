"""The pickler for what the C pickler can't write or would only name: cloudpickle, told what exists here alone.

Which modules those are, ``local_modules`` decides.  This one is imported when it is first needed.
"""

from __future__ import annotations

import functools
import io
import pickle
import sys
import threading
import types
from collections import ChainMap
from collections.abc import Callable
from typing import IO, Any, Final, TypeAlias

import cloudpickle

from himalia.local_modules import LOCAL_MODULES

BufferCallback: TypeAlias = Callable[[pickle.PickleBuffer], bool]
"""What decides whether a buffer stays in the pickle."""
Reduced: TypeAlias = tuple[object, tuple[object, ...]]
"""What makes an object again, and its arguments; see ``object.__reduce__``."""

# The C class has no public name.
CACHED: Final = type(functools.lru_cache(lambda: None))
reduce_module: Final[Callable[[object], object]] = cloudpickle.Pickler.dispatch_table[types.ModuleType]
reduce_code: Final[Callable[[types.CodeType], Reduced]] = cloudpickle.Pickler.dispatch_table[types.CodeType]
NO_FILE: Final = "<dynamic-code>"
"""What cloudpickle (from 3.1.3 on) writes for the file of every code object."""
_registering = threading.RLock()


class CloudPickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle is untyped
    """Writes functions, classes and modules by value that others can't import."""

    def __init__(self, file: IO[bytes], buffer_callback: BufferCallback | None = None) -> None:
        super().__init__(file, 5, buffer_callback)
        # Once for each pickle: reducer_override() is asked for every object in it.
        self._by_value = LOCAL_MODULES.names()

    dispatch_table = ChainMap(
        {
            types.ModuleType: lambda module: _by_value(module.__name__, reduce_module, module),
            types.CodeType: lambda code: _with_file(code),
        },
        cloudpickle.Pickler.dispatch_table,
    )

    def reducer_override(self, value: object) -> object:
        """Return how to pickle functions and classes; see ``pickle.Pickler``."""
        kind = type(value)
        if kind is CACHED:
            return self._reduce_cached(value)
        if kind is types.FunctionType or issubclass(kind, type):
            module = getattr(value, "__module__", None)
            # What is in __main__, cloudpickle takes by value without being told.
            if module in self._by_value and module != "__main__":
                return _by_value(module, super().reducer_override, value)
        return super().reducer_override(value)

    def _reduce_cached(self, value: Any) -> object:
        """Return a function with an ``lru_cache`` by value, empty, if it can't be named."""
        module, name = value.__module__, value.__qualname__
        if module not in self._by_value:
            found: object = sys.modules.get(module)
            for part in name.split("."):
                found = getattr(found, part, None)
            # By its name, as the C pickler does: the reader's own object has the reader's own cache.
            if found is value:
                return NotImplemented
        parameters = value.cache_parameters()
        return cached, (value.__wrapped__, parameters["maxsize"], parameters["typed"])


def dumps(value: object, buffer_callback: BufferCallback | None) -> bytes:
    """Return the pickle of ``value``.

    Raises
    ------
    Exception
        Whatever hinders it.
    """
    file = io.BytesIO()
    CloudPickler(file, buffer_callback).dump(value)
    return file.getvalue()


def cached(function: Callable[..., object], maxsize: int | None, typed: bool) -> Callable[..., object]:
    """Return ``function`` with an empty ``lru_cache``."""
    return functools.lru_cache(maxsize, typed)(function)


def _with_file(code: types.CodeType) -> Reduced:
    """Reduce a code object with the name of its file: tracebacks, profiles and ``%debug`` show lines of that."""
    # By value and not by position: which argument it is depends on the version of Python.
    kind, arguments = reduce_code(code)
    return kind, tuple(["".join(code.co_filename) if argument == NO_FILE else argument for argument in arguments])


def _by_value(name: str, reduce: Callable[[object], object], value: object) -> object:
    """Reduce ``value`` while cloudpickle takes this module by value; no longer, for others use cloudpickle too."""
    module = sys.modules.get(name)
    if module is None or name == "__main__" or name not in LOCAL_MODULES.names():
        return reduce(value)
    with _registering:
        # The user registered it; we would take it out again below.
        if module.__name__ in cloudpickle.list_registry_pickle_by_value():
            return reduce(value)
        cloudpickle.register_pickle_by_value(module)
        try:
            return reduce(value)
        finally:
            cloudpickle.unregister_pickle_by_value(module)
