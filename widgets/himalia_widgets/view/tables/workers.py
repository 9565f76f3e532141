"""The workers as a table: one row for each, with what it is, what it uses and what it does.

Made anew whenever plots or the dashboard's pages ask.  The widget's page is told only what changed since, which needs a
memory of what it was told: ``widget/worker_table.py``.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from himalia.messages.answers import HostView
from himalia_widgets.view.history import History

UNKNOWN: Final = HostView("")
"""A host of which nothing was said."""


class WorkerRow(NamedTuple):
    """One worker; texts are raw."""

    name: str
    address: str
    host: str
    """Name of its machine."""
    host_id: str
    pid: int
    nthreads: int
    cpu: float
    """In CPUs, so up to ``nthreads`` and more."""
    memory: int
    """Bytes of the process itself."""
    memory_limit: int
    """0: unlimited."""
    store: int
    """Bytes of results in memory at its host, which its workers share; ``store_limit``, ``spilled`` likewise."""
    store_limit: int
    spilled: int
    running: int
    """Calls that run now."""
    paused: bool
    """Whether its host starts no new calls because its memory is nearly full."""
    last_seen: float
    """Seconds since its host was heard of."""


def worker_rows(history: History) -> list[WorkerRow]:
    """Return a row for each worker, by name."""
    rows = []
    for address, worker in history.workers:
        host = history.host_view(worker.host_id) or UNKNOWN
        metrics = history.hosts.get(worker.host_id)
        measured = worker.metrics if metrics is None else metrics.workers.get(worker.name, (0.0, 0, 0))
        rows.append(
            WorkerRow(
                name=worker.name,
                address=address,
                host=worker.host,
                host_id=worker.host_id,
                pid=worker.pid,
                nthreads=worker.nthreads,
                cpu=measured[0],
                memory=measured[1],
                memory_limit=worker.memory_limit,
                # Metrics are newer: the scheduler is asked again only when somebody comes or goes.
                store=metrics.store_bytes if metrics else host.store_bytes,
                store_limit=host.memory_limit,
                spilled=metrics.spilled_bytes if metrics else host.spilled_bytes,
                running=measured[2],
                paused=host.paused,
                last_seen=last_seen(history, worker.host_id),
            )
        )
    return rows


def last_seen(history: History, host: str) -> float:
    """Return seconds since a host's metrics were measured; what the scheduler said if there are none."""
    metrics = history.hosts.get(host)
    if metrics is None or not metrics.time:
        return (history.host_view(host) or UNKNOWN).last_seen
    # By our clock; a difference too small to be corrected could make it negative.
    return max(0.0, history.now - metrics.time - history.skew.get(host, 0.0))


def running_calls(history: History, worker: str | None = None) -> list[tuple[str, str, str, float]]:
    """Return worker, key, function and seconds so far of calls that have been running for a while, longest first."""
    rows = [
        (call.worker, call.key, call.group, max(0.0, history.now - call.started - history.skew.get(host, 0.0)))
        for host, metrics in history.hosts.items()
        for call in metrics.running
        if worker is None or call.worker == worker
    ]
    return sorted(rows, key=lambda row: -row[3])
