"""Futures inside of containers: found, gathered, and their values put in their places.

Decides which containers are looked into: list, tuple, set, frozenset, dict, and iterators (which become lists).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from himalia.client.engine.engine import Engine
from himalia.client.engine.errors_view import folded
from himalia.client.engine.gathering import gather_here, gather_in_loop
from himalia.client.engine.values import SKIPPED
from himalia.client.future import AnyFuture, Future, engine_of, first_foreign, record_of, records_of
from himalia.errors import UsageError
from himalia.names import shorten

Rebuild = Callable[[Iterator[object]], object]


def gather_nested(engine: Engine, value: object, *, skip_errors: bool) -> Any:
    """Return the results of the futures in ``value``, in the same containers; an awaitable, for an asynchronous client.

    Raises
    ------
    UsageError
        If one of them belongs to another cluster.
    BaseException
        What the first call that failed raised, unless ``skip_errors``.
    """
    found: list[AnyFuture]
    rebuild: Rebuild | None = None
    # What map() returned: nothing to look for, and nothing to build again.
    if type(value) is list and all([type(item) is Future for item in value]):
        found = value
    else:
        found, rebuild = unpack_futures(value)
    foreign = first_foreign(engine, found)
    if foreign is not None and engine_of(foreign).cluster_id != engine.cluster_id:
        raise UsageError(
            f"{shorten(record_of(foreign).key)} belongs to another cluster, {foreign.client!r}: gather it there, or "
            f"ask for its result()."
        )
    if engine.asynchronous:
        return _gather_in_loop(engine, found, skip_errors, rebuild)
    values = gather_here(engine, records_of(found), skip_errors=skip_errors)
    if values.failure is not None:
        raise values.failure
    return _finish(values.values, skip_errors, rebuild)


async def _gather_in_loop(engine: Engine, futures: list[AnyFuture], skip: bool, rebuild: Rebuild | None) -> Any:
    # `futures` is kept until the end: maybe nobody else holds them, and the last to let go releases the results.
    with folded():
        values = await gather_in_loop(engine, records_of(futures), skip_errors=skip)
        if values.failure is not None:
            raise values.failure
    return _finish(values.values, skip, rebuild)


def _finish(values: list[object], skip: bool, rebuild: Rebuild | None) -> object:
    if rebuild is not None:
        return rebuild(iter(values))
    return [value for value in values if value is not SKIPPED] if skip else values


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
        # A subclass may not be made of one list: a named tuple isn't.
        kind = type(data) if type(data) in (list, tuple, set, frozenset) else list
        return [None] * len(values), values, kind
    if isinstance(data, Iterator | range):
        values = list(data)
        return [None] * len(values), values, list
    return [None], [data], lambda futures: futures[0]


def _unpack(value: object, found: list[AnyFuture]) -> Rebuild:
    if isinstance(value, Future):
        found.append(value)
        # Values come in the order in which the futures were found.
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
