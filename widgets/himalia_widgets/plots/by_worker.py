"""What each worker and each host does and holds, as bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from himalia.plural import plural
from himalia_widgets.plots import theme
from himalia_widgets.plots.rows import NAME, Entry, RowsPlot
from himalia_widgets.view import units
from himalia_widgets.view.history import History
from himalia_widgets.view.tables import memory, workers
from himalia_widgets.view.tables.memory import HostMemory
from himalia_widgets.view.tables.workers import WorkerRow
from himalia_widgets.view.text import hover, label


class WorkersPlot(RowsPlot[WorkerRow]):
    """A row for each worker."""

    nothing: ClassVar[str] = "No workers yet."

    def rows(self, history: History) -> Sequence[WorkerRow]:
        return workers.worker_rows(history)


class HostsPlot(RowsPlot[HostMemory]):
    """A row for each host."""

    nothing: ClassVar[str] = "No hosts yet."

    def rows(self, history: History) -> Sequence[HostMemory]:
        return memory.hosts(history)


class ProcessingPlot(WorkersPlot):
    """Calls that run on each worker, of as many as it has threads."""

    name: ClassVar[str] = "processing"
    title: ClassVar[str] = "Processing"

    def length(self, row: WorkerRow) -> float:
        return row.running

    def entry(self, history: History, row: WorkerRow) -> Entry:
        state = " · paused, memory is nearly full" if row.paused else ""
        detail = f"{plural(row.running, 'call')} on {plural(row.nthreads, 'thread')}{state}"
        bar = [(row.running, theme.RUNNING)]
        return Entry(label(row.name, NAME), bar, row.nthreads, f"{row.running} of {row.nthreads}", detail)


class CpuPlot(WorkersPlot):
    """CPU of each worker."""

    name: ClassVar[str] = "cpu"
    title: ClassVar[str] = "CPU"

    def length(self, row: WorkerRow) -> float:
        return row.cpu

    def entry(self, history: History, row: WorkerRow) -> Entry:
        detail = hover(f"{plural(row.nthreads, 'thread')} at {row.host}, process {row.pid}")
        return Entry(label(row.name, NAME), [(row.cpu, theme.CPU)], row.nthreads, units.percent(row.cpu), detail)


class WorkerMemoryPlot(WorkersPlot):
    """Memory of each worker process, of what it may use."""

    name: ClassVar[str] = "memory_by_worker"
    title: ClassVar[str] = "Memory of worker processes"

    def length(self, row: WorkerRow) -> float:
        return row.memory

    def entry(self, history: History, row: WorkerRow) -> Entry:
        limit = units.size(row.memory_limit) if row.memory_limit else "unlimited"
        bar = [(row.memory, warmth(row.memory, row.memory_limit, theme.PROCESS))]
        used = units.size(row.memory)
        return Entry(label(row.name, NAME), bar, row.memory_limit, used, f"{used} of {limit}, results not counted")


class HostMemoryPlot(HostsPlot):
    """Results in each host's store, in memory and on disk."""

    name: ClassVar[str] = "memory_by_host"
    title: ClassVar[str] = "Results by host"

    def length(self, row: HostMemory) -> float:
        return row.store + row.spilled

    def entry(self, history: History, row: HostMemory) -> Entry:
        # Only memory comes near the limit: what is on disk has left it.
        bar = [(row.store, warmth(row.store, row.limit, theme.STORE)), (row.spilled, theme.SPILLED)]
        detail = f"{units.size(row.store)} in memory of {units.size(row.limit)} · {units.size(row.spilled)} on disk"
        return Entry(label(row.name, NAME), bar, row.limit, units.size(row.store + row.spilled), detail)


class SpilledPlot(HostsPlot):
    """Results that each host has on disk."""

    name: ClassVar[str] = "spilled"
    title: ClassVar[str] = "Results on disk"

    def length(self, row: HostMemory) -> float:
        return row.spilled

    def entry(self, history: History, row: HostMemory) -> Entry:
        text = units.size(row.spilled)
        return Entry(label(row.name, NAME), [(row.spilled, theme.SPILLED)], 0, text, f"{text} of results on disk")


def warmth(value: float, limit: float, color: str) -> str:
    """Return a bar's colour, which warns near the limit, at the settings' ``memory_pause`` and ``memory_terminate``."""
    if limit and value > 0.95 * limit:
        return theme.FAILED
    return theme.WARM if limit and value > 0.8 * limit else color
