"""Bounded aggregates of the calls of one kind.  They count and average; what is shown of them is decided elsewhere.

A *group* is what one client submitted under one name from one place (a *span*: a notebook's cell, or the whole client).
How long calls take depends on the name alone, so groups of one name share their :class:`MeanDuration`.
"""

from __future__ import annotations

from typing import Final

from himalia.messages.parts import Timing
from himalia.messages.telemetry import TaskCounts
from himalia.names import ClientId

SMOOTHING: Final = 0.2
"""Weight of the newest duration in a group's moving average: five completions renew it.  TCP
estimates round trips with 1/8 (RFC 6298); calls of one function change more at once, from one ``map`` to the next."""


class MeanDuration:
    """Moving average of how long calls of one name keep a thread, seconds; -1 before the first one."""

    __slots__ = ("duration",)

    def __init__(self) -> None:
        self.duration = -1.0


class TaskGroup:
    """Counts and times of all tasks that share a name and a span."""

    # A session may have thousands of these, one for each function in each cell.
    __slots__ = (
        "cancelled",
        "changed",
        "client",
        "compute",
        "counted",
        "counts",
        "deserialize",
        "erred",
        "failed",
        "finished",
        "memory",
        "moved",
        "name",
        "nbytes",
        "pace",
        "peak",
        "placed",
        "serialize",
        "span",
        "stopping",
        "tasks",
        "transfer",
        "wasted",
    )

    def __init__(self, name: str, span: str, client: ClientId, pace: MeanDuration, statuses: int) -> None:
        self.name = name
        self.span = span
        self.client = client
        """Who submits them; it is told what they print."""
        self.pace = pace
        self.counts = [0] * statuses
        """Tasks in each status of the scheduler, by its number."""
        self.tasks = 0
        """Tasks that exist."""
        self.placed = 0
        """Of all that there ever were: values that clients placed, and inputs that nobody knew."""
        self.erred = 0
        """Tasks that ended by an error; one that is retried by hand hasn't."""
        self.cancelled = 0
        """Tasks that nobody needed any more before they had ended, and that weren't begun again."""
        self.stopping = 0
        """Attempts that were taken back from a host which hasn't confirmed it."""
        self.wasted = 0.0
        """Seconds of threads, see :class:`GroupSummary`."""
        self.counted = TaskCounts()
        """What of them is in the scheduler's totals."""
        self.finished = 0
        self.failed = 0
        self.compute = 0.0
        self.transfer = 0.0
        self.deserialize = 0.0
        self.serialize = 0.0
        self.nbytes = 0
        self.moved = 0
        """Bytes of inputs fetched from other hosts."""
        self.memory = 0
        """Bytes of results that are held now; copies count once."""
        self.peak = 0
        self.changed = True
        """Since the last push to followers; a group that rests costs nothing."""

    def waste(self, timing: Timing) -> None:
        """Count the time of a call that failed, or whose result nobody wants."""
        # Apart from the times below: an average of calls must not be drawn down by those that were stopped.
        self.wasted += timing.deserialize + timing.compute + timing.serialize
        self.changed = True

    def add_completion(self, timing: Timing, nbytes: int) -> None:
        """Count one finished call."""
        self.finished += 1
        self.compute += timing.compute
        self.transfer += timing.transfer
        self.deserialize += timing.deserialize
        self.serialize += timing.serialize
        self.nbytes += nbytes
        self.moved += timing.moved
        pace = self.pace
        taken = timing.compute + timing.deserialize + timing.serialize
        # Taken as it is: an average with a made-up first value would be wrong for five calls.
        if pace.duration < 0.0:
            pace.duration = taken
        else:
            pace.duration += SMOOTHING * (taken - pace.duration)
