"""Which results are in memory, on which hosts, and how large they are."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from himalia.bounds import FEW
from himalia.client.engine.engine import Engine
from himalia.client.future import records_of
from himalia.client.futures_in import futures_of
from himalia.client.selecting import select_hosts
from himalia.messages.answers import KeyView
from himalia.messages.client import GetInfo, GetKeys
from himalia.names import Key
from himalia.telemetry.group_names import group_name
from himalia.wellformed import key_of


async def holders_of(engine: Engine, keys: list[Key] | None) -> dict[str, tuple[str, ...]]:
    """Return the addresses of the nannies that hold each key."""
    return {key: held.holders for key, held in (await views_of(engine, keys)).items()}


async def keys_held_by(engine: Engine, workers: str | Iterable[str] | None) -> dict[str, tuple[str, ...]]:
    """Return the keys that each of these hosts holds, by the address of its nanny."""
    info = await engine.ask(GetInfo)
    found: dict[str, list[str]] = {info.hosts[host].address: [] for host in select_hosts(info, workers)}
    for key, held in (await views_of(engine, None)).items():
        for address in held.holders:
            if address in found:
                found[address].append(key)
    return {address: tuple(keys) for address, keys in found.items()}


async def sizes_of(engine: Engine, keys: list[Key] | None, *, by_group: bool) -> dict[str, int]:
    """Return the bytes of results, by group or by key."""
    sizes: dict[str, int] = {}
    for key, held in (await views_of(engine, keys)).items():
        name = group_name(key) if by_group else key
        sizes[name] = sizes.get(name, 0) + held.nbytes
    return sizes


async def views_of(engine: Engine, keys: list[Key] | None) -> dict[Key, KeyView]:
    """Ask who holds these keys, or everything that is in memory, in pages: an answer must fit into a message."""

    async def ask(some: list[Key] | None, skip: int) -> dict[Key, KeyView]:
        return (await engine.ask(lambda number: GetKeys(number, some, skip))).keys

    found: dict[Key, KeyView] = {}
    if keys is not None:
        for start in range(0, len(keys), FEW):
            found.update(await ask(keys[start : start + FEW], 0))
        return found
    for skip in itertools.count(0, FEW):
        page = await ask(None, skip)
        found.update(page)
        if len(page) < FEW:
            break
    return found


def keys_of(futures: object) -> list[Key] | None:
    """Return the keys of futures, collections or keys; ``None`` for ``None``."""
    if futures is None:
        return None
    if isinstance(futures, str):
        return [key_of(futures)]
    if isinstance(futures, list | tuple | set) and all(isinstance(item, str) for item in futures):
        return [key_of(item) for item in futures]
    return [record.key for record in records_of(futures_of(futures))]
