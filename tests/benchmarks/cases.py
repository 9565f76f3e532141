"""The cases: what is done with an engine, in which unit it is told, and what himalia wants to reach.

Every case runs in a process of its own, gets an engine that isn't started yet, and returns one or more values of the
same thing; the first use of anything is a warm-up and isn't among them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import numpy as np

from tests.benchmarks import work
from tests.benchmarks.dask_collections import COLLECTIONS, Measured, measure
from tests.benchmarks.engines.base import Engine
from tests.benchmarks.memory import memory_per_task
from tests.benchmarks.startup import import_time, start_and_close
from tests.benchmarks.watched import scheduler_cpu_by_one, slowdown_by_ten

ARRAY_BYTES: Final = 200_000_000
"""Size of the arrays that are moved."""
ARRAY_REPEATS: Final = 5
"""Arrays moved in each round, every one a fresh one."""


@dataclass(frozen=True)
class Goal:
    """What himalia should reach: a bound for a ratio to another engine, or for its own value if ``peer`` is empty."""

    bound: float
    peer: str = ""


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    title: str
    unit: str
    run: Callable[[Engine], list[float] | Measured]
    needs: str = "tasks"
    """What an engine must offer to take part."""
    more_is_better: bool = False
    goals: tuple[Goal, ...] = ()
    only: tuple[str, ...] = ()
    """Engines that take part; empty: all that offer what is needed."""
    seconds: float = field(default=180.0)
    """After which a run is given up."""


def noop_throughput(engine: Engine) -> list[float]:
    """10,000 no-op calls, from the first submit to the last value."""
    engine.start()
    engine.results(engine.submit_all(work.noop, range(1_000)))
    started = time.perf_counter()
    engine.results(engine.submit_all(work.noop, range(10_000)))
    elapsed = time.perf_counter() - started
    engine.close()
    return [10_000 / elapsed]


def noop_latency(engine: Engine) -> list[float]:
    """One no-op after the other: the median of 300, in µs."""
    engine.start()
    for _ in range(50):
        engine.result(engine.submit(work.noop))
    seen = []
    for _ in range(300):
        started = time.perf_counter()
        engine.result(engine.submit(work.noop))
        seen.append(time.perf_counter() - started)
    engine.close()
    return [statistics.median(seen) * 1e6]


def tree_sum(engine: Engine) -> list[float]:
    """4,096 leaves added up pairwise by submit: 8,191 calls."""

    def run(leaves: int) -> int:
        level = [engine.submit(work.leaf, number) for number in range(leaves)]
        while len(level) > 1:
            level = [engine.submit(work.add, *level[i : i + 2]) for i in range(0, len(level), 2)]
        return int(engine.result(level[0]))

    engine.start()
    run(64)
    started = time.perf_counter()
    total = run(4_096)
    elapsed = time.perf_counter() - started
    engine.close()
    assert total == 4_096 * 4_095 // 2
    return [8_191 / elapsed]


def chain(engine: Engine) -> list[float]:
    """2,000 calls, each of which needs the one before."""

    def run(length: int) -> int:
        handle = engine.submit(work.increment, 0)
        for _ in range(length - 1):
            handle = engine.submit(work.increment, handle)
        return int(engine.result(handle))

    engine.start()
    run(100)
    started = time.perf_counter()
    end = run(2_000)
    elapsed = time.perf_counter() - started
    engine.close()
    assert end == 2_000
    return [2_000 / elapsed]


def dask_array(engine: Engine) -> list[float]:
    """``(x + x.T).sum()``, in seconds; the graph is made outside of the time, its optimisation isn't."""
    engine.start()
    engine.compute(work.array_sum(chunks=4))
    collection = work.array_sum()
    started = time.perf_counter()
    total = float(engine.compute(collection))
    elapsed = time.perf_counter() - started
    engine.close()
    assert abs(total - 16e6) < 0.01 * 16e6
    return [elapsed]


def dask_dataframe(engine: Engine) -> list[float]:
    """A groupby over 100 partitions, in seconds."""
    engine.start()
    engine.compute(work.frame_groupby(seed=0))
    collection = work.frame_groupby(seed=1)  # another one: nobody shall answer from memory
    started = time.perf_counter()
    means = engine.compute(collection)
    elapsed = time.perf_counter() - started
    engine.close()
    assert len(means) == 26
    return [elapsed]


def gigabytes(elapsed: float) -> float:
    """Rate of one array, in 10⁹ bytes/s."""
    return ARRAY_BYTES / elapsed / 1e9


def check(touched: tuple[int, float], fill: int) -> None:
    """Make sure that what arrived is the array that was meant."""
    assert touched == (ARRAY_BYTES // 8, 2.0 * fill), touched


def worker_to_client(engine: Engine) -> list[float]:
    """From the finished call to an array that the client has touched."""
    engine.start()
    rates = []
    for fill in range(ARRAY_REPEATS + 1):
        handle = engine.submit_on(0, work.make_array, ARRAY_BYTES, fill)
        started = time.perf_counter()
        (array,) = engine.results([handle])
        touched = work.touch(array)
        rates.append(gigabytes(time.perf_counter() - started))
        check(touched, fill)
        del array, handle
    engine.close()
    return rates[1:]


def worker_to_worker(engine: Engine) -> list[float]:
    """From the finished call on one worker to the answer of a call on the other that touched its array."""
    engine.start()
    engine.result(engine.submit_on(1, work.noop))
    rates = []
    for fill in range(ARRAY_REPEATS + 1):
        handle = engine.submit_on(0, work.make_array, ARRAY_BYTES, fill)
        started = time.perf_counter()
        touched = engine.result(engine.submit_on(1, work.touch, handle))
        rates.append(gigabytes(time.perf_counter() - started))
        check(touched, fill)
        del handle
    engine.close()
    return rates[1:]


def client_to_worker(engine: Engine) -> list[float]:
    """From a fresh array in the client to the answer of a call on a worker that touched it."""
    engine.start()
    engine.result(engine.submit_on(1, work.noop))
    rates = []
    for fill in range(ARRAY_REPEATS + 1):
        array = np.full(ARRAY_BYTES // 8, float(fill))
        started = time.perf_counter()
        handle = engine.scatter(array)
        touched = engine.result(engine.submit_on(1, work.touch, handle))
        rates.append(gigabytes(time.perf_counter() - started))
        check(touched, fill)
        del array, handle
    engine.close()
    return rates[1:]


def scheduler_scale(engine: Engine) -> list[float]:
    """Cost of a task for the scheduler with 10,000 workers relative to 10; the engine's processes aren't needed."""
    from tests.benchmarks.scale import scheduler_cost  # only here himalia itself is imported

    return scheduler_cost()


CASES_OF_CALLS: Final = (
    Case(
        "noop",
        "10,000 no-op tasks, map + gather",
        "tasks/s",
        noop_throughput,
        more_is_better=True,
        goals=(Goal(50, "distributed"), Goal(3, "pool")),
    ),
    Case("latency", "submit→result of a no-op, median", "µs", noop_latency, goals=(Goal(1.5, "pool"),)),
    Case(
        "tree",
        "tree sum of 4,096 leaves by submit",
        "tasks/s",
        tree_sum,
        needs="dependencies",
        more_is_better=True,
        goals=(Goal(40, "distributed"),),
    ),
    Case(
        "chain",
        "chain of 2,000 dependent calls",
        "tasks/s",
        chain,
        needs="dependencies",
        more_is_better=True,
        goals=(Goal(20, "distributed"),),
    ),
    Case(
        "array",
        "(x + x.T).sum(), 40 × 40 chunks (3,737 tasks)",
        "s",
        dask_array,
        needs="collections",
        goals=(Goal(1 / 5, "distributed"),),
    ),
    Case(
        "dataframe",
        "DataFrame groupby, 100 partitions",
        "s",
        dask_dataframe,
        needs="collections",
        goals=(Goal(1 / 3, "distributed"),),
    ),
    Case(
        "to-client",
        "200 MB array: worker → client",
        "GB/s",
        worker_to_client,
        needs="arrays",
        more_is_better=True,
        goals=(Goal(20, "distributed"),),
    ),
    Case(
        "to-worker",
        "200 MB array: worker → other worker",
        "GB/s",
        worker_to_worker,
        needs="arrays",
        more_is_better=True,
        goals=(Goal(20, "distributed"),),
    ),
    Case(
        "scatter",
        "200 MB array: client → worker",
        "GB/s",
        client_to_worker,
        needs="arrays",
        more_is_better=True,
        goals=(Goal(3, "distributed"),),
    ),
    Case("start", "LocalCluster() + first result + close", "s", start_and_close, goals=(Goal(1 / 3, "distributed"),)),
    Case(
        "memory",
        "scheduler memory per finished, wanted no-op",
        "bytes",
        memory_per_task,
        needs="memory",
        goals=(Goal(1_500),),
    ),
    Case("import", "import", "s", import_time, goals=(Goal(0.15),)),
    Case(
        "scale",
        "cost per task: 10,000 workers ÷ 10 workers (simulated)",
        "ratio",
        scheduler_scale,
        goals=(Goal(1.2),),
        only=("himalia",),
        seconds=1_800.0,
    ),
    Case(
        "watched",
        "20,000 no-ops with ten dashboards following ÷ with none",
        "ratio",
        slowdown_by_ten,
        goals=(Goal(1.05),),
        only=("himalia",),
    ),
    Case(
        "watching",
        "scheduler CPU of no-ops with one dashboard following ÷ with none",
        "ratio",
        scheduler_cpu_by_one,
        goals=(Goal(1.05),),
        only=("himalia",),
    ),
)
CASES: Final = (
    *CASES_OF_CALLS,
    *(
        Case(
            collection.name,
            collection.title + ", warm",
            "s",
            partial(measure, collection),
            needs="collections",
            goals=(Goal(0.4, "distributed"), Goal(1.3, "threads")),
        )
        for collection in COLLECTIONS
    ),
)
BY_NAME: Final = {case.name: case for case in CASES}


def takes_part(case: Case, engine: type[Engine]) -> bool:
    """Whether this engine can run this case."""
    return case.needs in engine.offers and (not case.only or engine.name in case.only)
