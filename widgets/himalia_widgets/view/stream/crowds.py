"""Sums over calls too narrow to be drawn one by one: how long each row was busy with each colour, column by column.

Time is divided into columns of equal width.  Every second of every call is counted in the column in which it passed,
so the sums of a row are the same at any width.  Nothing is left out here: which calls a view is sent, where they are
too many, is decided in the scheduler (``himalia/telemetry/finished_calls.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Number = TypeVar("Number", np.float64, np.int32)

CELLS: Final = 1 << 18
"""Cells of the finest division: what a processor's cache holds, beyond which adding up takes several times as long."""
ENOUGH: Final = 256
"""Columns from which on seeing several colours in one is worth more than finer columns: of a plot of 1,000
pixels each then has four, the least in which colours upon each other are seen."""
NOTHING: Final = 1e-9
"""Part of a column below which a sum is what rounding left over."""


class CrowdedCalls(NamedTuple):
    """Calls to be summed, one per index; their times lie within the window."""

    start: Floats
    end: Floats
    row: Ints
    color: Ints


@dataclass(slots=True, frozen=True)
class Crowds:
    """One entry for each row, column and colour in which there is anything."""

    row: Ints
    start: Floats
    """Left edge of the column."""
    width: float
    """Of each column."""
    color: Ints
    busy: Floats
    """Seconds that passed in calls of this colour in this cell, all threads together."""
    below: Floats
    """The same of the colours before this one, which it is drawn upon."""
    count: Ints
    """Calls that began in it."""
    mixed: npt.NDArray[np.bool_]
    """Whether other colours were counted as this one."""


def crowd(calls: CrowdedCalls, rows: int, start: float, length: float, *, columns: int, budget: int) -> Crowds:
    """Return the sums of calls in a window.

    Parameters
    ----------
    rows : int
        How many rows there are.
    columns : int
        Into how many columns to divide the window, a power of two; halved until there are about ``budget`` entries.
        Before there are fewer than :data:`ENOUGH`, all of a cell is counted as of the colour that has most of it.
    """
    used, color = compress(calls.color)
    # Before anything is added up: this is what it costs.
    while columns > 1 and rows * len(used) * columns > CELLS:
        columns //= 2
    busy, count = add_up(calls, calls.row * len(used) + color, rows * len(used), start, length, columns)
    # Kept, to begin again from where columns become too coarse.
    finest, fine = columns, (busy, count)
    while columns > 1 and entries(busy, count) > budget:
        columns, busy, count = columns // 2, halve(busy), halve(count)
    mixed = np.zeros(busy.shape, np.bool_)
    if columns < min(finest, ENOUGH) and len(used) > 1:
        # Once more with one colour for a cell: fine columns with the main colour say more than coarse ones with all.
        columns, busy, count = finest, *fine
        while columns > ENOUGH or (columns > 1 and cells(busy, count, rows) > budget):
            columns, busy, count = columns // 2, halve(busy), halve(count)
        busy, count, mixed = count_as_one(busy, count, rows)
    shape = (rows, len(used), columns)
    below = np.zeros(shape)
    np.cumsum(busy.reshape(shape)[:, :-1], axis=1, out=below[:, 1:])
    # A call may take no time at all, and still be one.
    line, column = np.nonzero((busy > 0.0) | (count > 0))
    width = length / columns
    return Crowds(
        (line // len(used)).astype(np.int32), np.asarray(start + column * width, np.float64), width,
        used[line % len(used)], busy[line, column],
        below.reshape(busy.shape)[line, column], count[line, column], mixed[line, column],
    )  # fmt: skip


def entries(busy: Floats, count: Ints) -> int:
    """Return for how many columns of a line there is anything."""
    return int(np.count_nonzero((busy > 0.0) | (count > 0)))


def cells(busy: Floats, count: Ints, rows: int) -> int:
    """Return for how many columns of a row there is anything, whatever its colour."""
    there = (busy > 0.0) | (count > 0)
    return int(np.count_nonzero(there.reshape(rows, -1, there.shape[1]).any(axis=1)))


def count_as_one(busy: Floats, count: Ints, rows: int) -> tuple[Floats, Ints, npt.NDArray[np.bool_]]:
    """Return all of a cell as of the colour that has most of it, and where there was any other."""
    shape = (rows, -1, busy.shape[1])
    each = busy.reshape(shape)
    most = np.arange(each.shape[1])[None, :, None] == np.argmax(each, axis=1)[:, None]
    total = each.sum(axis=1, keepdims=True)
    mixed = most & (total > each)
    all_busy = np.where(most, total, 0.0)
    all_count = np.where(most, count.reshape(shape).sum(axis=1, keepdims=True), 0).astype(np.int32)
    return all_busy.reshape(busy.shape), all_count.reshape(busy.shape), mixed.reshape(busy.shape)


def halve(cells: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Return columns twice as wide."""
    return cells[:, ::2] + cells[:, 1::2]


def add_up(
    calls: CrowdedCalls, line: Ints, lines: int, start: float, length: float, columns: int
) -> tuple[Floats, Ints]:
    """Return seconds and beginnings in each cell, as arrays of ``lines`` by ``columns``."""
    width = length / columns
    first, last = place(calls.start, start, length, columns), place(calls.end, start, length, columns)
    size = lines * columns
    cell = line * columns + first
    inside = calls.end - calls.start
    crossing = np.flatnonzero(last > first)
    if len(crossing):
        # Three parts: to the end of its first column, all of those between, and into its last.
        inside[crossing] = start + (first[crossing] + 1) * width - calls.start[crossing]
    busy: Any = np.bincount(cell, inside, size)
    if len(crossing):
        ends = line[crossing] * columns + last[crossing]
        busy += np.bincount(ends, calls.end[crossing] - (start + last[crossing] * width), size)
        # +1 where the whole columns begin and -1 where they end: the running sum is how many calls fill each.
        whole = np.bincount(cell[crossing] + 1, minlength=size) - np.bincount(ends, minlength=size)
        busy += np.cumsum(whole.reshape(lines, columns), axis=1).ravel() * width
    # Else nothing at all would be an entry, and be drawn at the least height.
    busy[busy < width * NOTHING] = 0.0
    return busy.reshape(lines, columns), np.bincount(cell, minlength=size).astype(np.int32).reshape(lines, columns)


def compress(numbers: Ints) -> tuple[Ints, Ints]:
    """Return the sorted distinct small numbers and where each is among them, faster than by sorting."""
    there = np.bincount(numbers) > 0
    return np.flatnonzero(there).astype(np.int32), (np.cumsum(there) - 1).astype(np.int32)[numbers]


def place(time: Floats, start: float, length: float, columns: int) -> Ints:
    """Return the column that each time falls into; the end of the window belongs to the last one."""
    column = ((time - start) * (columns / length)).astype(np.int32)
    # A time may lie outside by a rounding.
    return np.clip(column, 0, columns - 1, out=column)
