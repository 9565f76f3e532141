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
    """Newest of everything that was told; its tables are the same objects for as long as it lives.

    Attributes
    ----------
    info : ClusterInfo or None
        The newest answer to ``GetInfo``; None before the first one.
    groups : dict
        Newest summary by ``(name, span)``, in the order in which they appeared.
    hosts : dict
        Newest metrics by host id.
    errors : dict
        Failed calls by cause, what was seen last at the end.
    events : deque
        Rare events, oldest first, each once however often it is told.
    status : SchedulerStatus
    time : float
        Of the newest push, by the scheduler's clock.
    """

    def __init__(self) -> None:
        self.info: ClusterInfo | None = None
        self.groups: dict[tuple[str, str], GroupSummary] = {}
        self.hosts: dict[str, HostMetrics] = {}
        self.errors: dict[str, ErrorSummary] = {}
        self.events: deque[ClusterEvent] = deque(maxlen=EVENTS)
        self.status = SchedulerStatus()
        self.time = 0.0

    def take(self, telemetry: Telemetry) -> None:
        """Add a push."""
        self.time = telemetry.time
        self.status = telemetry.status
        # Only added to: a push names those that changed, and only an answer about hosts says who is gone.
        self.hosts.update(telemetry.hosts)
        # Followers are told the newest events again when they begin; numbers only rise.
        known = self.events[-1].number if self.events else -1
        self.events.extend(event for event in telemetry.events if event.number > known)
        for group in telemetry.groups:
            self.groups[group.name, group.span] = group
            if len(self.groups) > GROUPS:
                # Rather one that is over: a bar that moves would jump back to nothing.
                idle = (place for place, one in self.groups.items() if not one.tasks)
                # The oldest of these: dicts keep the order of the first appearance.
                del self.groups[next(idle, next(iter(self.groups)))]
        for error in telemetry.errors:
            self.errors.pop(error.id, None)  # so that what was seen last is last
            self.errors[error.id] = error
            if len(self.errors) > CAUSES:
                del self.errors[next(iter(self.errors))]

    def take_info(self, info: ClusterInfo) -> list[str]:
        """Add an answer about hosts and workers; return the hosts that it doesn't name, which are gone."""
        self.info = info
        gone = [host for host in self.hosts if host not in info.hosts]
        # Else a host that left would be drawn with its last numbers for ever.
        for host in gone:
            del self.hosts[host]
        return gone

    def telemetry(self) -> Telemetry:
        """Return all of it as one push."""
        return Telemetry(
            time=self.time,
            groups=list(self.groups.values()),
            records=[],
            skipped=0,
            # A copy: the table goes on changing, and the push may be kept.
            hosts=dict(self.hosts),
            errors=list(self.errors.values()),
            events=list(self.events),
            status=self.status,
        )
