"""What a nanny's shell measures a few times a second: CPU and memory of the workers, the store, its own punctuality."""

from __future__ import annotations

import os
import sys
import time

from himalia import system
from himalia.messages.telemetry import HostMetrics, ProcessMetrics
from himalia.nanny.events import Measured
from himalia.nanny.exchange import Exchange
from himalia.nanny.processes import WorkerPool
from himalia.nanny.store.store import Store
from himalia.usage import Usage


class Meter:
    """Turns counters of the system into rates.

    Parameters
    ----------
    pool : WorkerPool
        Whose processes are looked at.
    store : Store
        Whose memory is counted.
    exchange : Exchange
        Knows who keeps what of the store.
    interval : float
        Seconds between two looks at the nanny's own process, which take longer than the rest.
    """

    def __init__(self, pool: WorkerPool, store: Store, exchange: Exchange, interval: float) -> None:
        self._pool = pool
        self._store = store
        self._exchange = exchange
        self._seconds: dict[int, float] = {}
        self._measured_at = time.monotonic()
        self._interval = interval
        self._usage = Usage()
        self._process = ProcessMetrics()
        self._process_at = self._measured_at
        self._worst_lag = 0.0

    def measure(self, lag: float) -> Measured:
        """Return what is going on; ``lag`` is how late the timer was, seconds."""
        now = time.monotonic()
        # After a stop of this process two timers may fire at once; no rate over nothing.
        elapsed = max(now - self._measured_at, 1e-3)
        self._measured_at = now
        before, self._seconds = self._seconds, {}
        workers = {}
        slots = {}
        states = {}
        total = 0.0
        for worker in self._pool.workers.values():
            pid = worker.pid
            used, states[worker.name] = look_at(pid)
            self._seconds[pid] = used
            # A process that is new has no rate yet. By pid: a successor of the same name begins at zero.
            cpu = max(0.0, used - before.get(pid, used)) / elapsed
            total += cpu
            slots[worker.name] = runs = self._pool.slots.threads(worker.index)
            workers[str(worker.name)] = (round(cpu, 3), system.rss(pid), len(runs) - runs.count(0))
        metrics = HostMetrics(
            store_bytes=self._store.nbytes,
            spilled_bytes=self._store.spilled,
            host_memory=system.host_memory(),
            cpu=round(total, 3),
            loop_lag=round(lag, 4),
            workers=workers,
            time=time.time(),
            process=self._measure_process(now, lag),
            use=self._exchange.use(),
        )
        moves, exchange = self._store.moves.take(), self._exchange
        return Measured(metrics, slots, moves, exchange.unwritten(), states, exchange.unread())

    def _measure_process(self, now: float, lag: float) -> ProcessMetrics:
        """Return what the nanny itself uses, and how late its timer was at worst, as of the last look."""
        # The worst since the last report: one pause of a second is what a person has to see, and an average hides it.
        self._worst_lag = max(self._worst_lag, lag)
        # Rarely: it reads several files of /proc, and what it shows is drawn twice a second at most.
        if now - self._process_at >= self._interval:
            self._process = self._usage.measure(self._worst_lag)
            self._process_at = now
            self._worst_lag = 0.0
        return self._process


STOPPED = "T"
"""What Linux calls a process that a signal stopped."""
TICKS = os.sysconf("SC_CLK_TCK")


def look_at(pid: int) -> tuple[float, str]:
    """Return the CPU time that a process used so far, and the letter of its state; 0 and nothing if it is gone."""
    if sys.platform != "linux":
        import psutil

        try:
            process = psutil.Process(pid)
            times, status = process.cpu_times(), process.status()
        except psutil.Error:
            return 0.0, ""
        return float(times.user + times.system), STOPPED if status == psutil.STATUS_STOPPED else ""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # Behind the last bracket: a process may call itself ") R 1".
            fields = file.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS, fields[0].decode()
    except (OSError, IndexError):
        return 0.0, ""
