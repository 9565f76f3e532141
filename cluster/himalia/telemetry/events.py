"""The scheduler's bounded memory of what happens rarely: who came, who left, what had to be done again."""

from __future__ import annotations

from collections import deque
from typing import Final

from himalia.messages.telemetry import ClusterEvent

EVENTS: Final = 1000
"""Newest events that are kept: what a page of a dashboard can list."""
TEXT: Final = 500
"""Characters of an event's text that are kept."""


class EventLog:
    """The newest events; each has a number, counted from 1."""

    def __init__(self) -> None:
        self.total = 0
        self._events: deque[ClusterEvent] = deque(maxlen=EVENTS)

    def add(self, now: float, kind: str, subject: str, text: str) -> None:
        """Remember an event; ``now`` in seconds of the scheduler's clock."""
        self.total += 1
        # Cut: texts come from hosts, a thousand are kept, and every new follower is sent all of them.
        self._events.append(ClusterEvent(self.total, now, kind, subject, text[:TEXT]))

    def since(self, number: int) -> list[ClusterEvent]:
        """Return the kept events after that number."""
        # Nearly always: followers ask at each push.
        if number >= self.total:
            return []
        return [event for event in self._events if event.number > number]

    def of(self, subject: str) -> list[ClusterEvent]:
        """Return the kept events of one worker, host or key."""
        return [event for event in self._events if event.subject == subject]
