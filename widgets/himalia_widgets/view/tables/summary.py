"""The numbers at the top: how large the cluster is, and how it is doing."""

from __future__ import annotations

from typing import NamedTuple

from himalia.show.summary import sum_of_limits
from himalia_widgets.view.history import History


class Summary(NamedTuple):
    """A cluster in a line."""

    hosts: int
    workers: int
    threads: int
    clients: int
    store: int
    """Bytes of results in memory."""
    store_limit: int
    """What they may take, of all hosts."""
    spilled: int
    """Bytes of results on disk."""
    held: tuple[tuple[str, int], ...]
    """Who maps how much of them, so that it can't move to disk: clients, and code of workers; most first."""
    own_memory: int
    """Bytes of worker processes, results not counted."""
    memory_limit: int
    """Sum of the workers' limits; 0 if one has none."""
    assigned: int
    """Tasks, see :class:`himalia.messages.telemetry.TaskCounts`; as are those below."""
    unassigned: int
    """What is ``waiting`` there."""
    done: int
    failed: int
    cancelled: int
    uptime: float
    """Seconds."""

    @property
    def running(self) -> int:
        """Calls that run: what more a host was sent is next in line there."""
        return min(self.assigned, self.threads)

    @property
    def waiting(self) -> int:
        """Calls that neither run nor have ended."""
        return self.unassigned + self.assigned - self.running


def summarize(history: History) -> Summary:
    """Return the numbers of now."""
    info = history.info
    workers = list(info.workers.values())
    counts = history.counts
    status = history.status
    return Summary(
        # Before the first answer telemetry is all that is known.
        hosts=len(info.hosts if history.membership else history.hosts),
        workers=len(workers),
        threads=sum([worker.nthreads for worker in workers]),
        clients=status.clients,
        store=sum([metrics.store_bytes for metrics in history.hosts.values()]),
        store_limit=sum([host.memory_limit for host in info.hosts.values()]),
        spilled=sum([metrics.spilled_bytes for metrics in history.hosts.values()]),
        held=holders(history),
        own_memory=sum([memory for one in history.hosts.values() for _, memory, _ in one.workers.values()]),
        memory_limit=sum_of_limits(worker.memory_limit for worker in workers),
        assigned=counts.assigned,
        unassigned=counts.waiting,
        done=counts.done,
        failed=counts.failed,
        cancelled=counts.cancelled,
        uptime=status.uptime,
    )


def holders(history: History) -> tuple[tuple[str, int], ...]:
    """Return who maps results of all hosts beside running calls, and how many bytes; most first."""
    held: dict[str, int] = {}
    for metrics in history.hosts.values():
        for client, nbytes in metrics.use.clients.items():
            name = f"notebook or script {client}"
            # A client may map results of several hosts; a worker only those of its own.
            held[name] = held.get(name, 0) + nbytes
        for worker, nbytes in metrics.use.workers.items():
            held[f"code of {worker}"] = nbytes
    return tuple(sorted(held.items(), key=lambda one: (-one[1], one[0])))
