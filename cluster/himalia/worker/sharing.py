"""Which values several calls of one process may share, and how none of them sees what another does to them.

What is kept for later calls is *frozen*: nobody can change it, and no call gets it itself.  A call gets

- of an array a read-only view: an attempt to change it raises, and whoever asked for it decides what then;
- of a pandas frame or series a shallow copy, which pandas copies when it is written to, and whose arrays are read-only;
- of a dict, list or tuple another one of what is in it;
- what can't be changed (text, numbers, Arrow's tables) as it is.

Everything else isn't shared: each call gets what it unpickles.  An array that something else refers to isn't either: a
function that keeps its last result, to fill it again next time, would change what others were given.  Nor is what has
the same array or frame in it twice: two copies of one would be two.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final, cast

NONE: Final = object()
"""In the place of a value that can't be shared."""
LARGEST: Final = 1000
"""Members of a container that is shared; of more, most calls want one, and each would get a copy of all."""
OWN: Final = -1_000_000
"""In the place of a number of references: memory of a value that was just read is nobody else's."""
TYPES: Final = 1000
"""Types whose kind is remembered."""
IMMUTABLE: Final[tuple[type, ...]] = (int, float, complex, bool, str, bytes, type(None))
GROUPS: Final = "ShuffleGroupResult"
"""What Dask's shuffle returns: a dict that says how large it is."""
PLAIN: Final = "biufcmMSU"
"""Kinds of dtypes that are nothing but their bytes."""
ARROW: Final = frozenset({"Table", "RecordBatch", "ChunkedArray", "Schema"})


def freeze(value: object, references: int, seen: set[int] | None = None) -> object:
    """Return what may be kept of a value that a call returned or an input that was read; :data:`NONE` if nothing.

    Parameters
    ----------
    value : object
        An array in it can't be written to any more afterwards.
    references : int
        How many there are to it beside those of the code that calls this; :data:`OWN` for what was just read.
    seen : set of int, optional
        Ids of what it is a part of, and of other parts.
    """
    kind = _kind_of(type(value))
    if kind is None:
        return NONE
    seen = set() if seen is None else seen
    if kind is not _CONSTANT:
        if id(value) in seen:
            return NONE
        seen.add(id(value))
    return kind[0](value, references, seen)


def give(frozen: Any) -> object:
    """Return what a call gets of something frozen."""
    kind = _kind_of(type(frozen))
    assert kind is not None
    return kind[1](frozen)


def is_array(value: object) -> bool:
    """Whether this is NumPy's plain array."""
    return _kind_of(type(value)) is _ARRAY


def pickled_as(array: Any) -> Any:
    """Return an array that is pickled in the place of another: in one piece, and writable for who reads it.

    pickle notes of an array that it is read-only, though what was read-only is what a call was given, and it copies one
    that is part of a larger one twice.
    """
    if array.dtype.hasobject or (array.flags.writeable and array.flags.forc):
        return array
    if not array.flags.forc or array.dtype.kind not in PLAIN:
        return array.copy()
    return sys.modules["numpy"].asarray(_Writable(array))


class _Writable:
    """The memory of an array as one that may be written to; nobody does."""

    def __init__(self, array: Any) -> None:
        self.array = array
        interface = dict(array.__array_interface__)
        self.__array_interface__ = interface | {"data": (interface["data"][0], False)}


def array_type() -> type | None:
    """Return NumPy's type of arrays, if there can be one in this process."""
    return getattr(sys.modules.get("numpy"), "ndarray", None)


# Kinds: how to freeze, and how to give

Kind = tuple[Callable[[Any, int, set[int]], object], Callable[[Any], object]]


def _freeze_constant(value: object, references: int, seen: set[int]) -> object:
    return value


def _freeze_arrow(table: object, references: int, _: set[int]) -> object:
    # It may be over memory of an array that its maker fills again.
    return table if references == OWN else NONE


def _give_as_it_is(value: object) -> object:
    return value


def _freeze_array(array: Any, references: int, _: set[int]) -> object:
    if references > 0 or array.dtype.hasobject:
        return NONE
    # Before there is a variable for it, which would count.
    others = _references_of_base(array) - _lone_base()
    base = array.base
    if base is not None and references != OWN:
        # Of a view all of the array that it views is kept.
        if type(base) is not type(array) or base.base is not None or others > 0 or base.nbytes > 2 * array.nbytes:
            return NONE
        base.flags.writeable = False
    array.flags.writeable = False
    return array


def _give_array(array: Any) -> object:
    return array.view()


def _freeze_frame(frame: Any, references: int, _: set[int]) -> object:
    if not all(map(_is_plain, [*_dtypes(frame), *[axis.dtype for axis in frame.axes]])):
        return NONE
    # Its memory may be that of an array which its maker fills again, or lie in a mapping.
    frozen = frame.copy(deep=references != OWN)
    if references != OWN:
        frozen.index = frozen.index.copy(deep=True)
    for block in frozen._mgr.blocks:
        # With what it is a view of, or a flag would make what pandas gives as read-only writable.
        values, arrays = block.values, cast(Any, array_type())
        while isinstance(values, arrays):
            values.flags.writeable = False
            values = values.base
    return frozen


def _give_frame(frame: Any) -> object:
    return frame.copy(deep=False)


def _freeze_dict(value: dict[Any, Any], references: int, seen: set[int]) -> object:
    members = _freeze_members(value.values(), len(value), references, seen)
    return NONE if members is None else type(value)(zip(value, members, strict=True))


def _give_dict(value: dict[Any, Any]) -> object:
    return type(value)(zip(value, map(give, value.values()), strict=True))


def _freeze_list(value: Any, references: int, seen: set[int]) -> object:
    members = _freeze_members(value, len(value), references, seen)
    return NONE if members is None else type(value)(members)


def _give_list(value: Any) -> object:
    return type(value)(map(give, value))


def _freeze_members(members: Any, count: int, references: int, seen: set[int]) -> list[object] | None:
    if count > LARGEST:
        return None
    result = []
    # First, since each reference of ours would count.
    counts = _reference_counts(members)
    for member, number in zip(members, counts, strict=True):
        # Whoever refers to the container can change what is in it.
        frozen = freeze(member, references if references == OWN else max(references, number - _LONE_MEMBER), seen)
        if frozen is NONE:
            return None
        result.append(frozen)
    return result


_ARRAY: Final[Kind] = (_freeze_array, _give_array)
_FRAME: Final[Kind] = (_freeze_frame, _give_frame)
_DICT: Final[Kind] = (_freeze_dict, _give_dict)
_LIST: Final[Kind] = (_freeze_list, _give_list)
_ARROW: Final[Kind] = (_freeze_arrow, _give_as_it_is)
_CONSTANT: Final[Kind] = (_freeze_constant, _give_as_it_is)

_kinds: dict[type, Kind | None] = {
    **dict.fromkeys(IMMUTABLE, _CONSTANT),
    dict: _DICT,
    list: _LIST,
    tuple: _LIST,
}


def _kind_of(type_: type) -> Kind | None:
    try:
        return _kinds[type_]
    except KeyError:
        pass
    # Types of a notebook come and go.
    if len(_kinds) > TYPES:
        for known in list(_kinds)[len(IMMUTABLE) + 3 :]:
            _kinds.pop(known, None)
    kind = _kinds[type_] = _find_kind(type_)
    return kind


def _find_kind(type_: type) -> Kind | None:
    """Find the kind of a type by where it is from: only what was imported can have an instance here."""
    module, name = str(type_.__module__).partition(".")[0], type_.__name__
    library: Any = sys.modules.get(module)
    if module == "dask" and name == GROUPS and issubclass(type_, dict):
        return _DICT
    # The very class: a subclass may keep more, and not know what a view or a shallow copy of it is.
    if getattr(library, name, None) is not type_:
        return None
    if module == "numpy":
        if name == "ndarray":
            return _ARRAY
        # A structured scalar can be written to.
        is_constant = issubclass(type_, library.generic) and not issubclass(type_, library.void | library.object_)
        return _CONSTANT if is_constant else None
    if module == "pandas" and name in ("DataFrame", "Series") and _copies_on_write(library):
        return _FRAME
    return _ARROW if module == "pyarrow" and name in ARROW else None


def _copies_on_write(pandas: Any) -> bool:
    """Whether a change of a shallow copy leaves the original alone: always from pandas 3 on."""
    return int(pandas.__version__.partition(".")[0]) >= 3


def _dtypes(frame: Any) -> Any:
    return frame.dtypes if frame.ndim == 2 else (frame.dtype,)


def _is_plain(dtype: Any) -> bool:
    """Whether values are numbers, times or text in memory that can be made read-only, and not any objects."""
    kind = type(dtype)
    if kind.__module__.partition(".")[0] == "numpy":
        return not dtype.hasobject
    return bool(kind.__name__ == "StringDtype" and getattr(dtype, "storage", "") == "pyarrow")


# How many references there are where nobody else has one.  Found out by the same code, since versions of Python differ.


def _reference_counts(members: Any) -> list[int]:
    return [sys.getrefcount(member) for member in members]


def _references_of_base(array: Any) -> int:
    return sys.getrefcount(array.base)


_LONE_MEMBER: Final = _reference_counts([object()])[0]


def _lone_base() -> int:
    global _base_count
    if _base_count == 0:
        import numpy as np

        _base_count = _references_of_base(np.zeros(4)[:2])
    return _base_count


_base_count = 0
