"""Where the time of each function's calls went and what their results hold, as bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from himalia_widgets.plots.rows import NAME, Entry, RowsPlot
from himalia_widgets.view import colors, units
from himalia_widgets.view.history import History
from himalia_widgets.view.tables import memory
from himalia_widgets.view.tables.groups import GroupRow, group_rows
from himalia_widgets.view.text import label


class GroupsPlot(RowsPlot[GroupRow]):
    """Seconds of each function's calls: computing, in its colour, then transfer, deserialization and serialization."""

    name: ClassVar[str] = "groups"
    title: ClassVar[str] = "Time by function"
    nothing: ClassVar[str] = "No call has ended yet."

    def rows(self, history: History) -> Sequence[GroupRow]:
        # Without those of which nothing ended: the means of no call are nothing.
        rows = [row for row in group_rows(history) if row.finished]
        return sorted(rows, key=self.length, reverse=True)

    def length(self, row: GroupRow) -> float:
        # All of its time, not the mean: what costs most comes first.
        return row.finished * row.means.seconds

    def entry(self, history: History, row: GroupRow) -> Entry:
        means, shades = row.means, colors.PALETTE
        # Computing is of the function's colour, as its bars in the task stream are; the others have one colour
        # everywhere.
        phases = (
            ("compute", means.compute, row.color), ("transfer", means.transfer, shades[colors.TRANSFER]),
            ("deserialize", means.deserialize, shades[colors.DESERIALIZE]),
            ("serialize", means.serialize, shades[colors.SERIALIZE]),
        )  # fmt: skip
        each = ", ".join(f"{name} {units.seconds(taken)}" for name, taken, _ in phases if taken > 0.01 * means.seconds)
        detail = f"{units.count(row.progress.done)} done · each {each or 'no time'} · {units.size(means.nbytes)}"
        # By completions, not by tasks: what was computed again took its time again.
        bar = [(row.finished * taken, color) for _, taken, color in phases]
        return Entry(label(row.progress.name, NAME), bar, 0, units.seconds(self.length(row)), detail)


class GroupMemoryPlot(RowsPlot[tuple[str, int, int]]):
    """Results of each function that are held now."""

    name: ClassVar[str] = "memory_by_group"
    title: ClassVar[str] = "Results by function"
    nothing: ClassVar[str] = "No results are held now."

    def rows(self, history: History) -> Sequence[tuple[str, int, int]]:
        return memory.groups(history)

    def length(self, row: tuple[str, int, int]) -> float:
        return row[1]

    def entry(self, history: History, row: tuple[str, int, int]) -> Entry:
        name, held, peak = row
        detail = f"{units.size(held)} held now, {units.size(peak)} at most"
        return Entry(label(name, NAME), [(held, history.colors.color(name))], 0, units.size(held), detail)
