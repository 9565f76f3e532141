"""Free space of something addressed by bytes: best fit, neighbours joined.  Pure.

It decides which free range an allocation is cut from; it knows nothing of who uses the rest.
"""

from __future__ import annotations

from bisect import bisect_left, insort


class FreeRanges:
    """A set of free ranges that never overlap or touch.

    Best fit, and among equals the lowest offset, so that the same requests always get the same answers.

    Attributes
    ----------
    total : int
        Bytes in all ranges.
    """

    __slots__ = ("_by_length", "_lengths", "_starts", "total")

    def __init__(self) -> None:
        self.total = 0
        self._lengths: dict[int, int] = {}  # start -> length
        self._starts: dict[int, int] = {}  # end -> start
        self._by_length: list[tuple[int, int]] = []  # (length, start), sorted

    @property
    def largest(self) -> int:
        """Bytes of the largest range; 0 if there is none."""
        return self._by_length[-1][0] if self._by_length else 0

    def add(self, offset: int, length: int) -> None:
        """Make a range free, joined with the free ranges it touches."""
        self.total += length
        end = offset + length
        before = self._starts.get(offset)
        if before is not None:
            self._drop(before)
            offset = before
        after = self._lengths.get(end)
        if after is not None:
            self._drop(end)
            end += after
        self._insert(offset, end - offset)

    def take(self, length: int) -> int | None:
        """Cut ``length`` bytes off the smallest range that has them, and return where; ``None`` if none has."""
        # -1 is before every offset: the first range that is long enough, and of those the lowest.
        index = bisect_left(self._by_length, (length, -1))
        if index == len(self._by_length):
            return None
        found, start = self._by_length[index]
        self._drop(start)
        if found > length:
            self._insert(start + length, found - length)
        self.total -= length
        return start

    def take_largest(self, limit: int) -> tuple[int, int] | None:
        """Cut up to ``limit`` bytes off the end of the largest range, and return them."""
        if not self._by_length:
            return None
        length, start = self._by_length[-1]
        self._drop(start)
        kept = max(length - limit, 0)
        if kept:
            self._insert(start, kept)
        self.total -= length - kept
        return start + kept, length - kept

    def ranges(self) -> list[tuple[int, int]]:
        """All ranges as (offset, length), by offset."""
        return sorted(self._lengths.items())

    def _insert(self, start: int, length: int) -> None:
        self._lengths[start] = length
        self._starts[start + length] = start
        insort(self._by_length, (length, start))

    def _drop(self, start: int) -> None:
        length = self._lengths.pop(start)
        del self._starts[start + length]
        del self._by_length[bisect_left(self._by_length, (length, start))]
