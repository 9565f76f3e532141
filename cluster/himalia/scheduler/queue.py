"""Ready tasks in priority order, made for the way they usually come: already sorted.

Entries whose task was placed otherwise meanwhile are void; they are dropped when they come first, or when there may be
as many of them as of the others.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from himalia.scheduler.state import SchedulerTask

Entry = tuple[tuple[float, int, int], int, "SchedulerTask"]
"""Priority, number (rising, so tasks are never compared), task."""


SWEEP: Final = 1024
"""Entries below which nobody looks for void ones."""


class TaskQueue:
    """A priority queue.

    What is pushed in rising order, as submissions are, goes to a deque, which costs a tenth of a heap; the rest goes to
    a heap.
    """

    __slots__ = ("_heap", "_rising", "_sweep_at")

    def __init__(self) -> None:
        self._rising: deque[Entry] = deque()
        self._heap: list[Entry] = []
        self._sweep_at = SWEEP
        """Entries at which void ones are looked for."""

    def __len__(self) -> int:
        return len(self._rising) + len(self._heap)

    def push(self, entry: Entry) -> None:
        """Add an entry whose number is higher than any before."""
        rising = self._rising
        # Equal ones too: numbers rise, so order of arrival is kept.
        if not rising or entry[0] >= rising[-1][0]:
            rising.append(entry)
        else:
            heappush(self._heap, entry)
        if len(rising) + len(self._heap) >= self._sweep_at:
            self._sweep()

    def _sweep(self) -> None:
        """Drop void entries: with no workers none comes first, however many calls are submitted and cancelled."""
        self._rising = deque([entry for entry in self._rising if entry[2].queued == entry[1]])
        self._heap = [entry for entry in self._heap if entry[2].queued == entry[1]]
        heapify(self._heap)
        # Twice what is alive: each entry is then looked at a bounded number of times, however many are cancelled.
        self._sweep_at = max(SWEEP, 2 * len(self))

    def first(self) -> SchedulerTask | None:
        """Return the task to be placed first, if any still waits."""
        rising, heap = self._rising, self._heap
        while rising and rising[0][2].queued != rising[0][1]:
            rising.popleft()
        while heap and heap[0][2].queued != heap[0][1]:
            heappop(heap)
        # Compared as (priority, number): numbers differ, so the tasks in the third place are never compared.
        if heap and (not rising or heap[0] < rising[0]):
            return heap[0][2]
        return rising[0][2] if rising else None

    def pop(self) -> None:
        """Remove the entry of the task that :meth:`first` returned last."""
        rising, heap = self._rising, self._heap
        if heap and (not rising or heap[0] < rising[0]):
            heappop(heap)
        else:
            rising.popleft()

    def entries(self) -> list[Entry]:
        """Return all entries that are not void, in no order."""
        return [entry for entry in (*self._rising, *self._heap) if entry[2].queued == entry[1]]
