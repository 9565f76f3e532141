"""Numbers over time, in bounded memory: what is older is kept less densely, what is too old is forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

POINTS: Final = 600
"""Points of one series: about what a plot has pixels for."""


class Series:
    """A table of points with one column per name; the first is always ``time``, epoch seconds."""

    __slots__ = ("_count", "_limit", "_names", "_rows", "_seconds")

    def __init__(self, names: Iterable[str], *, seconds: float, limit: int = POINTS) -> None:
        self._names = {name: index for index, name in enumerate(("time", *names))}
        # Small at first: there is one for each of a thousand workers.
        self._rows = np.empty((min(limit, 16), len(self._names)))
        self._count = 0
        self._limit = limit
        self._seconds = seconds

    def __len__(self) -> int:
        return self._count

    def add(self, time: float, *values: float) -> None:
        """Append a point; one that isn't newer than the last replaces it."""
        rows, count = self._rows, self._count
        # Times only rise: room is made by them.
        if count and time <= rows[count - 1, 0]:
            rows[count - 1, 1:] = values
            return
        if count == len(rows):
            self._make_room(time)
            rows, count = self._rows, self._count
        rows[count] = (time, *values)
        self._count = count + 1

    def column(self, name: str) -> Floats:
        """Return a copy of one column, oldest first."""
        return self._rows[: self._count, self._names[name]].copy()

    def last(self, name: str) -> float:
        """Return the newest value, 0 before the first."""
        return float(self._rows[self._count - 1, self._names[name]]) if self._count else 0.0

    def _make_room(self, now: float) -> None:
        """Grow, or drop what is too old and every second point of the older half."""
        if self._count < self._limit:
            rows = np.empty((min(self._limit, 4 * len(self._rows)), len(self._names)))
            rows[: self._count] = self._rows[: self._count]
            self._rows = rows
            return
        kept = self._rows[: self._count]
        # First what is too old: where that is enough, nothing is thinned.
        kept = kept[kept[:, 0] >= now - self._seconds]
        if len(kept) > self._limit * 3 // 4:
            half = len(kept) // 2
            # The older half only, so the newest stay as dense as they came.
            kept = np.concatenate([kept[:half:2], kept[half:]])
        self._count = len(kept)
        self._rows[: self._count] = kept
