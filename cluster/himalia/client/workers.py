"""A cluster's workers, as a client asks for them: who is there, what they wrote, and new ones in their place."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from himalia.client.described import SchedulerInfo
from himalia.client.engine.engine import Engine
from himalia.client.engine.timing import wall_clock
from himalia.client.selecting import select_workers
from himalia.messages.client import GetInfo, GetLogs, Restart
from himalia.show.logs import texts_of


async def describe(engine: Engine, n_workers: int) -> SchedulerInfo:
    """Return what the scheduler says, with so many workers; -1: all."""
    info = await engine.ask(GetInfo)
    if n_workers >= 0:
        info = msgspec.structs.replace(info, workers=dict(list(info.workers.items())[:n_workers]))
    return SchedulerInfo(info, taken=wall_clock())


async def threads_of(engine: Engine, workers: str | Iterable[str] | None) -> dict[str, int]:
    """Return the number of threads of each worker, by its address."""
    found = select_workers((await engine.ask(GetInfo)).workers, workers)
    return {address: worker.nthreads for address, worker in found.items()}


async def last_lines(engine: Engine, n: int | None, workers: list[str] | None) -> dict[str, list[str]]:
    """Return the last lines, ``n`` at most, of these workers and of nannies."""
    nannies = {host.name or id for id, host in engine.known_hosts.items()}
    texts = texts_of(await engine.ask(lambda number: GetLogs(number, workers)), nannies)
    return {name: lines if n is None else lines[-n:] for name, lines in texts.items()}


async def restart(engine: Engine) -> None:
    """Cancel all tasks, replace all workers, and wait until they are back."""
    await engine.ask(Restart)


async def restart_workers(engine: Engine, workers: list[str] | None) -> dict[str, str]:
    """Replace these workers, wait until they are back, and return ``{name: "OK"}``, or why not."""
    return (await engine.ask(lambda number: Restart(number, workers))).workers
