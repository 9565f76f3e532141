"""Futures inside of containers: found for gathering, and their values put in their places.

Decides which containers are looked into: list, tuple, set, frozenset, dict, and iterators (which become lists).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from himalia.client.engine.values import SKIPPED
from himalia.client.future import AnyFuture, Future

Rebuild = Callable[[Iterator[object]], object]


def unpack_futures(value: object) -> tuple[list[AnyFuture], Rebuild]:
    """Return the futures in ``value``, in order, and a function that builds the same with values in their places.

    Values that are :data:`SKIPPED` are left out of their container; alone, they become ``None``.
    """
    found: list[AnyFuture] = []
    build = _unpack(value, found)

    def rebuild(values: Iterator[object]) -> object:
        built = build(values)
        return None if built is SKIPPED else built

    return found, rebuild


def pack_futures(data: object) -> tuple[list[Any], list[Any], Callable[[list[Any]], Any]]:
    """Return names (of a dict) and values of what is scattered, and what puts futures into the same container."""
    if isinstance(data, dict):
        names = list(data)
        return names, list(data.values()), lambda futures: dict(zip(names, futures, strict=True))
    if isinstance(data, list | tuple | set | frozenset):
        values = list(data)
        kind = type(data) if type(data) in (list, tuple, set, frozenset) else list
        return [None] * len(values), values, kind
    if isinstance(data, Iterator | range):
        values = list(data)
        return [None] * len(values), values, list
    return [None], [data], lambda futures: futures[0]


def _unpack(value: object, found: list[AnyFuture]) -> Rebuild:
    if isinstance(value, Future):
        found.append(value)
        return next
    if isinstance(value, dict):
        keys = list(value)
        parts = [_unpack(item, found) for item in value.values()]
        return lambda values: {
            key: built for key, built in zip(keys, _build(parts, values), strict=True) if built is not SKIPPED
        }
    if isinstance(value, list | tuple | set | frozenset | Iterator):
        kind: Any = type(value) if type(value) in (list, tuple, set, frozenset) else list
        parts = [_unpack(item, found) for item in value]
        return lambda values: kind([built for built in _build(parts, values) if built is not SKIPPED])
    return lambda values: value


def _build(parts: Sequence[Rebuild], values: Iterator[object]) -> list[object]:
    return [part(values) for part in parts]
