"""Who follows the telemetry, and what each follower is sent: what changed since its last push.

Decides that nothing is computed twice: what changed is collected once a tick, whoever is due, and the packed records
are the same bytes for all.  Nobody pays for it while nobody follows.  One that doesn't read gets no push until it does,
and then one that says how much it missed.  Only one that asks for a push gets it at once.
"""

from __future__ import annotations

from himalia.messages.answers import CaughtUp, Reply
from himalia.messages.client import CatchUp, FollowTelemetry, Telemetry
from himalia.messages.telemetry import SchedulerStatus, TaskRecord
from himalia.names import ClientId, PeerId
from himalia.scheduler.events import SelfMeasured
from himalia.scheduler.followers import Follower
from himalia.scheduler.overview import describe_status, summarize
from himalia.scheduler.state import SchedulerState, count_again


def follow_telemetry(state: SchedulerState, message: FollowTelemetry, source: PeerId) -> None:
    """Begin, change or end a client's following; it gets all that is known now, and the records it asks for."""
    client = state.client(source)
    if message.interval <= 0:
        stop_following(state, client.id)
        return
    state.log.pack()  # so that its first block begins where it begins
    known = 0 if message.past else state.log.total
    state.following.followers[client.id] = Follower(message.interval, message.full, known)
    for group in state.groups.values():
        # It gets a summary of each in its first push. So do the others, once: cheaper than a list for each follower.
        group.changed = True


def self_measured(state: SchedulerState, event: SelfMeasured, source: PeerId) -> None:
    """Note what followers are told of the scheduler's own process."""
    state.following.process = event.process


def stop_following(state: SchedulerState, client: ClientId) -> None:
    """Note that a client doesn't follow any more."""
    following = state.following
    following.followers.pop(client, None)
    if not following.followers:
        # Else summaries of an hour ago would be the first thing the next follower is told.
        following.groups.clear()


def push(state: SchedulerState) -> None:
    """Send each follower what changed, if its interval is over."""
    following = state.following
    followers = following.followers
    due = [
        item
        for item in followers.items()
        if state.now - item[1].pushed_at >= item[1].interval and state.clients[item[0]].window.has_room
    ]
    if not due:
        return
    # Once a tick for all who are due: ten views must not cost ten times as much (docs/design.md).
    collect(state)
    status = describe_status(state, state.started, following.process)
    for client, follower in due:
        push_to(state, client, follower, status)
    forget_told(state)


def catch_up(state: SchedulerState, message: CatchUp, source: PeerId) -> None:
    """Push to one follower at once, and answer after that."""
    client = state.client(source)
    following = state.following
    follower = following.followers.get(client.id)
    # Also to one that doesn't read: like any answer it counts as under way, and who asks without end is cut off.
    if follower is not None:
        collect(state)
        push_to(state, client.id, follower, describe_status(state, state.started, following.process))
        forget_told(state)
    state.send(client, Reply(message.request, CaughtUp(state.log.total)))


def push_to(state: SchedulerState, client: ClientId, follower: Follower, status: SchedulerStatus) -> None:
    """Send one follower what changed since its last push, of what is collected."""
    following = state.following
    # A version and no list of changes: who missed a push (no room) gets the union of what it missed by the same line.
    groups = [summary for version, summary in following.groups.values() if version > follower.groups]
    blocks: list[bytes] = []
    records: list[TaskRecord] = []
    skipped = 0
    if follower.full:
        # Packed once, the same bytes for all that want everything.
        blocks = state.log.blocks_since(follower.records)
        skipped = max(0, state.log.total - len(state.log) - follower.records)
    else:
        records, skipped = state.log.since_number(follower.records, state.settings.telemetry_records)
    hosts = {str(host.id): host.metrics for host in state.hosts.values() if host.seen_at > follower.pushed_at}
    errors = state.errors.since(follower.errors)
    events = state.events.since(follower.events)
    # Advanced by what was sent, not by what was read: the session sees to it that it arrives, or ends.
    follower.groups = following.version
    follower.records = state.log.total
    follower.errors = state.errors.version
    follower.events = state.events.total
    follower.pushed_at = state.now
    push = Telemetry(state.now, groups, records, skipped, hosts, blocks, errors, events, status)
    state.send(state.clients[client], push)


def collect(state: SchedulerState) -> None:
    """Summarize the groups that changed since the last time."""
    following = state.following
    following.version += 1
    for place, group in state.groups.items():
        if group.changed:
            count_again(state, group)
            group.changed = False
            following.groups[place] = following.version, summarize(group)


def forget_told(state: SchedulerState) -> None:
    """Forget the last counts of groups that are no more, where every follower was told them."""
    following = state.following
    if len(following.groups) > 2 * len(state.groups) + 100:
        told = min([follower.groups for follower in following.followers.values()])
        following.groups = {
            place: kept for place, kept in following.groups.items() if place in state.groups or kept[0] > told
        }


def forget_idle_groups(state: SchedulerState) -> None:
    """Drop groups without a task; followers that weren't told their last counts yet will be."""
    if state.following.followers:
        collect(state)
    state.forget_idle_groups()
