"""Clients that follow the telemetry, up to where each was told, and what was collected for them."""

from __future__ import annotations

from himalia.messages.telemetry import GroupSummary, ProcessMetrics
from himalia.names import ClientId


class Follower:
    """One client that follows, and up to where it was told everything."""

    __slots__ = ("errors", "events", "full", "groups", "interval", "pushed_at", "records")

    def __init__(self, interval: float, full: bool, records: int) -> None:
        self.interval = interval
        self.full = full
        self.pushed_at = float("-inf")
        self.groups = 0
        """Version of the groups that it was told."""
        self.records = records
        self.errors = 0
        self.events = 0


class Following:
    """All followers, and what is collected for them."""

    def __init__(self) -> None:
        self.followers: dict[ClientId, Follower] = {}
        self.process = ProcessMetrics()
        """Of the scheduler's process, measured by its shell while somebody follows."""
        self.version = 0
        """Rises with every tick at which somebody follows."""
        self.groups: dict[tuple[str, str], tuple[int, GroupSummary]] = {}
        """Each group's summary, with the version at which it was made."""
