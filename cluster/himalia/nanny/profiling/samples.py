"""The last minutes of what user code did on a host: a bounded history of stacks.

The oldest are forgotten first.  Each distinct stack is kept once.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Collection, Iterable
from typing import Final

SECONDS: Final = 600.0
"""How long samples are kept."""
ENTRIES: Final = 5000
"""Entries that are kept at most.  Stacks are about 500 bytes each, so that the longest answer has 2.5 MB."""

Sample = tuple[float, str, int]
"""When (epoch seconds), which stack, how often it was seen."""


class Samples:
    """What was seen, by worker and time."""

    def __init__(self) -> None:
        self._entries: deque[tuple[float, str, str, int]] = deque(maxlen=ENTRIES)

    def add(self, worker: str, time: float, stacks: Iterable[tuple[str, int]]) -> None:
        """Take what a look at a worker showed."""
        # Threads in the same place, and looks of one recording, are one entry.
        counts: dict[str, int] = {}
        for stack, count in stacks:
            counts[stack] = counts.get(stack, 0) + count
        # Interned: a loop that runs for an hour has few distinct stacks, seen thousands of times.
        self._entries.extend((time, worker, sys.intern(stack), count) for stack, count in counts.items())
        # Here and not at a question: what nobody asks for must go as well.
        while self._entries and self._entries[0][0] < time - SECONDS:
            self._entries.popleft()

    def since(self, time: float, workers: Collection[str] | None = None) -> dict[str, list[Sample]]:
        """The samples that were taken later than ``time``, of these workers (``None``: of all)."""
        found: dict[str, list[Sample]] = {}
        for when, worker, stack, count in self._entries:
            if when > time and (workers is None or worker in workers):
                found.setdefault(worker, []).append((when, stack, count))
        return found
