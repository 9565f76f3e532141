"""What clients ask: answered at once from what is known here, or passed on to hosts (``forwarding.py``)."""

from __future__ import annotations

from himalia.bounds import cut
from himalia.messages.answers import Explanation, PackageVersions, Reply, TelemetryReport
from himalia.messages.client import (
    DescribeTask,
    Explain,
    GetInfo,
    GetKeys,
    GetLogs,
    GetProfile,
    GetSpec,
    GetTelemetry,
    GetVersions,
    Restart,
    RunFunction,
    Scale,
)
from himalia.names import PeerId
from himalia.scheduler import cancelling, forwarding, overview, recreating, scaling, submission, task_page
from himalia.scheduler.explaining.task import explain as explain_task
from himalia.scheduler.state import SchedulerState, count_all


def get_info(state: SchedulerState, message: GetInfo, source: PeerId) -> None:
    """Say who is there."""
    info = overview.describe_cluster(state, state.me, state.address, state.started)
    state.send(state.client(source), Reply(message.request, info))


def get_keys(state: SchedulerState, message: GetKeys, source: PeerId) -> None:
    """Say how keys stand."""
    state.send(state.client(source), Reply(message.request, overview.describe_keys(state, message.keys, message.skip)))


def explain(state: SchedulerState, message: Explain, source: PeerId) -> None:
    """Say why a task is where it is."""
    state.send(state.client(source), Reply(message.request, Explanation(cut(explain_task(state, message.key)))))


def describe_task(state: SchedulerState, message: DescribeTask, source: PeerId) -> None:
    """Say all that is known of a key."""
    state.send(state.client(source), Reply(message.request, task_page.describe_task(state, message.key)))


def get_spec(state: SchedulerState, message: GetSpec, source: PeerId) -> None:
    """Say what a task calls."""
    state.send(state.client(source), recreating.describe_call(state, message))


def get_versions(state: SchedulerState, message: GetVersions, source: PeerId) -> None:
    """Say which packages the scheduler and the nannies have."""
    nannies = {host.info.address: host.info.versions for host in state.hosts.values()}
    state.send(state.client(source), Reply(message.request, PackageVersions(state.versions, nannies)))


def get_telemetry(state: SchedulerState, message: GetTelemetry, source: PeerId) -> None:
    """Say what was counted, and what was recorded since a time."""
    span = message.span
    groups = [group for group in state.groups.values() if not span or group.span == span]
    answer = TelemetryReport(
        groups=[overview.summarize(group) for group in groups],
        records=state.log.since_time(message.since),
        total=state.log.total,
        counts=count_all(state),
    )
    state.send(state.client(source), Reply(message.request, answer))


def run_function(state: SchedulerState, message: RunFunction, source: PeerId) -> None:
    """Have a function run on workers, if the client may ask hosts another question."""
    client = state.client(source)
    if forwarding.has_room(state, client, message.request):
        forwarding.run_function(state, client, message)


def get_logs(state: SchedulerState, message: GetLogs, source: PeerId) -> None:
    """Ask nannies for log lines, if the client may ask hosts another question."""
    client = state.client(source)
    if forwarding.has_room(state, client, message.request):
        forwarding.get_logs(state, client, message, state.lines.of(message.key, message.since))


def get_profile(state: SchedulerState, message: GetProfile, source: PeerId) -> None:
    """Ask nannies for samples, if the client may ask hosts another question."""
    client = state.client(source)
    if forwarding.has_room(state, client, message.request):
        forwarding.get_profile(state, client, message)


def scale(state: SchedulerState, message: Scale, source: PeerId) -> None:
    """Pass on how many workers there shall be, if the client may ask hosts another question."""
    client = state.client(source)
    if forwarding.has_room(state, client, message.request):
        scaling.scale(state, client, message)


def restart(state: SchedulerState, message: Restart, source: PeerId) -> None:
    """Have workers replaced; if all of them, every task is forgotten first."""
    asking = state.client(source)
    if not forwarding.has_room(state, asking, message.request):
        return
    if message.workers is not None:
        forwarding.restart_workers(state, asking, message)
        return
    for client in list(state.clients.values()):
        submission.end_submission(state, client)
        keys = [task.key for task in client.wants]
        cancelling.cancel(state, client, keys, force=True, reason="the cluster was restarted")
    forwarding.restart(state, asking, message)


def reply(state: SchedulerState, message: Reply, source: PeerId) -> None:
    """Collect a host's answer."""
    forwarding.take_reply(state, state.host(source), message)
