"""The bounded memory of what a cluster's telemetry told: the one model behind widget, dashboard, report and replay.

It takes pushes and answers, and keeps what the views read.  It draws nothing, asks nobody and reads no clock.  Times
are seconds since the epoch of the clock that ``now`` comes from; those of hosts whose clock differs are moved to it.
"""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import Any, Final, NamedTuple

from himalia.messages import (
    ClusterEvent,
    ErrorSummary,
    GroupSummary,
    HostMetrics,
    SchedulerStatus,
    StoreMove,
    Telemetry,
)
from himalia.telemetry.errors import CAUSES
from himalia.telemetry.events import EVENTS
from himalia.telemetry.standing import GROUPS
from himalia_widgets.view.calls import CallTable
from himalia_widgets.view.colors import Colors
from himalia_widgets.view.links import Links
from himalia_widgets.view.pace import Pace
from himalia_widgets.view.text import natural
from himalia_widgets.view.trends import Trends

SLACK: Final = 5.0
"""Seconds between a measurement and its arrival that are ordinary; only beyond them a host's clock is moved.  Guess."""
STALE: Final = 40.0
"""The same for the first measurement one is told: it may be of a host that has been cut off for ``host_lease``."""

_NUMBERS = count()


class Move(NamedTuple):
    """What a host's store moved between memory and disk."""

    host: str
    move: StoreMove


class History:
    """What is known of a cluster, and of the last while.

    Parameters
    ----------
    records : int
        Finished calls kept, about 150 bytes each.
    seconds : float
        How far numbers over time reach back.

    Attributes
    ----------
    number : int
        Tells histories of this process apart.
    info : dict
        The scheduler's newest answer about hosts and workers (``scheduler/overview.py``).
    membership : int
        Rises with every such answer.
    workers : list
        Address and description (``info["workers"]``) of each worker, by name.
    calls : CallTable
        The newest finished calls.
    groups : dict
        Newest summary by ``(name, span)``, in the order in which they appeared.
    paces : dict
        How fast each of these groups finishes, by the same keys.
    hosts : dict
        Newest metrics by host id.
    errors : dict
        Failed calls by cause; ``failed_at`` has the time of each.
    events : deque
        Rare events, oldest first; their times are those of the scheduler's clock, see :meth:`local`.
    trends : Trends
        Numbers over time of the cluster, the scheduler, hosts and workers.
    moves : deque of Move
        The newest of all ``moved`` that there were.
    spilling : set of str
        Ids of hosts that ever moved anything to disk.
    links : Links
        Bytes that moved between hosts.
    colors : Colors
        Colour of each function.
    started : float
        When the first call started, or the first push arrived if that was before.
    now : float
        When the newest push arrived.
    total : int
        Calls that ended so far; ``skipped`` of them were thinned out on the way.
    version : int
        Rises with every change.
    """

    def __init__(self, *, records: int = 100_000, seconds: float = 3600.0) -> None:
        self.number = next(_NUMBERS)
        self.seconds = seconds
        self.info: dict[str, Any] = {}
        self.membership = 0
        self.workers: list[tuple[str, dict[str, Any]]] = []
        self.calls = CallTable(records)
        self.groups: dict[tuple[str, str], GroupSummary] = {}
        self.paces: dict[tuple[str, str], Pace] = {}
        self.hosts: dict[str, HostMetrics] = {}
        self.errors: dict[str, ErrorSummary] = {}
        self.events: deque[ClusterEvent] = deque(maxlen=EVENTS)
        self.status = SchedulerStatus()
        self.trends = Trends(seconds)
        self.moves: deque[Move] = deque(maxlen=5000)
        self.moved = 0
        self.spilling: set[str] = set()
        self.links = Links(seconds)
        self.colors = Colors()
        self.started = 0.0
        self.now = 0.0
        self.total = 0
        self.skipped = 0
        self.version = 0
        self.skew: dict[str, float] = {}
        """Seconds to add to a host's clock to have ours, of hosts where that isn't nothing."""
        self._scheduler_offset = 0.0

    def take(self, telemetry: Telemetry, *, now: float) -> None:
        """Remember a push that arrived at ``now``, epoch seconds."""
        self.now = now
        self._scheduler_offset = now - telemetry.time
        self.status = telemetry.status
        for group in telemetry.groups:
            self._take_group(group, now)
        for host, metrics in telemetry.hosts.items():
            self._take_host(host, metrics, now)
        for block in telemetry.blocks:
            self.calls.add_block(block, self.skew)
        self.calls.add_records(telemetry.records, self.skew)
        self.started = min(self.started or now, self.calls.first)
        self.skipped += telemetry.skipped
        self.total = max(telemetry.status.total, self.calls.total + self.skipped)
        for error in telemetry.errors:
            self.errors.pop(error.id, None)  # so that what was seen last is last
            self.errors[error.id] = error
            if len(self.errors) > CAUSES:
                del self.errors[next(iter(self.errors))]
        known = self.events[-1].number if self.events else -1
        self.events.extend(event for event in telemetry.events if event.number > known)
        self.trends.add_status(telemetry.status, self.total, now=now)
        if telemetry.hosts:
            self.trends.add_cluster(self.hosts, now=now)
        self.version += 1

    def take_info(self, info: dict[str, Any]) -> None:
        """Remember the scheduler's answer; hosts and workers that it doesn't name are gone."""
        self.info = info
        self.membership += 1
        workers = info.get("workers", {}).items()
        self.workers = sorted(workers, key=lambda item: natural(item[1]["name"]))
        hosts = info.get("hosts", {})
        for host in [host for host in self.hosts if host not in hosts]:
            del self.hosts[host]
            self.skew.pop(host, None)
            self.spilling.discard(host)
        self.trends.keep(set(hosts), {worker["name"] for worker in info.get("workers", {}).values()})
        self.version += 1

    @property
    def stamp(self) -> tuple[int, int]:
        """What differs from that of any other history, and of this one after any change."""
        return (self.number, self.version)

    def moves_since(self, number: int) -> list[Move]:
        """Return the moves after the first ``number`` ones, as far as they are kept."""
        return list(self.moves)[max(0, len(self.moves) - (self.moved - number)) :]

    def local(self, scheduler_time: float) -> float:
        """Return a time of the scheduler's clock as one of ours."""
        return scheduler_time + self._scheduler_offset

    def host_name(self, host: str) -> str:
        """Return what people call a host."""
        known = self.info.get("hosts", {}).get(host, {})
        return str(known.get("name") or known.get("hostname") or host)

    def _take_group(self, group: GroupSummary, now: float) -> None:
        key = (group.name, group.span)
        before = self.groups.get(key)
        self.groups[key] = group
        self.colors.number(group.name)
        if before is None or not (before.waiting or before.assigned):
            self.paces[key] = Pace()
        self.paces[key].add(now, group.finished + group.failed)
        if len(self.groups) > GROUPS:
            idle = next((key for key, one in self.groups.items() if not one.tasks), next(iter(self.groups)))
            del self.groups[idle], self.paces[idle]

    def _take_host(self, host: str, metrics: HostMetrics, now: float) -> None:
        before = self.hosts.get(host)
        if before is not None and before.time == metrics.time != 0.0:
            return
        self.hosts[host] = metrics
        behind = now - metrics.time
        if metrics.time and abs(behind) > (STALE if before is None else SLACK):
            self.skew[host] = min(behind, self.skew.get(host, behind), key=abs)
        else:
            self.skew.pop(host, None)
        skew = self.skew.get(host, 0.0)
        for move in metrics.moves:
            self.spilling.add(host)
            self.moved += 1
            self.moves.append(Move(host, StoreMove(move.kind, move.start + skew, move.seconds, move.nbytes)))
        for transfer in metrics.transfers:
            self.links.add(transfer, host, now=now)
        self.trends.add_host(host, metrics, now=metrics.time + skew if metrics.time else now)
