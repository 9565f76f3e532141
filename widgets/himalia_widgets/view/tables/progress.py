"""How far each function's calls are: one row for each, with what is done, running, waiting and failed."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from himalia.messages.telemetry import GroupSummary
from himalia_widgets.view.history import History
from himalia_widgets.view.text import label

MOST: Final = 30
"""Rows; what is more is summed up in one."""
NAME: Final = 32
"""Characters of a function's name beside its bar."""


class Progress(NamedTuple):
    """Where the tasks of one function stand, as :class:`himalia.messages.telemetry.TaskCounts` counts them."""

    name: str
    """The function's, or ``"12 others"``; raw, see :attr:`label`."""
    functions: int
    """How many functions this sums up."""
    in_memory: int
    released: int
    """Done, and their results let go of."""
    running: int
    """At a host: running, or next in line there."""
    waiting: int
    failed: int
    cancelled: int
    rate: float
    """Calls that end a second, lately; 0 if what is left takes longer than it should."""
    compute: float
    """Seconds, of all that are done."""

    @property
    def label(self) -> str:
        """The name, fit for a plot."""
        return label(self.name, NAME)

    @property
    def done(self) -> int:
        return self.in_memory + self.released

    @property
    def total(self) -> int:
        return self.ended + self.left + self.cancelled

    @property
    def ended(self) -> int:
        return self.done + self.failed

    @property
    def left(self) -> int:
        return self.running + self.waiting

    @property
    def eta(self) -> float | None:
        """Seconds until all are done at this rate; None if nobody knows, 0 if they are."""
        if not self.left:
            return 0.0
        return self.left / self.rate if self.rate > 0.0 else None


def progress(history: History, *, most: int = MOST) -> list[Progress]:
    """Return a row for each function, those with work left first, then the latest ones.

    Parameters
    ----------
    most : int
        Rows at most; the others are summed up in the last one.
    """
    rows: dict[str, Progress] = {}
    for key, group in history.groups.items():
        name, _ = key
        row = of_group(group, history.paces[key].rate_for(group.counts.left, history.now))
        # Taken out and put in again: a function that is called again is among the latest. It stays one function.
        rows[name] = add(rows.pop(name), row, name)._replace(functions=1) if name in rows else row
    # A group of values that clients placed has no tasks.
    newest = [row for row in reversed(rows.values()) if row.total]
    # Stable: among those with work left, and among the others, the latest stay first.
    newest.sort(key=lambda row: not row.left)
    if len(newest) <= most:
        return newest
    rest = newest[most - 1]
    for row in newest[most:]:
        rest = add(rest, row, "")
    return [*newest[: most - 1], rest._replace(name=f"{rest.functions} others")]


def of_group(group: GroupSummary, rate: float) -> Progress:
    """Return one group's row."""
    counts = group.counts
    in_memory = min(group.in_memory, counts.done)  # the others were placed by clients
    return Progress(
        group.name,
        1,
        in_memory,
        counts.done - in_memory,
        counts.assigned,
        counts.waiting,
        counts.failed,
        counts.cancelled,
        rate,
        # The sum is over completions: of what was computed again each task counts once here.
        group.compute / group.finished * counts.done if group.finished else 0.0,
    )


def add(one: Progress, other: Progress, name: str) -> Progress:
    """Return two rows as one."""
    # All but the name, in the order of the fields: each of them is a sum.
    sums: list[Any] = [a + b for a, b in zip(one[1:], other[1:], strict=True)]
    return Progress(name, *sums)
