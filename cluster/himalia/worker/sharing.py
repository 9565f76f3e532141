"""Which values several calls of one process may share, and how none of them sees what another does to them.

What is kept for later calls is *frozen*: nobody but the keeper can change it, and no call gets it itself.  A call gets

- of an array a read-only view: an attempt to change it raises, and whoever asked for it decides what then;
- of a pandas frame, series or index a shallow copy, which pandas copies when it is written to;
- of a dict, list or tuple another one of what is in it;
- what can't be changed (text, numbers, Arrow's tables) as it is.

Everything else isn't shared: each call gets what it unpickles.  An array that something else refers to isn't either: a
function that keeps its last result, to fill it again next time, would change what others were given.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

NONE: Final = object()
"""In the place of a value that can't be shared."""
LARGEST: Final = 1000
"""Members of a container that is shared; of more, most calls want one, and each would get a copy of all."""
OWN: Final = -1_000_000
"""In the place of a number of references: memory of a value that was just read is nobody else's."""
TYPES: Final = 1000
"""Types whose kind is remembered."""
IMMUTABLE: Final[tuple[type, ...]] = (int, float, complex, bool, str, bytes, type(None))
DICT_METHODS: Final = ("__new__", "__init__", "__setitem__", "__getitem__", "__iter__", "values", "__reduce_ex__")
"""Of a subclass that is a dict in all but its name."""
ARROW: Final = frozenset({"Table", "RecordBatch", "ChunkedArray", "Schema"})


def freeze(value: object, references: int) -> object:
    """Return what may be kept of a value that a call returned or an input that was read; :data:`NONE` if nothing.

    Parameters
    ----------
    value : object
        An array in it can't be written to any more afterwards.
    references : int
        How many there are to it beside those of the code that calls this.
    """
    kind = _kind_of(type(value))
    return NONE if kind is None else kind[0](value, references)


def give(frozen: Any, read_only: bool) -> object:
    """Return what a call gets of something frozen; :data:`NONE` if it has an array and the call may write to it."""
    kind = _kind_of(type(frozen))
    assert kind is not None
    return kind[1](frozen, read_only)


def is_array(value: object) -> bool:
    """Whether this is an array that may be kept, whatever its inputs were: it has memory of its own then."""
    return _kind_of(type(value)) is _ARRAY


def contiguous(value: Any) -> Any:
    """Return an array whose pickle needs no copy: a part of a larger one is copied here, in the order of its memory."""
    # pickle would copy it twice: into bytes, and these into the pickle.
    if _kind_of(type(value)) is not _ARRAY or value.flags.forc or value.dtype.hasobject:
        return value
    return value.copy()


# Kinds: how to freeze, and how to give

Kind = tuple[Callable[[Any, int], object], Callable[[Any, bool], object]]


def _as_it_is(value: object, _: object) -> object:
    return value


def _freeze_array(array: Any, references: int) -> object:
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


def _give_array(array: Any, read_only: bool) -> object:
    return array.view() if read_only else NONE


def _freeze_frame(frame: Any, _: int) -> object:
    return frame.copy(deep=False) if all(map(_is_plain, _dtypes(frame))) else NONE


def _give_frame(frame: Any, _: bool) -> object:
    return frame.copy(deep=False)


def _freeze_dict(value: dict[Any, Any], references: int) -> object:
    members = None if getattr(value, "__dict__", None) else _freeze_members(value.values(), len(value), references)
    return NONE if members is None else type(value)(zip(value, members, strict=True))


def _give_dict(value: dict[Any, Any], read_only: bool) -> object:
    members = [give(member, read_only) for member in value.values()]
    return NONE if NONE in map(_only_none, members) else type(value)(zip(value, members, strict=True))


def _freeze_list(value: Any, references: int) -> object:
    members = _freeze_members(value, len(value), references)
    return NONE if members is None else type(value)(members)


def _give_list(value: Any, read_only: bool) -> object:
    members = [give(member, read_only) for member in value]
    return NONE if NONE in map(_only_none, members) else type(value)(members)


def _only_none(member: object) -> object:
    """Arrays and frames compare by element."""
    return member if member is NONE else None


def _freeze_members(members: Any, count: int, references: int) -> list[object] | None:
    if count > LARGEST:
        return None
    result = []
    # First, since each reference of ours would count.
    counts = _reference_counts(members)
    for member, number in zip(members, counts, strict=True):
        # Whoever refers to the container can change what is in it.
        frozen = freeze(member, references if references == OWN else max(references, number - _LONE_MEMBER))
        if frozen is NONE:
            return None
        result.append(frozen)
    return result


_ARRAY: Final[Kind] = (_freeze_array, _give_array)
_FRAME: Final[Kind] = (_freeze_frame, _give_frame)
_DICT: Final[Kind] = (_freeze_dict, _give_dict)
_LIST: Final[Kind] = (_freeze_list, _give_list)
_CONSTANT: Final[Kind] = (_as_it_is, _as_it_is)

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
    # Dask's shuffle returns such a one, which only says how large it is.
    if issubclass(type_, dict) and all(getattr(type_, name) is getattr(dict, name) for name in DICT_METHODS):
        return _DICT
    # The very class: a subclass may keep more, and not know what a view or a shallow copy of it is.
    if getattr(library, name, None) is not type_:
        return None
    if module == "numpy":
        return _ARRAY if name == "ndarray" else _CONSTANT if issubclass(type_, library.generic) else None
    if module == "pandas" and name in ("DataFrame", "Series") and _copies_on_write(library):
        return _FRAME
    return _CONSTANT if module == "pyarrow" and name in ARROW else None


def _copies_on_write(pandas: Any) -> bool:
    """Whether a change of a shallow copy leaves the original alone: always from pandas 3 on."""
    return int(pandas.__version__.partition(".")[0]) >= 3


def _dtypes(frame: Any) -> Any:
    return frame.dtypes if frame.ndim == 2 else (frame.dtype,)


def _is_plain(dtype: Any) -> bool:
    """Whether values of a column are numbers, times or text, and not any objects, which calls could change."""
    if getattr(dtype, "hasobject", False):
        return False
    return type(dtype).__module__.partition(".")[0] in ("numpy", "pandas")


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
