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
from himalia.scheduler import cancelling, forwarding, overview, recreating, submission, task_page
from himalia.scheduler.state import SchedulerState


def get_info(core: SchedulerState, message: GetInfo, source: PeerId) -> None:
    """Say who is there."""
    info = overview.describe_cluster(core, core.me, core.address, core.started)
    core.send(core.client(source), Reply(message.request, info))


def get_keys(core: SchedulerState, message: GetKeys, source: PeerId) -> None:
    """Say how keys stand."""
    core.send(core.client(source), Reply(message.request, overview.describe_keys(core, message.keys, message.skip)))


def explain(core: SchedulerState, message: Explain, source: PeerId) -> None:
    """Say why a task is where it is."""
    core.send(core.client(source), Reply(message.request, Explanation(cut(overview.explain(core, message.key)))))


def describe_task(core: SchedulerState, message: DescribeTask, source: PeerId) -> None:
    """Say all that is known of a key."""
    core.send(core.client(source), Reply(message.request, task_page.describe_task(core, message.key)))


def get_spec(core: SchedulerState, message: GetSpec, source: PeerId) -> None:
    """Say what a task calls."""
    core.send(core.client(source), recreating.describe_call(core, message))


def get_versions(core: SchedulerState, message: GetVersions, source: PeerId) -> None:
    """Say which packages the scheduler and the nannies have."""
    nannies = {host.info.address: host.info.versions for host in core.hosts.values()}
    core.send(core.client(source), Reply(message.request, PackageVersions(core.versions, nannies)))


def get_telemetry(core: SchedulerState, message: GetTelemetry, source: PeerId) -> None:
    """Say what was counted, and what was recorded since a time."""
    span = message.span
    groups = [group for group in core.groups.values() if not span or group.span == span]
    answer = TelemetryReport(
        groups=[overview.summarize(group) for group in groups],
        records=core.log.since_time(message.since),
        total=core.log.total,
    )
    core.send(core.client(source), Reply(message.request, answer))


def run_function(core: SchedulerState, message: RunFunction, source: PeerId) -> None:
    """Have a function run on workers, if the client may ask hosts another question."""
    client = core.client(source)
    if forwarding.has_room(core, client, message.request):
        forwarding.run_function(core, client, message)


def get_logs(core: SchedulerState, message: GetLogs, source: PeerId) -> None:
    """Ask nannies for log lines, if the client may ask hosts another question."""
    client = core.client(source)
    if forwarding.has_room(core, client, message.request):
        forwarding.get_logs(core, client, message, core.lines.of(message.key, message.since))


def get_profile(core: SchedulerState, message: GetProfile, source: PeerId) -> None:
    """Ask nannies for samples, if the client may ask hosts another question."""
    client = core.client(source)
    if forwarding.has_room(core, client, message.request):
        forwarding.get_profile(core, client, message)


def scale(core: SchedulerState, message: Scale, source: PeerId) -> None:
    """Pass on a wish for workers, if the client may ask hosts another question."""
    client = core.client(source)
    if forwarding.has_room(core, client, message.request):
        forwarding.scale(core, client, message)


def restart(core: SchedulerState, message: Restart, source: PeerId) -> None:
    """Have workers replaced; if all of them, every task is forgotten first."""
    asking = core.client(source)
    if not forwarding.has_room(core, asking, message.request):
        return
    if message.workers is not None:
        forwarding.restart_workers(core, asking, message)
        return
    for client in list(core.clients.values()):
        submission.end_submission(core, client)
        keys = [task.key for task in client.wants]
        cancelling.cancel(core, client, keys, force=True, reason="the cluster was restarted")
    forwarding.restart(core, asking, message)


def reply(core: SchedulerState, message: Reply, source: PeerId) -> None:
    """Collect a host's answer."""
    forwarding.take_reply(core, core.host(source), message)
