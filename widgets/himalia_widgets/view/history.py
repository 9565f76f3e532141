"""The bounded memory of what a cluster's telemetry told: the one model behind widget, dashboard, report and replay.

It takes pushes and answers, and keeps what the views read.  It draws nothing, asks nobody and reads no clock.  Times
are seconds since the epoch of the clock that ``now`` comes from; those of hosts whose clock differs are moved to it
(``clocks.py``).  News may come late, and all at once: then they are of when they were told, not of when they came.
"""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import Final, NamedTuple

from himalia.messages.answers import ClusterInfo, HostView, WorkerView
from himalia.messages.client import Telemetry
from himalia.messages.telemetry import (
    GroupSummary,
    HostMetrics,
    SchedulerStatus,
    StoreMove,
    TaskCounts,
)
from himalia.names import HostId, PeerId
from himalia.show.natural import natural
from himalia.telemetry.snapshot import Snapshot
from himalia_widgets.view.calls import CallTable
from himalia_widgets.view.clocks import CONFIRM, SLACK, Offset
from himalia_widgets.view.colors import Colors
from himalia_widgets.view.links import Links
from himalia_widgets.view.pace import Pace
from himalia_widgets.view.trends import Trends

STALE: Final = 40.0
"""Seconds that the first measurement one is told may be old: its host may have been cut off for ``host_lease``."""
REFINED: Final = 0.1
"""Seconds by which a better guess of a host's clock has to differ for its calls to be moved."""

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
    info : ClusterInfo
        The scheduler's newest answer about hosts and workers; an empty one before the first (``membership`` is 0).
    membership : int
        Rises with every such answer.
    workers : list
        Address and description of each worker of ``info``, by name.
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
        self.info = ClusterInfo()
        self.membership = 0
        self.workers: list[tuple[str, WorkerView]] = []
        self.calls = CallTable(records)
        self._told = told = Snapshot()
        # The same tables, which a Snapshot fills and never replaces.
        self.groups, self.hosts, self.errors, self.events = told.groups, told.hosts, told.errors, told.events
        self.paces: dict[tuple[str, str], Pace] = {}
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
        self._told_at = 0.0
        """When the newest push was sent, by our clock."""
        self._scheduler = Offset()
        self._scheduler_time = 0.0
        self._offsets: dict[str, Offset] = {}
        self._since: dict[str, int] = {}
        """Rows of calls that there were when a host's clock was judged last."""
        self._doubted: dict[str, int] = {}
        """The same of hosts whose news are later than they were."""

    def take(self, telemetry: Telemetry, *, now: float) -> None:
        """Remember a push that arrived at ``now``, epoch seconds."""
        self.now = now
        # When it was sent, not when it came: after a stall everything comes at once.
        told = self._judge_lag(telemetry.time, now)
        for group in telemetry.groups:  # against what was told before
            self._take_group(group, told)
        # Before the calls, which are moved by what this finds out of their hosts' clocks.
        for host, metrics in telemetry.hosts.items():
            self._take_host(host, metrics, told)
        self._told.take(telemetry)
        self._told_at = told
        # The snapshot drops groups when there are too many.
        if len(self.paces) > len(self.groups):
            self.paces = {key: pace for key, pace in self.paces.items() if key in self.groups}
        for block in telemetry.blocks:
            self.calls.add_block(block, self.skew)
        self.calls.add_records(telemetry.records, self.skew)
        # A call of before may come later than the first push.
        self.started = min(self.started or told, self.calls.first)
        self.skipped += telemetry.skipped
        # A report has no status, only calls.
        self.total = max(telemetry.status.total, self.calls.total + self.skipped)
        self.trends.add_status(telemetry.status, self.total, now=told)
        if telemetry.hosts:
            self.trends.add_cluster(self.hosts, now=told)
        self.version += 1

    def take_info(self, info: ClusterInfo) -> None:
        """Remember the scheduler's answer; hosts and workers that it doesn't name are gone."""
        self.info = info
        self.membership += 1
        self.workers = sorted(info.workers.items(), key=lambda item: natural(item[1].name))
        # A host that restarts is another host: nothing of this one will be of use.
        for host in self._told.take_info(info):
            for known in (self.skew, self._offsets, self._since, self._doubted):
                known.pop(host, None)
            self.spilling.discard(host)
        self.trends.keep(set(info.hosts), {worker.name for worker in info.workers.values()})
        self.version += 1

    def move(self, now: float) -> None:
        """Note that it is ``now``, though nothing was told."""
        # Time doesn't go back: a recording that does makes a new history.
        self.now = max(self.now, now)
        self.version += 1

    @property
    def stamp(self) -> tuple[int, int]:
        """What differs from that of any other history, and of this one after any change."""
        return (self.number, self.version)

    def moves_since(self, number: int) -> list[Move]:
        """Return the moves after the first ``number`` ones, as far as they are kept."""
        # Counted from the end: the deque drops its oldest.
        return list(self.moves)[max(0, len(self.moves) - (self.moved - number)) :]

    def local(self, scheduler_time: float) -> float:
        """Return a time of the scheduler's clock as one of ours."""
        return scheduler_time + self._scheduler.seconds

    def host_name(self, host: str) -> str:
        """Return what people call a host."""
        known = self.host_view(host)
        return (known.name or known.hostname or host) if known is not None else host

    def host_view(self, host: str) -> HostView | None:
        """Return what the scheduler said of a host, by its id; None if it didn't, or the host is gone."""
        return self.info.hosts.get(HostId(PeerId(host)))

    def _take_group(self, group: GroupSummary, now: float) -> None:
        key = (group.name, group.span)
        before = self.groups.get(key)
        # In the order in which functions are told: views that were told the same agree on colours.
        self.colors.number(group.name)
        # Work that begins again isn't slowed by the pause before it, when there was none or it waited for other work.
        if before is None or not (before.waiting or before.assigned):
            self.paces[key] = Pace()
        elif group.assigned and not before.assigned:
            # From the last push on, which may have been long ago for this function, but not for all.
            self.paces[key].begin_again(self._told_at or now, now)
        self.paces[key].add(now, group.finished + group.failed)

    @property
    def status(self) -> SchedulerStatus:
        """What the scheduler said of itself last."""
        return self._told.status

    @property
    def counts(self) -> TaskCounts:
        """Where all tasks are that there ever were; of an older recording, those of the functions that it knows."""
        # None: a recording of before there were counts.
        told = self.status.counts
        return told if told is not None else sum([group.counts for group in self.groups.values()], TaskCounts())

    def _judge_lag(self, time: float, now: float) -> float:
        """Return when a push was sent that arrived now, by our clock."""
        if time <= self._scheduler_time:
            return now  # nothing was measured
        self._scheduler_time = time
        self._scheduler.see(time, now)
        # Never later than now, however well the clock is known.
        return min(now, self.local(time))

    def _judge_clock(self, host: str, time: float, now: float) -> None:
        """Find out whether a host's clock is another one, and move what was put elsewhere before that was known.

        A host on this very machine has our clock, however late its news are.
        """
        view = self.host_view(host)
        if view is not None and view.machine and view.machine == self.info.here:
            self._move_clock(host, 0.0, self._since.pop(host, 0))
            return
        offset = self._offsets.setdefault(host, Offset())
        # Before the look, which may change both what is settled and whether it is doubted.
        settled, rows = offset.settled, self.calls.total
        # A guess of a moment ago may have been made behind a backlog, and was never right.
        was_sure = offset.count > 1 and now - settled > CONFIRM
        offset.see(time, now)
        limit = STALE if offset.count == 1 and offset.seconds > 0.0 else SLACK
        skew = offset.seconds if abs(offset.seconds) > limit else 0.0
        if offset.settled > settled:  # another guess: the one before was right for what came before, or never was
            since = self._doubted.get(host, rows) if was_sure else self._since.get(host, 0)
            self._since[host] = rows
        else:
            since = self._since.get(host, 0)
        if not offset.is_doubted:
            self._doubted.pop(host, None)
        else:
            # The first row in doubt: from there on calls were put in a wrong place if it is the clock.
            self._doubted.setdefault(host, rows)
        self._move_clock(host, skew, since)

    def _move_clock(self, host: str, skew: float, since: int) -> None:
        """Have a host's clock differ by that much, also for its calls after the first ``since`` ones of all."""
        known = self.skew.get(host, 0.0)
        if abs(skew - known) > REFINED:
            self.calls.shift(host, skew - known, since)
        # Too little to move calls for, so not noted either: calls and table have to agree.
        elif skew:
            return
        if skew:
            self.skew[host] = skew
        else:
            self.skew.pop(host, None)

    def _take_host(self, host: str, metrics: HostMetrics, now: float) -> None:
        before = self.hosts.get(host)
        # Told again to who begins to follow: its moves and transfers count once.
        if before is not None and before.time == metrics.time != 0.0:
            return
        if metrics.time:
            self._judge_clock(host, metrics.time, now)
        skew = self.skew.get(host, 0.0)
        for move in metrics.moves:
            self.spilling.add(host)
            self.moved += 1
            # By our clock from here on: views compare them with calls.
            self.moves.append(Move(host, StoreMove(move.kind, move.start + skew, move.seconds, move.nbytes)))
        for transfer in metrics.transfers:
            self.links.add(transfer, host, now=now)
        self.trends.add_host(host, metrics, now=metrics.time + skew if metrics.time else now)
