"""Which worker maps which range.  Pure: counts only.

A run from the shared queue is read by a worker nobody knows in advance.  So the store counts all workers of the host as
one reader, and this file knows what belongs to whom: first to a run, then to the worker that answered it.  A worker's
count may go below zero for a moment, when it reports the end of a mapping before it answers.
"""

from __future__ import annotations

from himalia.names import Key, WorkerName


class Readers:
    """Mappings of all workers of a host, by run and by worker."""

    def __init__(self) -> None:
        self.runs: dict[int, list[int]] = {}
        """Offsets that a run without an answer may map."""
        self._dispatches: dict[tuple[Key, int], int] = {}
        self._workers: dict[WorkerName, dict[int, int]] = {}

    def dispatched(self, run: int, key: Key, attempt: int, offsets: list[int]) -> list[int]:
        """Note what a new run maps; return what an earlier run of the same attempt, which is lost, doesn't any more."""
        lost = self.runs.pop(self._dispatches.pop((key, attempt), 0), [])
        if offsets:
            self.runs[run] = offsets
            self._dispatches[key, attempt] = run
        return lost

    def answered(self, run: int, worker: WorkerName) -> None:
        """Note who took a run."""
        offsets = self.runs.pop(run, None)
        if offsets is not None:
            self.count(worker, offsets, 1)

    def count(self, worker: WorkerName, offsets: list[int], step: int) -> None:
        """Count mappings of a worker up or down."""
        counts = self._workers.setdefault(worker, {})
        for offset in offsets:
            left = counts.get(offset, 0) + step
            if left:
                counts[offset] = left
            else:
                counts.pop(offset, None)

    def left(self, worker: WorkerName, running: list[int]) -> list[int]:
        """Forget a worker that is gone, and return what it mapped, one entry for each mapping."""
        for run in running:
            self.answered(run, worker)
        counts = self._workers.pop(worker, {})
        return [offset for offset, count in counts.items() for _ in range(count)]
