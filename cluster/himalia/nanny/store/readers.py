"""Which worker maps which range.  Pure: counts only.

A worker reports the ends of a call's mappings before it answers, so what it maps afterwards is what user code keeps
(in a global, in a cache).

A run from the shared queue is read by a worker nobody knows in advance.  So the store counts all workers of the host as
one reader, and this file knows what belongs to whom: first to a run, then to the worker that answered it.  A worker's
count may go below zero for a moment, when it reports the end of a mapping before it answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from himalia.names import WorkerName

WORKERS: Final = "himalia-workers"
"""How the store knows all workers of this host as one reader."""


class Readers:
    """Mappings of all workers of a host, by run and by worker.

    Parameters
    ----------
    length_of : callable
        Returns the bytes of the range at an offset that somebody maps.
    """

    def __init__(self, length_of: Callable[[int], int]) -> None:
        self._length_of = length_of
        self._kept: dict[WorkerName, int] = {}
        self.runs: dict[int, list[int]] = {}
        """Offsets that a run without an answer may map."""
        self._workers: dict[WorkerName, dict[int, int]] = {}

    def dispatched(self, run: int, offsets: list[int]) -> None:
        """Note what a new run maps."""
        # Nobody knows yet who will take it; until then these mappings belong to the run.
        self.runs[run] = offsets

    def lost(self, run: int) -> list[int]:
        """Forget a run that no worker has, and return what nobody maps for it."""
        return self.runs.pop(run, [])

    def answered(self, run: int, worker: WorkerName) -> None:
        """Note who took a run."""
        offsets = self.runs.pop(run, None)
        if offsets is not None:
            self.count(worker, offsets, 1)

    def count(self, worker: WorkerName, offsets: list[int], step: int) -> None:
        """Count mappings of a worker up or down."""
        counts = self._workers.setdefault(worker, {})
        for offset in offsets:
            before = counts.get(offset, 0)
            left = before + step
            if left:
                counts[offset] = left
            else:
                # Zero is no entry, a negative one is: the end of a mapping was reported before its call was answered.
                counts.pop(offset, None)
            # Bytes count once per worker and range, however often it is mapped there.
            if (before > 0) != (left > 0):
                length = self._length_of(offset)
                self._kept[worker] = self._kept.get(worker, 0) + (length if left > 0 else -length)

    def keeps(self, offset: int) -> bool:
        """Whether a worker maps the range at an offset beside what it runs."""
        return any(counts.get(offset, 0) > 0 for counts in self._workers.values())

    def kept(self) -> dict[WorkerName, int]:
        """The bytes that each worker maps beside what it runs: inputs of calls that are over."""
        return {worker: nbytes for worker, nbytes in self._kept.items() if nbytes > 0}

    def left(self, worker: WorkerName, running: list[int]) -> list[int]:
        """Forget a worker that is gone, and return what it mapped, one entry for each mapping."""
        # What it was running was taken by it, though it never answered.
        for run in running:
            self.answered(run, worker)
        counts = self._workers.pop(worker, {})
        self._kept.pop(worker, None)
        return [offset for offset, count in counts.items() for _ in range(count)]
