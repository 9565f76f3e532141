"""What a shuffle's split returns, pickled so that each of its parts can be read without the others.

Dask's ``split`` gives a dict of as many frames as there are partitions, and then one call for each frame takes it out:
all of them would unpickle all frames, 0.8 ms for sixteen, to use one.  That was a quarter of a merge's time.  Here each
frame is a pickle within the pickle, and :func:`picking` leaves them as they are until one is asked for.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Sequence
from typing import Any, Final

from himalia import serialize
from himalia.comm.buffers import Buffer

SPLIT: Final = ("dask.dataframe.backends", "ShuffleGroupResult")
"""Where Dask has the type, and its name: a dict of frames that have nothing in common."""

Item = tuple[object, Sequence[Any]]
"""A key, and the frames of its value."""


class _Picking(threading.local):
    is_on = False


_picking = _Picking()


class picking:
    """What is unpickled in this block is only looked up by key: parts are unpickled when they are asked for."""

    def __enter__(self) -> None:
        _picking.is_on = True

    def __exit__(self, *error: object) -> None:
        _picking.is_on = False


def by_items(value: object) -> object:
    """Return what is pickled in the place of a result: of a split :class:`Items`, and anything else as it is."""
    kind = type(value)
    return Items(value) if (kind.__module__, kind.__name__) == SPLIT and isinstance(value, dict) else value


class Items:
    """A dict that is pickled item by item, and unpickled as the dict it was."""

    def __init__(self, value: dict[object, object]) -> None:
        self._value = value

    def __reduce__(self) -> Any:
        return gather, (type(self._value), [_item(key, serialize.dumps(item)) for key, item in self._value.items()])


class Pickles:
    """A dict whose values are pickles until they are asked for."""

    def __init__(self, kind: type[dict[object, object]], items: list[Item]) -> None:
        self._kind = kind
        self._items = dict(items)

    def __getitem__(self, key: object) -> Any:
        return serialize.loads(self._items[key])

    def __reduce__(self) -> Any:
        # It was in a list or a dict, and is what was looked up there.
        return gather, (self._kind, [_item(key, frames) for key, frames in self._items.items()])


def gather(kind: type[dict[object, object]], items: list[Item]) -> object:
    """Return the dict that was pickled; what :class:`Items` leaves in a pickle calls this."""
    if _picking.is_on:
        return Pickles(kind, items)
    value = kind()
    value.update((key, serialize.loads(frames)) for key, frames in items)
    return value


def _item(key: object, frames: Sequence[Buffer]) -> Item:
    body, *buffers = frames
    # As buffers again, or they would be copied into the pickle.
    return key, [body, *map(pickle.PickleBuffer, buffers)]
