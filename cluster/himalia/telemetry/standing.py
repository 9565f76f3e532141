"""What all pushes so far add up to, as one push that tells it from scratch.

A push says what changed.  Whoever begins to listen in the middle of a recording needs the rest too; it never has the
records of calls, which add up to nothing.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from himalia.messages import ClusterEvent, ErrorSummary, GroupSummary, HostMetrics, SchedulerStatus, Telemetry

EVENTS: Final = 1000
"""Newest events that are remembered."""


class Standing:
    """Newest of everything that was told.

    Attributes
    ----------
    info : dict
        The newest answer to ``GetInfo``; empty before the first one.
    """

    def __init__(self) -> None:
        self.info: dict[str, Any] = {}
        self._groups: dict[tuple[str, str], GroupSummary] = {}
        self._hosts: dict[str, HostMetrics] = {}
        self._errors: dict[str, ErrorSummary] = {}
        self._events: deque[ClusterEvent] = deque(maxlen=EVENTS)
        self._status = SchedulerStatus()
        self._time = 0.0

    def take(self, telemetry: Telemetry) -> None:
        """Add a push."""
        self._time = telemetry.time
        self._status = telemetry.status
        self._groups.update(((group.name, group.span), group) for group in telemetry.groups)
        self._hosts.update(telemetry.hosts)
        self._errors.update((error.id, error) for error in telemetry.errors)
        self._events.extend(telemetry.events)

    def take_info(self, info: dict[str, Any]) -> None:
        """Add an answer about hosts and workers; hosts that it doesn't name are gone."""
        self.info = info
        present = info.get("hosts", {})
        self._hosts = {host: metrics for host, metrics in self._hosts.items() if host in present}

    def telemetry(self) -> Telemetry:
        """Return all of it as one push."""
        return Telemetry(
            time=self._time,
            groups=list(self._groups.values()),
            records=[],
            skipped=0,
            hosts=dict(self._hosts),
            errors=list(self._errors.values()),
            events=list(self._events),
            status=self._status,
        )
