"""Who follows the telemetry, and what each follower is sent: what changed since its last push.

Decides that nothing is computed twice: what changed is collected once a tick, whoever is due, and the packed records
are the same bytes for all.  Nobody pays for it while nobody follows.  One that doesn't read gets no push until it does,
and then one that says how much it missed.
"""

from __future__ import annotations

from himalia.messages.client import FollowTelemetry, Telemetry
from himalia.messages.telemetry import TaskRecord
from himalia.names import ClientId, PeerId
from himalia.scheduler.events import SelfMeasured
from himalia.scheduler.followers import Follower
from himalia.scheduler.overview import describe_status, summarize
from himalia.scheduler.state import SchedulerState, count_again


def follow_telemetry(core: SchedulerState, message: FollowTelemetry, source: PeerId) -> None:
    """Begin, change or end a client's following; it gets all that is known now, and the records it asks for."""
    client = core.client(source)
    if message.interval <= 0:
        stop_following(core, client.id)
        return
    core.log.pack()  # so that its first block begins where it begins
    known = 0 if message.past else core.log.total
    core.following.followers[client.id] = Follower(message.interval, message.full, known)
    for group in core.groups.values():
        group.changed = True


def self_measured(core: SchedulerState, event: SelfMeasured, source: PeerId) -> None:
    """Note what followers are told of the scheduler's own process."""
    core.following.process = event.process


def stop_following(core: SchedulerState, client: ClientId) -> None:
    """Note that a client doesn't follow any more."""
    following = core.following
    following.followers.pop(client, None)
    if not following.followers:
        following.groups.clear()


def push(core: SchedulerState) -> None:
    """Send each follower what changed, if its interval is over."""
    following = core.following
    followers = following.followers
    due = [
        item
        for item in followers.items()
        if core.now - item[1].pushed_at >= item[1].interval and core.clients[item[0]].window.has_room
    ]
    if not due:
        return
    collect(core)
    status = describe_status(core, core.started, following.process)
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
    forget_told(core)


def collect(core: SchedulerState) -> None:
    """Summarize the groups that changed since the last time."""
    following = core.following
    following.version += 1
    for place, group in core.groups.items():
        if group.changed:
            count_again(core, group)
            group.changed = False
            following.groups[place] = following.version, summarize(group)


def forget_told(core: SchedulerState) -> None:
    """Forget the last counts of groups that are no more, where every follower was told them."""
    following = core.following
    if len(following.groups) > 2 * len(core.groups) + 100:
        told = min([follower.groups for follower in following.followers.values()])
        following.groups = {
            place: kept for place, kept in following.groups.items() if place in core.groups or kept[0] > told
        }


def forget_idle_groups(core: SchedulerState) -> None:
    """Drop groups without a task; followers that weren't told their last counts yet will be."""
    if core.following.followers:
        collect(core)
    core.forget_idle_groups()
