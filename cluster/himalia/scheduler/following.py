"""Who follows the telemetry, and what each follower is sent: what changed since its last push.

Decides that nothing is computed twice: what changed is collected once a tick, whoever is due, and the packed records
are the same bytes for all.  Nobody pays for it while nobody follows.  One that doesn't read gets no push until it does,
and then one that says how much it missed.
"""

from __future__ import annotations

from himalia.messages.client import FollowTelemetry, Telemetry
from himalia.messages.telemetry import GroupSummary, ProcessMetrics, TaskRecord
from himalia.names import ClientId
from himalia.scheduler.overview import describe_status, summarize
from himalia.scheduler.state import ClientState, SchedulerState, count_again


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


def follow(core: SchedulerState, following: Following, client: ClientState, message: FollowTelemetry) -> None:
    """Begin, change or end a client's following; it gets all that is known now, and the records it asks for."""
    if message.interval <= 0:
        stop_following(following, client.id)
        return
    core.log.pack()  # so that its first block begins where it begins
    known = 0 if message.past else core.log.total
    following.followers[client.id] = Follower(message.interval, message.full, known)
    for group in core.groups.values():
        group.changed = True


def stop_following(following: Following, client: ClientId) -> None:
    """Note that a client doesn't follow any more."""
    following.followers.pop(client, None)
    if not following.followers:
        following.groups.clear()


def push(core: SchedulerState, following: Following, started: float) -> None:
    """Send each follower what changed, if its interval is over."""
    followers = following.followers
    due = [
        item
        for item in followers.items()
        if core.now - item[1].pushed_at >= item[1].interval and core.clients[item[0]].window.has_room
    ]
    if not due:
        return
    collect(core, following)
    status = describe_status(core, started, following.process)
    for client, follower in due:
        client_state = core.clients[client]
        groups = [summary for version, summary in following.groups.values() if version > follower.groups]
        blocks: list[bytes] = []
        records: list[TaskRecord] = []
        skipped = 0
        if follower.full:
            blocks = core.log.blocks_since(follower.records)
            skipped = max(0, core.log.total - len(core.log) - follower.records)
        else:
            records, skipped = core.log.since_number(follower.records, core.settings.telemetry_records)
        hosts = {str(host.id): host.metrics for host in core.hosts.values() if host.seen_at > follower.pushed_at}
        errors = core.errors.since(follower.errors)
        events = core.events.since(follower.events)
        follower.groups = following.version
        follower.records = core.log.total
        follower.errors = core.errors.version
        follower.events = core.events.total
        follower.pushed_at = core.now
        core.send(client_state, Telemetry(core.now, groups, records, skipped, hosts, blocks, errors, events, status))
    forget_told(core, following)


def collect(core: SchedulerState, following: Following) -> None:
    """Summarize the groups that changed since the last time."""
    following.version += 1
    for place, group in core.groups.items():
        if group.changed:
            count_again(core, group)
            group.changed = False
            following.groups[place] = following.version, summarize(group)


def forget_told(core: SchedulerState, following: Following) -> None:
    """Forget the last counts of groups that are no more, where every follower was told them."""
    if len(following.groups) > 2 * len(core.groups) + 100:
        told = min([follower.groups for follower in following.followers.values()])
        following.groups = {
            place: kept for place, kept in following.groups.items() if place in core.groups or kept[0] > told
        }


def forget_idle_groups(core: SchedulerState, following: Following) -> None:
    """Drop groups without a task; followers that weren't told their last counts yet will be."""
    if following.followers:
        collect(core, following)
    core.forget_idle_groups()
