"""The numbers at the top: how large the cluster is, and how it is doing."""

from __future__ import annotations

from typing import NamedTuple

from himalia_widgets.view.history import History


class Summary(NamedTuple):
    """A cluster in a line."""

    address: str
    hosts: int
    workers: int
    threads: int
    clients: int
    cpu: float
    """Of all workers, in CPUs."""
    memory: int
    """Bytes of results in memory and of worker processes."""
    store: int
    spilled: int
    memory_limit: int
    """Sum of the workers' limits; 0 if one has none."""
    running: int
    """Calls at hosts, running or next in line; ``queued`` are ready and held back, or wait for inputs."""
    queued: int
    done: int
    failed: int
    rate: float
    """Calls that end a second."""
    uptime: float


def summarize(history: History) -> Summary:
    """Return the numbers of now."""
    workers = list(history.info.get("workers", {}).values())
    limits = [int(worker["memory_limit"]) for worker in workers]
    groups = history.groups.values()
    status = history.status
    measured = [numbers for metrics in history.hosts.values() for numbers in metrics.workers.values()]
    store = sum([metrics.store_bytes for metrics in history.hosts.values()])
    return Summary(
        address=str(history.info.get("address", "")),
        hosts=len(history.info.get("hosts", history.hosts)),
        workers=len(workers),
        threads=sum([int(worker["nthreads"]) for worker in workers]),
        clients=status.clients,
        cpu=sum([cpu for cpu, _, _ in measured]),
        memory=store + sum([memory for _, memory, _ in measured]),
        store=store,
        spilled=sum([metrics.spilled_bytes for metrics in history.hosts.values()]),
        memory_limit=sum(limits) if all(limits) else 0,
        running=sum([group.assigned for group in groups]),
        queued=sum([group.waiting for group in groups]),
        done=sum([group.finished for group in groups]),
        failed=sum([group.erred for group in groups]),
        rate=history.trends.scheduler.last("rate"),
        uptime=status.uptime,
    )
