"""A history's numbers for Prometheus: names, units and labels of ``/metrics``."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from himalia_widgets.view.history import History
from himalia_widgets.view.tables.summary import summarize

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
FUNCTIONS: Final = 200
"""Functions with numbers of their own, those that most calls were of; a label for each of thousands helps nobody."""


def render(history: History) -> bytes:
    """Return the numbers of now in Prometheus's text format."""
    # Its own: the global one would add numbers of the dashboard's process.
    registry = CollectorRegistry(auto_describe=False)
    registry.register(HistoryCollector(history))
    text: bytes = generate_latest(registry)
    return text


class HistoryCollector(Collector):
    """What Prometheus is told of a cluster."""

    def __init__(self, history: History) -> None:
        self.history = history

    def collect(self) -> Iterator[Metric]:
        """Yield every number."""
        yield from self.cluster()
        yield from self.scheduler()
        yield from self.hosts()
        yield from self.functions()

    def cluster(self) -> Iterator[Metric]:
        """Yield the numbers of the whole cluster."""
        now = summarize(self.history)
        yield GaugeMetricFamily("himalia_hosts", "Hosts with a nanny.", now.hosts)
        yield GaugeMetricFamily("himalia_workers", "Worker processes.", now.workers)
        yield GaugeMetricFamily("himalia_worker_threads", "Calls that can run at a time.", now.threads)
        yield GaugeMetricFamily("himalia_clients", "Connected clients.", now.clients)
        yield GaugeMetricFamily("himalia_memory_limit_bytes", "Sum of the workers' limits; 0: none.", now.memory_limit)
        yield GaugeMetricFamily("himalia_store_bytes", "Results in memory.", now.store)
        yield GaugeMetricFamily("himalia_spilled_bytes", "Results on disk.", now.spilled)
        tasks = GaugeMetricFamily("himalia_tasks", "Calls that have not ended.", labels=["state"])
        tasks.add_metric(["assigned"], now.assigned)
        tasks.add_metric(["waiting"], now.unassigned)
        yield tasks
        # The library appends "_total" to names of counters.
        yield CounterMetricFamily("himalia_calls", "Calls that ended.", self.history.total)

    def scheduler(self) -> Iterator[Metric]:
        """Yield how the scheduler is doing; what its process uses is left out until it was measured."""
        status, process = self.history.status, self.history.status.process
        yield GaugeMetricFamily("himalia_scheduler_uptime_seconds", "Since its start.", status.uptime)
        if not process.memory:
            return
        yield GaugeMetricFamily("himalia_scheduler_cpu", "Fraction of one CPU.", process.cpu)
        yield GaugeMetricFamily("himalia_scheduler_memory_bytes", "Of its process.", process.memory)
        yield GaugeMetricFamily("himalia_scheduler_fds", "Open file descriptors.", process.fds)
        yield GaugeMetricFamily("himalia_scheduler_lag_seconds", "Lateness of its event loop.", process.loop_lag)

    def hosts(self) -> Iterator[Metric]:
        """Yield the numbers of each host."""
        cpu = GaugeMetricFamily("himalia_host_cpu", "CPUs in use.", labels=["host"])
        memory = GaugeMetricFamily("himalia_host_memory_bytes", "Memory in use.", labels=["host"])
        store = GaugeMetricFamily("himalia_host_store_bytes", "Results in memory.", labels=["host"])
        spilled = GaugeMetricFamily("himalia_host_spilled_bytes", "Results on disk.", labels=["host"])
        for host, metrics in self.history.hosts.items():
            # By name, not by id: a host that restarts is another one, and its line goes on.
            name = [self.history.host_name(host)]
            cpu.add_metric(name, metrics.cpu)
            memory.add_metric(name, metrics.host_memory)
            store.add_metric(name, metrics.store_bytes)
            spilled.add_metric(name, metrics.spilled_bytes)
        yield from (cpu, memory, store, spilled)

    def functions(self) -> Iterator[Metric]:
        """Yield the numbers of the busiest functions, over all their groups."""
        calls: Counter[str] = Counter()
        failures: Counter[str] = Counter()
        seconds: defaultdict[str, float] = defaultdict(float)
        for group in self.history.groups.values():
            # Over all spans: a label for each cell would grow without end.
            calls[group.name] += group.finished
            failures[group.name] += group.failed
            seconds[group.name] += group.compute
        ended = CounterMetricFamily("himalia_function_calls", "Calls that ended well.", labels=["function"])
        failed = CounterMetricFamily("himalia_function_failures", "Calls that failed.", labels=["function"])
        computed = CounterMetricFamily("himalia_function_seconds", "Time they ran.", labels=["function"])
        for name, _ in (calls + failures).most_common(FUNCTIONS):
            ended.add_metric([name], calls[name])
            failed.add_metric([name], failures[name])
            computed.add_metric([name], seconds[name])
        yield from (ended, failed, computed)
