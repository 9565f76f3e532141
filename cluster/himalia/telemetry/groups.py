"""Bounded aggregates of the calls of one kind.  They count and average; what is shown of them is decided elsewhere."""

from __future__ import annotations

from typing import Final

from himalia.messages import Timing

SMOOTHING: Final = 0.2
"""Weight of the newest duration in a group's moving average: five completions renew it.  Guess."""


class TaskGroup:
    """Counts and times of all tasks that share a name.

    ``duration`` is the moving average of what a call occupied its thread for, seconds; -1 before the first one.
    """

    __slots__ = (
        "changed",
        "compute",
        "counts",
        "deserialize",
        "duration",
        "failed",
        "finished",
        "name",
        "nbytes",
        "serialize",
        "tasks",
        "transfer",
    )

    def __init__(self, name: str, statuses: int) -> None:
        self.name = name
        self.counts = [0] * statuses
        """Tasks in each status of the scheduler, by its number."""
        self.tasks = 0
        """Tasks that exist."""
        self.finished = 0
        self.failed = 0
        self.duration = -1.0
        self.compute = 0.0
        self.transfer = 0.0
        self.deserialize = 0.0
        self.serialize = 0.0
        self.nbytes = 0
        self.changed = True
        """Since the last push to followers; a group that rests costs nothing."""

    def add_completion(self, timing: Timing, nbytes: int) -> None:
        """Count one finished call."""
        self.finished += 1
        self.compute += timing.compute
        self.transfer += timing.transfer
        self.deserialize += timing.deserialize
        self.serialize += timing.serialize
        self.nbytes += nbytes
        self.changed = True
        taken = timing.compute + timing.deserialize + timing.serialize
        if self.duration < 0.0:
            self.duration = taken
        else:
            self.duration += SMOOTHING * (taken - self.duration)
