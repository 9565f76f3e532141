"""Numbers over time: of the cluster as a whole, the scheduler, each nanny and each worker."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from himalia.messages.telemetry import HostMetrics, SchedulerStatus
from himalia_widgets.view.series import Series

CLUSTER: Final = ("cpu", "workers_memory", "store", "spilled")
NANNY: Final = ("cpu", "memory", "lag", "fds", "received", "sent")
"""Of a nanny's process; the network is its whole machine's."""
WORKER: Final = ("cpu", "memory")

PRECISE: Final = 64
"""Workers up to which their series are kept as densely as the others; of more, each has fewer points."""
SPACING: Final = 0.4
"""Seconds between points of the whole cluster: its hosts report twice a second, but not together."""


class Trends:
    """One series for each of these; names of columns are the constants above."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.cluster = Series(CLUSTER, seconds=seconds)
        self.scheduler = Series(NANNY, seconds=seconds)
        self.rate = Series(("rate",), seconds=seconds)
        self.hosts: dict[str, Series] = {}
        self.workers: dict[str, Series] = {}
        self._cluster_at = 0.0
        self._status: tuple[float, int] = (0.0, 0)

    def add_status(self, status: SchedulerStatus, total: int, *, now: float) -> None:
        """Append how many calls ended a second, and how the scheduler does once it was measured."""
        before, count = self._status
        if now - before < SPACING and before:
            return
        # Between two points, not of one push: pushes come four times a second, and with few calls each.
        rate = max(0.0, (total - count) / (now - before)) if before and now > before else 0.0
        self._status = (now, total)
        self.rate.add(now, rate)
        # Memory of 0 means that nothing was measured yet.
        process = status.process
        if process.memory:
            self.scheduler.add(
                now, process.cpu, process.memory, process.loop_lag, process.fds, process.received, process.sent
            )

    def add_host(self, host: str, metrics: HostMetrics, *, now: float) -> None:
        """Append the numbers of a host's nanny and its workers."""
        series = self.hosts.get(host)
        if series is None:
            series = self.hosts[host] = Series(NANNY, seconds=self._seconds)
        process = metrics.process
        series.add(
            now, process.cpu, process.memory, max(metrics.loop_lag, process.loop_lag), process.fds, process.received,
            process.sent,
        )  # fmt: skip
        for name, (cpu, memory, _) in metrics.workers.items():
            worker = self.workers.get(name)
            if worker is None:
                # Decided when a worker is first seen; those that were there stay as they are.
                limit = 600 if len(self.workers) < PRECISE else 120
                worker = self.workers[name] = Series(WORKER, seconds=self._seconds, limit=limit)
            worker.add(now, cpu, memory)

    def add_cluster(self, hosts: Mapping[str, HostMetrics], *, now: float) -> None:
        """Append the sums over all hosts."""
        if now - self._cluster_at < SPACING:
            return
        self._cluster_at = now
        workers = [numbers for metrics in hosts.values() for numbers in metrics.workers.values()]
        every = hosts.values()
        self.cluster.add(
            now,
            sum([cpu for cpu, _, _ in workers]), sum([memory for _, memory, _ in workers]),
            sum([metrics.store_bytes for metrics in every]), sum([metrics.spilled_bytes for metrics in every]),
        )  # fmt: skip

    def keep(self, hosts: AbstractSet[str], workers: AbstractSet[str]) -> None:
        """Forget hosts and workers that are gone."""
        for gone in [host for host in self.hosts if host not in hosts]:
            del self.hosts[gone]
        for name in [name for name in self.workers if name not in workers]:
            del self.workers[name]
