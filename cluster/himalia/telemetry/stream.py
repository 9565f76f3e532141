"""The scheduler's bounded memory of finished calls, and what of it a follower is sent.

A record is kept as a plain tuple, because one is made for every call; older ones are packed into blocks of bytes.  Not
for their size: thousands of small long-lived objects, made between those of tasks, would keep the memory of released
tasks from going back to the system.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

import msgspec

from himalia.messages import TaskRecord, Timing
from himalia.names import HostId, Key

Row = tuple[Key, str, HostId, str, str, Timing, int]
"""The fields of a :class:`TaskRecord`, in its order, and so in its encoding."""

BLOCK: Final = 1024
"""Rows packed at once: about 0.5 ms."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[TaskRecord]).decode


class TelemetryLog:
    """A ring of about the newest ``limit`` records; ``total`` counts all there ever were."""

    def __init__(self, limit: int) -> None:
        self.total = 0
        self._recent: list[Row] = []
        self._blocks: deque[tuple[int, bytes]] = deque()
        """Number of rows, rows; older than all of ``_recent``."""
        self._packed = 0
        self._limit = limit

    def __len__(self) -> int:
        return len(self._recent) + self._packed

    def add(self, row: Row) -> None:
        """Remember one finished call."""
        recent = self._recent
        recent.append(row)
        self.total += 1
        if len(recent) == 2 * BLOCK:
            self.pack(BLOCK)

    def pack(self, count: int = 2 * BLOCK) -> None:
        """Pack so many of the oldest unpacked records, or all: do this when nothing happens."""
        rows = self._recent[:count]
        if rows:
            del self._recent[:count]
            self._blocks.append((len(rows), _encode(rows)))
            self._packed += len(rows)
        while self._blocks and self._packed - self._blocks[0][0] >= self._limit:
            self._packed -= self._blocks.popleft()[0]

    def newest_first(self) -> Iterator[TaskRecord]:
        """Yield all records that are kept; blocks are unpacked only when they are reached."""
        for row in reversed(self._recent):
            yield TaskRecord(*row)
        for _, block in reversed(self._blocks):
            yield from reversed(_decode(block))

    def since_number(self, number: int, limit: int) -> tuple[list[TaskRecord], int]:
        """Return at most ``limit`` records after the first ``number`` ones, evenly thinned, and how many were left out.

        The newest record is always among them.
        """
        new = self.total - number
        if new <= 0:
            return [], 0
        available = min(new, len(self))
        step = -(-available // limit)
        picked = []
        for index, record in enumerate(self.newest_first()):
            if index >= available:
                break
            if index % step == 0:
                picked.append(record)
        picked.reverse()
        return picked, new - len(picked)

    def since_time(self, start: float) -> list[TaskRecord]:
        """Return the kept records of calls that started at or after ``start``, seconds since the epoch."""
        found = [record for record in self.newest_first() if record.timing.start >= start]
        found.reverse()
        return found
