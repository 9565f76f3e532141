"""The scheduler's bounded memory of finished calls, and which of them a follower is sent: all, or an even sample.

A record is kept as a plain tuple, because one is made for every call; older ones are packed into blocks of bytes.  Not
for their size: thousands of small long-lived objects, made between those of tasks, would keep the memory of released
tasks from going back to the system.  The same bytes go to every follower that wants all records.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from himalia.decoders import decoder_of
from himalia.messages.parts import Timing
from himalia.messages.telemetry import TaskRecord
from himalia.names import HostId, Key

Row = tuple[Key, str, HostId, str, str, Timing, int]
"""The fields of a :class:`TaskRecord`, in its order, and so in its encoding."""

BLOCK: Final = 1024
"""Rows packed at once: about 0.5 ms."""
THIN: Final = 8
"""One in so many rows of a block is packed a second time, for followers that are content with a sample."""

_encode = msgspec.msgpack.Encoder().encode
_decode = decoder_of(list[TaskRecord]).decode


class RowBlock(NamedTuple):
    """Packed rows, the oldest first."""

    first: int
    """Number of its first row among all there ever were, from 0."""
    length: int
    rows: bytes
    sample: bytes
    """Every ``THIN``-th of them."""
    latest: float
    """When the last of these calls started, seconds since the epoch."""


class TelemetryLog:
    """A ring of about the newest ``limit`` records; ``total`` counts all there ever were."""

    def __init__(self, limit: int) -> None:
        self.total = 0
        # The newest last; a list, since what is packed is cut off its front a thousand at a time.
        self._recent: list[Row] = []
        self._blocks: deque[RowBlock] = deque()
        """Older than all of ``_recent``."""
        self._packed = 0
        self._limit = limit

    def __len__(self) -> int:
        return len(self._recent) + self._packed

    def add(self, row: Row) -> None:
        """Remember one finished call."""
        recent = self._recent
        recent.append(row)
        self.total += 1
        # Twice: the newest thousand stay as rows, so that a view which asks for few needs no decoding.
        if len(recent) == 2 * BLOCK:
            self.pack(BLOCK)

    def pack(self, count: int = 2 * BLOCK) -> None:
        """Pack so many of the oldest unpacked records, or all: do this when nothing happens, or when they are sent."""
        rows = self._recent[:count]
        if rows:
            first = self.total - len(self._recent)
            del self._recent[:count]
            # Calls end in another order than they started in; a block's last row isn't its latest.
            latest = max([row[5].start for row in rows])
            self._blocks.append(RowBlock(first, len(rows), _encode(rows), _encode(rows[::THIN]), latest))
            self._packed += len(rows)
        # Whole blocks go, so there are up to a block more than the limit says, never less.
        while self._blocks and self._packed - self._blocks[0].length >= self._limit:
            self._packed -= self._blocks.popleft().length

    def newest_first(self) -> Iterator[TaskRecord]:
        """Yield all records that are kept; blocks are unpacked only when they are reached."""
        for row in reversed(self._recent):
            yield TaskRecord(*row)
        for block in reversed(self._blocks):
            yield from reversed(_decode(block.rows))

    def blocks_since(self, number: int) -> list[bytes]:
        """Pack everything, and return the blocks with the records after the first ``number`` ones.

        ``number`` is ``total`` at an earlier such call (or 0), so that it lies between two blocks.
        """
        # So that every number that a follower was told is the end of a block, and no row is sent twice.
        self.pack()
        found = []
        # From the newest: a follower that keeps up needs one or two of twenty.
        for block in reversed(self._blocks):
            if block.first < number:
                break
            found.append(block.rows)
        found.reverse()
        return found

    def since_number(self, number: int, limit: int) -> tuple[list[TaskRecord], int]:
        """Return at most ``limit`` records after the first ``number`` ones, evenly thinned, and how many were left out.

        Few are returned as they are; of many, those that were packed are taken from their blocks' samples.
        """
        new = self.total - number
        if new <= 0:
            return [], 0
        # A follower that was away for long missed some for good.
        available = min(new, len(self))
        picked: list[TaskRecord]
        # Without samples: few are shown one by one, and each is looked for.
        if available <= limit:
            picked = []
            for index, record in enumerate(self.newest_first()):
                if index >= available:
                    break
                picked.append(record)
            picked.reverse()
        else:
            # Rounded up, so that there are rather too few; what is still too much goes from the old end.
            picked = self._sample(self.total - available, -(-available // limit))
            picked = picked[-limit:]
        return picked, new - len(picked)

    def _sample(self, start: int, step: int) -> list[TaskRecord]:
        """Return about every ``step``-th record from number ``start`` on, the newest always."""
        coarse = -(-step // THIN)  # blocks keep every THIN-th record as their sample already
        picked: list[TaskRecord] = []
        for block in self._blocks:
            if block.first + block.length > start:
                # The first of the block's sample that isn't before ``start``.
                skipped = -(-max(0, start - block.first) // THIN)
                picked += _decode(block.sample)[skipped::coarse]
        recent = self._recent[max(0, start - (self.total - len(self._recent))) :]
        # Backwards and turned round, so that the newest is among them whatever the step.
        return picked + [TaskRecord(*row) for row in recent[:: -coarse * THIN][::-1]]

    def since_time(self, start: float) -> list[TaskRecord]:
        """Return the kept records of calls that started at or after ``start``, seconds since the epoch."""
        # Whole blocks are left out by one number each; without it each question would unpack 20,000 calls.
        packed = [_decode(block.rows) for block in self._blocks if block.latest >= start]
        found = [record for records in packed for record in records if record.timing.start >= start]
        return found + [TaskRecord(*row) for row in self._recent if row[5].start >= start]
