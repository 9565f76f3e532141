"""Ready tasks in priority order, made for the way they usually come: already sorted.

Entries whose task was placed otherwise meanwhile are void; they are dropped when they come first.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from himalia.scheduler.state import SchedulerTask

Entry = tuple[tuple[float, int, int], int, "SchedulerTask"]
"""Priority, number (rising, so tasks are never compared), task."""


class TaskQueue:
    """A priority queue.

    What is pushed in rising order, as submissions are, goes to a deque, which costs a tenth of a heap; the rest goes to
    a heap.
    """

    __slots__ = ("_heap", "_rising")

    def __init__(self) -> None:
        self._rising: deque[Entry] = deque()
        self._heap: list[Entry] = []

    def __len__(self) -> int:
        return len(self._rising) + len(self._heap)

    def push(self, entry: Entry) -> None:
        """Add an entry whose number is higher than any before."""
        rising = self._rising
        if not rising or entry[0] >= rising[-1][0]:
            rising.append(entry)
        else:
            heappush(self._heap, entry)

    def first(self) -> SchedulerTask | None:
        """Return the task to be placed first, if any still waits."""
        rising, heap = self._rising, self._heap
        while rising and rising[0][2].queued != rising[0][1]:
            rising.popleft()
        while heap and heap[0][2].queued != heap[0][1]:
            heappop(heap)
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
