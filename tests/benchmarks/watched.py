"""What being watched costs a cluster: the same no-op calls with nobody, one and ten followers of all telemetry.

Followers are what dashboards are: niced processes of their own that take every record and keep a bounded history.
``python -m tests.benchmarks.watched NAME COUNT`` is such a process with so many sessions.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import psutil

from tests.benchmarks import work
from tests.benchmarks.engines.base import Engine

if TYPE_CHECKING:
    from himalia.messages.client import Telemetry
    from himalia_widgets.view.history import History

Clock = Callable[[], float]

CALLS: Final = 20_000
ROUNDS: Final = 5
"""Turns of nobody, some, nobody, …; medians of their ratios are told, so that a slow minute hits both sides."""
SETTLE: Final = 1.0
"""Seconds between the start of followers and the first call that counts."""


def slowdown_by_ten(engine: Engine) -> list[float]:
    """Time of 20,000 no-ops while ten dashboards follow, relative to none."""
    return compare(engine, 10, time.perf_counter)


def scheduler_cpu_by_one(engine: Engine) -> list[float]:
    """CPU time of the scheduler for 20,000 no-ops while one dashboard follows, relative to none."""
    pid = 0

    def cpu() -> float:
        nonlocal pid
        pid = pid or engine.scheduler_pid()
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)

    return compare(engine, 1, cpu, repeats=3)


def compare(engine: Engine, followers: int, clock: Clock, repeats: int = 1) -> list[float]:
    """Return the median ratio of what ``clock`` says of the calls with so many followers, and without."""
    engine.start()
    run(engine, clock, repeats)
    ratios = []
    for _ in range(ROUNDS):
        alone = run(engine, clock, repeats)
        watchers = watch(engine, followers)
        try:
            watched = run(engine, clock, repeats)
        finally:
            watchers.terminate()
            watchers.communicate()
        ratios.append(watched / (alone + run(engine, clock, repeats)) * 2)
    engine.close()
    return [statistics.median(ratios)]


def run(engine: Engine, clock: Clock, repeats: int) -> float:
    """Return what the calls took of ``clock``."""
    started = clock()
    for _ in range(repeats):
        engine.results(engine.submit_all(work.noop, range(CALLS)))
    return clock() - started


def watch(engine: Engine, followers: int) -> subprocess.Popen[bytes]:
    """Start the process of that many followers, and wait until they follow."""
    command = [sys.executable, "-m", "tests.benchmarks.watched", engine.cluster_name(), str(followers)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(SETTLE)
    return process


def take(history: History, telemetry: Telemetry) -> None:
    """Do with a push what a dashboard does first."""
    history.take(telemetry, now=time.time())


async def follow(name: str, count: int) -> None:
    """Follow the cluster of that name so many times, until this process is ended."""
    from himalia.follow.feed import Feed
    from himalia.registry.resolving import find_target
    from himalia_widgets.view.history import History

    target = find_target(name, None)
    for _ in range(count):
        history = History()
        feed = Feed(target.credentials, target.addresses, full=True)
        await feed.open()
        feed.subscribe(partial(take, history))
    print("following", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    os.nice(10)
    asyncio.run(follow(sys.argv[1], int(sys.argv[2])))
