"""The newest finished calls, as columns of numbers: a ring that is written in bulk and read by windows of time.

Names (workers, functions) are numbered where they are first met; a row holds their numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from himalia.messages.telemetry import TaskRecord

Row = Sequence[Any]
"""The fields of a :class:`TaskRecord` in its order, its timing as such a sequence too."""

# Epoch seconds in four bytes would be exact to two minutes; durations of a call are exact enough in them.
COLUMNS: Final[dict[str, Any]] = {
    "start": np.float64, "end": np.float64, "transfer": np.float32, "deserialize": np.float32, "compute": np.float32,
    "serialize": np.float32, "nbytes": np.int64, "moved": np.int64, "lane": np.int32, "group": np.int32,
    "failed": np.bool_, "key": np.object_,
}  # fmt: skip

_decode = msgspec.msgpack.Decoder().decode


class Lane(NamedTuple):
    """One thread of a worker: where calls run one after the other."""

    host: str
    worker: str
    thread: int


class CallTable:
    """A ring of about ``capacity`` calls.

    Attributes
    ----------
    columns : dict of str to array
        ``start`` and ``end`` of the time on the thread in epoch seconds, ``transfer`` (before ``start``),
        ``deserialize``, ``compute``, ``serialize`` in seconds, ``nbytes``, ``moved``, ``lane`` and ``group`` (indices
        into ``lanes`` and ``groups``), ``failed``, ``key``.  Row ``n`` of all there ever were is at ``n % capacity``.
    total : int
        Rows ever written.
    first : float
        When the first call ever started; infinite before it.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.columns: dict[str, npt.NDArray[Any]] = {name: np.empty(capacity, kind) for name, kind in COLUMNS.items()}
        self.total = 0
        self.first = float("inf")
        self.lanes: list[Lane] = []
        self.groups: list[str] = []
        self.last_seen: dict[int, float] = {}
        """When a call ended in each lane, epoch seconds; what lanes are there goes by it."""
        self._lane_numbers: dict[tuple[str, str, int], int] = {}
        self._group_numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return min(self.total, self.capacity)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Return one column of all rows that are kept, in the ring's order."""
        return self.columns[name][: len(self)]

    def window(self, start: float, end: float) -> npt.NDArray[np.intp]:
        """Return the indices of calls of which any part, transfer included, lies between these times."""
        left = self["start"]
        # What was refused before it began has no start: 0.
        inside = (left - self["transfer"] < end) & (self["end"] > start) & (left > 0.0)
        return np.flatnonzero(inside)

    def since(self, number: int) -> npt.NDArray[np.intp]:
        """Return the indices of rows after the first ``number`` ones, oldest first, as far as they are kept."""
        # A reader that was away for longer than the ring holds gets what is left.
        first = max(number, self.total - self.capacity, 0)
        return np.arange(first, self.total) % self.capacity

    def of_key(self, key: str) -> list[int]:
        """Return the indices of a task's calls, oldest first; looks at all."""
        found = np.flatnonzero(self["key"] == key)
        # By age: the row that is overwritten next is the oldest, wherever it is.
        return sorted(found.tolist(), key=lambda row: (row - self.total) % self.capacity)

    def add_block(self, block: bytes, skew: Mapping[str, float]) -> None:
        """Append a MessagePack list of records."""
        self.add_rows(_decode(block), skew)

    def add_records(self, records: Sequence[TaskRecord], skew: Mapping[str, float]) -> None:
        """Append records one has as objects."""
        as_tuple = msgspec.structs.astuple
        self.add_rows(
            [(r.key, r.group, r.host, r.worker, r.status, as_tuple(r.timing), r.nbytes) for r in records], skew
        )

    def add_rows(self, rows: Sequence[Row], skew: Mapping[str, float]) -> None:
        """Append rows; ``skew`` are the seconds to add to a host's clock to have ours."""
        # What would be overwritten at once is only counted.
        self.total += max(0, len(rows) - self.capacity)
        rows = rows[-self.capacity :]
        if not rows:
            return
        keys, groups, hosts, workers, statuses, timings, nbytes = zip(*rows, strict=True)
        start, deserialize, compute, serialize, threads, transfer, moved = np.array(timings, np.float64).T
        if skew:
            start = start + [skew.get(host, 0.0) for host in hosts]
        # Without those that have no start, or the first call would have been in 1970.
        known = start[start > 0.0]
        if len(known):
            self.first = min(self.first, float(known.min()))
        end = start + deserialize + compute + serialize
        lane = self._number_lanes(hosts, workers, threads.astype(np.int64).tolist())
        group = self._number_groups(groups)
        self._write(
            len(rows),
            start=start, end=end, transfer=transfer, deserialize=deserialize, compute=compute, serialize=serialize,
            nbytes=nbytes, moved=moved, lane=lane, group=group, key=keys,
            failed=[status != "ok" for status in statuses],
        )  # fmt: skip
        # Of one lane the last row is the newest.
        self.last_seen.update(zip(lane, end.tolist(), strict=True))

    def shift(self, host: str, seconds: float, since: int) -> None:
        """Move a host's calls in time, those after the first ``since`` of all rows that there ever were."""
        rows = self.since(since)
        # Looked up by lane: a host has few of these and many calls.
        mine = np.array([lane.host == host for lane in self.lanes], np.bool_)
        if not len(rows) or not mine.any():
            return
        rows = rows[mine[self.columns["lane"][rows]] & (self.columns["start"][rows] > 0.0)]
        self.columns["start"][rows] += seconds
        self.columns["end"][rows] += seconds
        # The first call may have been overwritten; then nobody knows any more when it was.
        starts = self["start"][self["start"] > 0.0]
        if self.total <= self.capacity and len(starts):
            self.first = float(starts.min())
        # Lanes go when nothing ended in them for long: by a clock that was wrong they would go at once, or never.
        numbers = [number for number, is_mine in enumerate(mine) if is_mine and number in self.last_seen]
        self.last_seen.update({number: self.last_seen[number] + seconds for number in numbers})

    def _write(self, count: int, **values: Sequence[object] | npt.NDArray[Any]) -> None:
        at = self.total % self.capacity
        # In two pieces where it goes around the end of the ring.
        first = min(count, self.capacity - at)
        for name, column in self.columns.items():
            value = values[name]
            column[at : at + first] = value[:first]
            if first < count:
                column[: count - first] = value[first:]
        self.total += count

    def _number_lanes(self, hosts: Sequence[str], workers: Sequence[str], threads: Sequence[int]) -> list[int]:
        numbers = self._lane_numbers
        for lane in set(zip(hosts, workers, threads, strict=True)).difference(numbers):
            numbers[lane] = len(self.lanes)
            self.lanes.append(Lane(*lane))
        return [numbers[lane] for lane in zip(hosts, workers, threads, strict=True)]

    def _number_groups(self, groups: Sequence[str]) -> list[int]:
        numbers = self._group_numbers
        for name in dict.fromkeys(groups):
            if name not in numbers:
                numbers[name] = len(self.groups)
                self.groups.append(name)
        return [numbers[name] for name in groups]
