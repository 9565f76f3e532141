"""What is shown of a cluster, taken from what its scheduler says: the facts of the text and the HTML representation.

It never formats a fact, and never fails because one is missing: what is shown of a cluster that just died is what is
known.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from himalia.messages.answers import ClusterInfo, WorkerView
from himalia.show.natural import natural


class WorkerSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the workers' table."""

    name: str
    comm: str
    nthreads: int
    memory_limit: int
    nanny: str
    local_directory: str


class ClusterSummary(msgspec.Struct, frozen=True, kw_only=True):
    """All that a representation shows."""

    title: str
    """The class that started it."""
    name: str
    status: str
    processes: bool = True
    dashboard: str = ""
    """Its link; empty while none runs."""
    no_dashboard: str = ""
    """What to do about it if none can run, in sentences."""
    scheduler_id: str = ""
    comm: str = ""
    started: float = 0.0
    """Seconds since the epoch; 0: unknown."""
    workers: tuple[WorkerSummary, ...] = ()
    expected: int | None = None
    """Workers asked for, where that is known."""

    @property
    def total_threads(self) -> int:
        """Threads of all workers."""
        return sum(worker.nthreads for worker in self.workers)

    @property
    def total_memory(self) -> int:
        """Bytes of all workers' limits; 0 if one is unlimited."""
        return sum_of_limits(worker.memory_limit for worker in self.workers)


def summarize(
    info: ClusterInfo | None,
    *,
    now: float,
    title: str,
    name: str,
    status: str,
    comm: str,
    dashboard: str,
    expected: int | None,
    no_dashboard: str = "",
) -> ClusterSummary:
    """Return the summary of a cluster, ``info`` being what its scheduler says of it, if it says anything."""
    rows = [summarize_worker(address, worker) for address, worker in info.workers.items()] if info is not None else []
    return ClusterSummary(
        title=title,
        name=name,
        status=status,
        dashboard=dashboard,
        no_dashboard=no_dashboard,
        scheduler_id=info.id if info is not None else "",
        comm=comm,
        # The scheduler says how long ago: its clock may be another host's.
        started=now - info.started if info is not None else 0.0,
        workers=tuple(sorted(rows, key=lambda row: natural(row.name))),
        expected=expected,
    )


def summarize_worker(address: str, worker: WorkerView) -> WorkerSummary:
    """Return the row of one worker."""
    return WorkerSummary(
        name=worker.name,
        comm=address,
        nthreads=worker.nthreads,
        memory_limit=worker.memory_limit,
        nanny=worker.nanny,
        local_directory=worker.local_directory,
    )


def sum_of_limits(limits: Iterable[int]) -> int:
    """Return what all may use together, in bytes; 0, which means unlimited, if one is."""
    found = list(limits)
    # A sum with an unlimited one would promise less than there is.
    return sum(found) if all(found) else 0
