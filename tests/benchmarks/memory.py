"""What a finished task costs the scheduler for as long as somebody wants its result."""

from __future__ import annotations

import sys
import time

import psutil

from tests.benchmarks import work
from tests.benchmarks.engines.base import Engine

TASKS = 100_000


def resident(process: psutil.Process) -> int:
    """Bytes of the process, once they have stopped moving."""
    last, now = 0, int(process.memory_info().rss)
    while abs(now - last) > 100_000:
        time.sleep(1.0)
        last, now = now, int(process.memory_info().rss)
    return now


def memory_per_task(engine: Engine) -> list[float]:
    """Bytes of the scheduler process per finished, wanted no-op; what is left after the release goes to stderr."""
    engine.start()
    process = psutil.Process(engine.scheduler_pid())
    engine.results(engine.submit_all(work.noop, range(1_000)))
    before = resident(process)
    handles = engine.submit_all(work.noop, range(TASKS))
    engine.results(handles)
    wanted = resident(process)
    del handles
    released = resident(process)
    engine.close()
    mebi = 1024 * 1024
    print(
        f"scheduler: {before / mebi:.1f} MiB before, {wanted / mebi:.1f} MiB with {TASKS:,} wanted results, "
        f"{released / mebi:.1f} MiB after their release",
        file=sys.stderr,
    )
    return [(wanted - before) / TASKS]
