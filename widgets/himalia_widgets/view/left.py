"""How long work will still take: by what a call of each function takes, not by the mean of all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from himalia.messages.telemetry import GroupSummary
from himalia_widgets.view.pace import Pace

TICK: Final = 1e6
"""A :class:`Pace` counts whole things: microseconds of threads."""


class WorkLeft:
    """The work that some groups have left, and how fast such work is done."""

    def __init__(self) -> None:
        self._pace = Pace()
        self._left = 0.0
        self._is_known = False

    def add(self, now: float, groups: Iterable[GroupSummary]) -> None:
        """Note how they stand; ``now`` are seconds of any one clock."""
        done = 0.0
        # Both anew at each look: groups say where they stand, not what changed.
        self._left, self._is_known = 0.0, True
        for group in groups:
            done += group.occupied
            left = group.counts.left
            if left:
                each = call_seconds(group)
                # One function nobody knows makes the whole unknown: as nothing it would promise too much.
                self._is_known = self._is_known and each is not None
                self._left += left * (each or 0.0)
        self._pace.add(now, int(done * TICK))

    def seconds(self, now: float) -> float | None:
        """Return how long the rest will take; ``None``: nobody knows.

        That is so as long as a function has left work and none that ended, and when the rest takes longer than that.
        """
        rate = self._pace.rate_for(self._left * TICK, now) / TICK
        return self._left / rate if self._is_known and rate > 0.0 else None


def call_seconds(group: GroupSummary) -> float | None:
    """Return how long a call occupies its thread: on average here, or lately anywhere; ``None``: nobody knows yet."""
    # Its own calls before those of the same name elsewhere: arguments may be of another size here.
    if group.finished:
        return (group.deserialize + group.compute + group.serialize) / group.finished
    return group.duration if group.duration >= 0.0 else None
