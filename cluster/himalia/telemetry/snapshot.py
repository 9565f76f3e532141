"""What all pushes so far add up to, as one push that tells it from scratch.

A push says what changed.  Whoever begins to listen in the middle of a recording needs the rest too; it never has the
records of calls, which add up to nothing.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from himalia.messages.answers import ClusterInfo
from himalia.messages.client import Telemetry
from himalia.messages.telemetry import ClusterEvent, ErrorSummary, GroupSummary, HostMetrics, SchedulerStatus
from himalia.telemetry.errors import CAUSES
from himalia.telemetry.events import EVENTS

GROUPS: Final = 20_000
"""Groups that are remembered; of too many, one without a task goes.  A session makes one for each function in each
cell; each takes about 500 bytes."""


class Snapshot:
    """Newest of everything that was told.

    Attributes
    ----------
    info : ClusterInfo or None
        The newest answer to ``GetInfo``; None before the first one.
    """

    def __init__(self) -> None:
        self.info: ClusterInfo | None = None
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
        self._hosts.update(telemetry.hosts)
        self._events.extend(telemetry.events)
        for group in telemetry.groups:
            self._groups[group.name, group.span] = group
            if len(self._groups) > GROUPS:
                # Rather one that is over: a bar that moves would jump back to nothing.
                idle = (place for place, known in self._groups.items() if not known.tasks)
                del self._groups[next(idle, next(iter(self._groups)))]
        for error in telemetry.errors:
            self._errors.pop(error.id, None)  # so that what was seen last is last
            self._errors[error.id] = error
            if len(self._errors) > CAUSES:
                del self._errors[next(iter(self._errors))]

    def take_info(self, info: ClusterInfo) -> None:
        """Add an answer about hosts and workers; hosts that it doesn't name are gone."""
        self.info = info
        self._hosts = {host: metrics for host, metrics in self._hosts.items() if host in info.hosts}

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
