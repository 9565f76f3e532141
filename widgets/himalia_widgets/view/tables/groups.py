"""Functions as a table: how far each is, what its calls took on average, and what its results hold."""

from __future__ import annotations

from typing import NamedTuple

from himalia_widgets.view.history import History
from himalia_widgets.view.tables.progress import Progress, progress


class Means(NamedTuple):
    """What a call that finished took, seconds, and gave, bytes, on average."""

    transfer: float
    deserialize: float
    compute: float
    serialize: float
    nbytes: float

    @property
    def seconds(self) -> float:
        """All of its time."""
        return self.transfer + self.deserialize + self.compute + self.serialize


class GroupRow(NamedTuple):
    """One function; sizes are bytes."""

    progress: Progress
    color: str
    finished: int
    """Completions that the means are of; a task that was computed again counts each time."""
    means: Means
    memory: int
    peak: int
    moved: int

    @property
    def calls(self) -> int:
        """Tasks that ended, those that failed included: what progress counts."""
        return self.progress.ended


def group_rows(history: History, *, most: int = 1000) -> list[GroupRow]:
    """Return a row for each function, those with work left first."""
    sums: dict[str, list[float]] = {}
    for (name, _), group in history.groups.items():
        numbers = (
            group.finished, group.transfer, group.deserialize, group.compute, group.serialize, group.nbytes,
            group.memory, group.peak, group.moved,
        )  # fmt: skip
        sums[name] = [a + b for a, b in zip(sums.get(name, [0] * 9), numbers, strict=True)]
    rows = []
    for row in progress(history, most=most):
        if row.name in sums:  # the last one may sum up others
            finished, *times, memory, peak, moved = sums[row.name]
            # Sums are over completions, so are the means; tasks may be fewer, if some were computed again.
            means = Means(*[value / finished if finished else 0.0 for value in times])
            color = history.colors.color(row.name)
            rows.append(GroupRow(row, color, int(finished), means, int(memory), int(peak), int(moved)))
    return rows
