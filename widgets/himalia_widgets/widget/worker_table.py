"""The widget's table of workers: what its page is told of each, which ``js/workers.js`` shows.

Decides which changes a person would see, and how they travel: rows of what stays the same, columns of numbers that
changed.  Pure; taken from the history of a telemetry stream.

Why there are two tables: ``view/tables/workers.py`` makes whole rows whenever it is asked, for plots and for the
dashboard's pages.  The widget's page keeps what it was told, and is told more several times a second, of a thousand
workers too, so here is remembered what it knows.

Results are held by a host's store, not by a worker: the rows of one host's workers are told the same of it, at the same
time, and the page shows it once.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypedDict

import numpy as np

from himalia.messages.answers import ClusterInfo, WorkerView
from himalia_widgets.view.history import History
from himalia_widgets.view.stream.marks import Columns

CPU_STEP: Final = 0.01
"""Fraction of a CPU below which a change isn't told."""
SIZE_STEP: Final = float(2**20)
"""Bytes below which a change isn't told."""
PER_WORKER: Final = 0.001
"""Seconds between two looks at tables and plots, for each worker there is: at a thousand, one a second."""
SEEN_STEP: Final = 2.0
"""Seconds below which a later report isn't told if nothing else changed."""


class WorkerFacts(TypedDict):
    """What doesn't change of a worker, and of its host."""

    number: int
    """Its own in this table."""
    name: str
    host: str
    host_id: str
    nanny: str
    """Name of its host's nanny."""
    address: str
    pid: int
    threads: int
    limit: int
    """Bytes of memory; 0: unlimited."""
    directory: str
    store_limit: int
    """Bytes of its host's store."""


class Numbers(NamedTuple):
    """What changes of a worker: fractions of a CPU, bytes, calls, epoch seconds."""

    cpu: float = 0.0
    memory: float = 0.0
    running: int = 0
    store: float = 0.0
    spilled: float = 0.0
    seen: float = 0.0

    def differs(self, other: Numbers) -> bool:
        """Whether a person would see the difference."""
        return (
            self.running != other.running
            or abs(self.cpu - other.cpu) >= CPU_STEP
            or abs(self.memory - other.memory) >= SIZE_STEP
            # In steps already, and the same for all rows of a host.
            or (self.store, self.spilled) != (other.store, other.spilled)
            or abs(self.seen - other.seen) >= SEEN_STEP
        )


class WorkerTable:
    """What a page was told of the workers, so that it is told only what changed.

    Each worker has a number for as long as it is there; all rows that changed travel as columns of numbers.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        # Numbers are never used again: a page could take one worker for another that left.
        self._next = 0
        self._rows: dict[str, WorkerFacts] = {}
        self._told: dict[str, Numbers] = {}
        self._info: ClusterInfo | None = None
        self._stores: dict[str, tuple[int, int]] = {}
        """What was told of each host's store: bytes in memory and on disk."""
        self._looked_at = float("-inf")

    def forget(self) -> None:
        """Tell everything again next time."""
        self._rows.clear()
        self._told.clear()
        self._info = None
        self._stores.clear()

    def membership(self, history: History) -> tuple[list[WorkerFacts], list[int]]:
        """Return rows of workers that are new or another process now, and the numbers of those that left."""
        # Each answer is a new object, so nothing is compared.
        if history.info is self._info:
            return [], []
        self._info = history.info
        found = {address: self._row(address, worker, history) for address, worker in history.info.workers.items()}
        gone = [self._numbers.pop(address) for address in list(self._numbers) if address not in found]
        for address in [address for address in self._told if address not in found]:
            del self._told[address]
        changed = [row for address, row in found.items() if self._rows.get(address) != row]
        self._rows = found
        return changed, gone

    def _row(self, address: str, worker: WorkerView, history: History) -> WorkerFacts:
        if address not in self._numbers:
            self._numbers[address] = self._next
            self._next += 1
        host = history.host_view(worker.host_id)
        return {
            "number": self._numbers[address],
            "name": worker.name,
            "host": worker.host,
            "host_id": worker.host_id,
            "nanny": (host.name if host is not None else "") or worker.nanny,
            "address": address,
            "pid": worker.pid,
            "threads": worker.nthreads,
            "limit": worker.memory_limit,
            "directory": worker.local_directory,
            "store_limit": host.memory_limit if host is not None else 0,
        }

    def changes(self, history: History, now: float) -> Columns:
        """Return columns of the workers whose numbers changed; empty if none did, or if it is too early to look."""
        # After forget() at once: a new page waits for nothing.
        if self._told and now - self._looked_at < len(self._told) * PER_WORKER:
            return {}
        self._looked_at = now
        for host, one in history.hosts.items():
            store = (one.store_bytes, one.spilled_bytes)
            known = self._stores.get(host)
            # Kept by host, so that its rows change together or not at all.
            if known is None or max(abs(store[0] - known[0]), abs(store[1] - known[1])) >= SIZE_STEP:
                self._stores[host] = store
        fresh: list[tuple[int, Numbers]] = []
        for address, worker in history.info.workers.items():
            metrics = history.hosts.get(worker.host_id)
            number = self._numbers.get(address)
            if metrics is None or number is None:
                continue
            cpu, memory, running = metrics.workers.get(worker.name, (0.0, 0, 0))
            seen = metrics.time + history.skew.get(worker.host_id, 0.0)
            numbers = Numbers(cpu, memory, running, *self._stores[worker.host_id], seen)
            told = self._told.get(address)
            if told is None or numbers.differs(told):
                self._told[address] = numbers
                fresh.append((number, numbers))
        if not fresh:
            return {}
        columns: Columns = {"number": np.array([number for number, _ in fresh], np.int32)}
        values = np.array([row for _, row in fresh], np.float64)
        # Epoch seconds need eight bytes; the rest has enough in four.
        kinds = {"running": np.int32, "seen": np.float64}
        for index, name in enumerate(Numbers._fields):
            columns[name] = values[:, index].astype(kinds.get(name, np.float32))
        return columns
