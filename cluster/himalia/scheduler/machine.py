"""The scheduler's one entrance: each event has one handler, which is a few lines and calls the module that decides.

Malformed wishes of a client (a dependency that doesn't exist, a function never sent) become errors of the task; they
never change anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from himalia.bounds import cut
from himalia.errors import HimaliaError
from himalia.machine import Disconnect, Event, Instruction, PeerJoined, PeerLeft, Ticked
from himalia.messages.answers import Explanation, PackageVersions, Reply, TelemetryReport
from himalia.messages.client import (
    CancelKeys,
    CancelSpan,
    DataPlaced,
    DescribeTask,
    Explain,
    FollowTelemetry,
    GetInfo,
    GetKeys,
    GetLogs,
    GetProfile,
    GetSpec,
    GetTelemetry,
    GetVersions,
    ReleaseKeys,
    ReportMissing,
    Restart,
    ResultErred,
    RetryKeys,
    RunFunction,
    Scale,
    Submit,
    WantKeys,
)
from himalia.messages.nanny import (
    DataAdded,
    DataLost,
    Heartbeat,
    InputMissing,
    Inventory,
    RegisterNanny,
    TaskFailed,
    TaskFinished,
    Withdrawn,
    WorkerDied,
    WorkerOutput,
    WorkerStarted,
    WorkerStopped,
)
from himalia.messages.parts import Close, ForgetFunctions, FunctionBody, Message
from himalia.messages.telemetry import ProcessMetrics
from himalia.names import ClientId, HostId, Key, PeerId, new_incarnation
from himalia.scheduler import (
    cancelling,
    following,
    loss,
    membership,
    news,
    output,
    overview,
    requests,
    specs,
    submission,
    transitions,
    validate,
)
from himalia.scheduler.placement import refill_all, trickle
from himalia.scheduler.state import GROUPS, RELEASED, ClientState, HostState, SchedulerState, SchedulerTask
from himalia.scheduler.task_page import describe_task
from himalia.settings import DEFAULT, Settings


class ReturnMemory(Instruction):
    """Let the allocators give back what is free; nothing else happens now."""


class SelfMeasured(Event):
    """What the scheduler's own process uses; told while somebody follows."""

    process: ProcessMetrics


NOBODY = PeerId("")
"""Source of events of this side."""


class ShutDown(Instruction):
    """End the scheduler: everybody was told."""

    reason: str


class SchedulerMachine:
    """Decides what is computed where.

    Parameters
    ----------
    settings : Settings
    me : PeerId, optional
        This scheduler's incarnation.
    address : str
        What it calls itself in answers.
    versions : mapping
        Package versions of its process, for ``get_versions``.
    idle_timeout : float
        Seconds without any task to do after which it ends; 0: never.
    """

    def __init__(
        self,
        *,
        settings: Settings = DEFAULT,
        me: PeerId | None = None,
        address: str = "",
        versions: Mapping[str, str] | None = None,
        idle_timeout: float = 0.0,
        started: float = 0.0,
    ) -> None:
        self.me = me if me is not None else new_incarnation("scheduler")
        self.core = SchedulerState(settings)
        self.requests = requests.Requests()
        self.output = output.Output()
        self.following = following.Following()
        self.address = address
        self.versions = dict(versions or {})
        self.idle_timeout = idle_timeout
        self.started = started
        self.busy_at = started
        self.closing = False
        self.logged = 0
        """``core.log.total`` at the last tick."""
        self.rested = True
        """Whether memory was given back since something happened."""
        self.handlers: dict[type, Callable[[PeerId, Any], None]] = {
            TaskFinished: self.on_task_finished,
            Submit: self.on_submit,
            ReleaseKeys: self.on_release_keys,
            DataAdded: self.on_data_added,
            TaskFailed: self.on_task_failed,
            FunctionBody: self.on_function_body,
            ForgetFunctions: self.on_forget_functions,
            DataPlaced: self.on_data_placed,
            WantKeys: self.on_want_keys,
            CancelKeys: self.on_cancel_keys,
            CancelSpan: self.on_cancel_span,
            RetryKeys: self.on_retry_keys,
            ReportMissing: self.on_report_missing,
            Heartbeat: self.on_heartbeat,
            Withdrawn: self.on_withdrawn,
            InputMissing: self.on_input_missing,
            DataLost: self.on_data_lost,
            Inventory: self.on_inventory,
            WorkerOutput: self.on_worker_output,
            RegisterNanny: self.on_register_nanny,
            WorkerStarted: self.on_worker_started,
            WorkerStopped: self.on_worker_stopped,
            WorkerDied: self.on_worker_died,
            Reply: self.on_reply,
            GetInfo: self.on_get_info,
            GetKeys: self.on_get_keys,
            Explain: self.on_explain,
            GetSpec: self.on_get_spec,
            RunFunction: self.on_run_function,
            Restart: self.on_restart,
            Scale: self.on_scale,
            GetVersions: self.on_get_versions,
            GetLogs: self.on_get_logs,
            GetProfile: self.on_get_profile,
            GetTelemetry: self.on_get_telemetry,
            FollowTelemetry: self.on_follow_telemetry,
            DescribeTask: self.on_describe_task,
            Close: self.on_close,
            PeerJoined: self.on_peer_joined,
            PeerLeft: self.on_peer_left,
            Ticked: self.on_ticked,
            SelfMeasured: self.on_self_measured,
        }

    @property
    def tasks(self) -> dict[Key, SchedulerTask]:
        """Every task by key."""
        return self.core.tasks

    @property
    def hosts(self) -> dict[HostId, HostState]:
        """Every host by id."""
        return self.core.hosts

    @property
    def clients(self) -> dict[ClientId, ClientState]:
        """Every client by id."""
        return self.core.clients

    def handle(self, event: Event | Message, *, now: float, source: PeerId = NOBODY) -> list[Instruction]:
        """Return what to do about an event; see :class:`himalia.machine.Machine`."""
        core = self.core
        core.now = now
        if core.hopeless and source in core.hopeless:
            return []  # it is cut off at the next tick
        self.handlers[event.__class__](source, event)
        if core.to_free:
            transitions.flush_frees(core)
        out = core.out
        core.out = []
        return out

    def validate(self) -> None:
        """Check every invariant."""
        validate.validate(self.core)

    def host(self, source: PeerId) -> HostState:
        """Return the host that sent a message."""
        try:
            return self.core.hosts[HostId(source)]
        except KeyError:
            raise HimaliaError(f"{source} sent a message before it registered") from None

    def client(self, source: PeerId) -> ClientState:
        """Return the client that sent a message."""
        return self.core.clients[ClientId(source)]

    # Clients

    def on_submit(self, source: PeerId, message: Submit) -> None:
        submission.submit(self.core, self.client(source), message)

    def on_function_body(self, source: PeerId, message: FunctionBody) -> None:
        membership.define_function(self.core, self.client(source), message)

    def on_forget_functions(self, source: PeerId, message: ForgetFunctions) -> None:
        for digest in message.digests:
            membership.forget_function(self.core, self.client(source), digest)

    def on_data_placed(self, source: PeerId, message: DataPlaced) -> None:
        submission.place_data(self.core, self.client(source), message)

    def on_want_keys(self, source: PeerId, message: WantKeys) -> None:
        core, client = self.core, self.client(source)
        for key in message.keys:
            task = core.tasks.get(key)
            if task is None:
                core.tell(client, key, ResultErred(key, transitions.unknown_error(key)))
                continue
            transitions.want(core, client, task)
            if task.status is RELEASED:
                transitions.need(core, [task])
            else:
                transitions.tell_status(core, client, task)

    def on_release_keys(self, source: PeerId, message: ReleaseKeys) -> None:
        core, client = self.core, self.client(source)
        for key in message.keys:
            task = core.tasks.get(key)
            if task is None:
                client.window.held.pop(key, None)
            elif transitions.unwant(task, client):
                transitions.settle(core, task)

    def on_cancel_keys(self, source: PeerId, message: CancelKeys) -> None:
        reason = message.reason or "cancelled"
        cancelling.cancel(self.core, self.client(source), message.keys, force=message.force, reason=reason)

    def on_cancel_span(self, source: PeerId, message: CancelSpan) -> None:
        cancelling.cancel_span(self.core, self.client(source), message.span, message.reason or "cancelled")

    def on_retry_keys(self, source: PeerId, message: RetryKeys) -> None:
        cancelling.retry(self.core, self.client(source), message.keys)

    def on_report_missing(self, source: PeerId, message: ReportMissing) -> None:
        core, client = self.core, self.client(source)
        lost = loss.strike_holders(core, [(message.key, message.attempt, message.host)])
        loss.recover(core, lost)
        task = core.tasks.get(message.key)
        if task is not None and not lost and client in task.wanted_by:
            transitions.tell_status(core, client, task)

    # Nannies

    def on_register_nanny(self, source: PeerId, message: RegisterNanny) -> None:
        if message.info.host != source:
            self.core.out.append(Disconnect(source, f"it registered as {message.info.host}"))
            return
        membership.add_host(self.core, source, message)

    def on_task_finished(self, source: PeerId, message: TaskFinished) -> None:
        transitions.finish(self.core, self.host(source), message)

    def on_task_failed(self, source: PeerId, message: TaskFailed) -> None:
        transitions.fail(self.core, self.host(source), message)

    def on_data_added(self, source: PeerId, message: DataAdded) -> None:
        loss.add_replica(self.core, self.host(source), message)

    def on_heartbeat(self, source: PeerId, message: Heartbeat) -> None:
        membership.take_heartbeat(self.core, self.host(source), message)

    def on_withdrawn(self, source: PeerId, message: Withdrawn) -> None:
        cancelling.withdraw(
            self.core,
            self.host(source),
            message.key,
            message.attempt,
            started=message.started,
            seconds=message.seconds,
        )

    def on_input_missing(self, source: PeerId, message: InputMissing) -> None:
        loss.take_back(self.core, self.host(source), message)

    def on_data_lost(self, source: PeerId, message: DataLost) -> None:
        loss.lose_data(self.core, self.host(source), message.key, message.attempt)

    def on_inventory(self, source: PeerId, message: Inventory) -> None:
        loss.reconcile(self.core, self.host(source), message)

    def on_worker_output(self, source: PeerId, message: WorkerOutput) -> None:
        self.output.take(self.core, message)

    def on_worker_started(self, source: PeerId, message: WorkerStarted) -> None:
        membership.add_worker(self.core, self.host(source), message.worker)

    def on_worker_stopped(self, source: PeerId, message: WorkerStopped) -> None:
        membership.retire_worker(self.core, self.host(source), message.name)

    def on_worker_died(self, source: PeerId, message: WorkerDied) -> None:
        loss.lose_worker(self.core, self.host(source), message)

    def on_reply(self, source: PeerId, message: Reply) -> None:
        requests.take_reply(self.core, self.requests, self.host(source), message)

    # Questions

    def on_get_info(self, source: PeerId, message: GetInfo) -> None:
        info = overview.describe_cluster(self.core, self.me, self.address, self.started)
        self.core.send(self.client(source), Reply(message.request, info))

    def on_get_keys(self, source: PeerId, message: GetKeys) -> None:
        self.core.send(
            self.client(source), Reply(message.request, overview.describe_keys(self.core, message.keys, message.skip))
        )

    def on_explain(self, source: PeerId, message: Explain) -> None:
        text = cut(overview.explain(self.core, message.key))
        self.core.send(self.client(source), Reply(message.request, Explanation(text)))

    def on_get_spec(self, source: PeerId, message: GetSpec) -> None:
        self.core.send(self.client(source), specs.describe_call(self.core, message))

    def on_run_function(self, source: PeerId, message: RunFunction) -> None:
        if self.requests.has_room(self.core, self.client(source), message.request):
            requests.run_function(self.core, self.requests, self.client(source), message)

    def on_get_logs(self, source: PeerId, message: GetLogs) -> None:
        if not self.requests.has_room(self.core, self.client(source), message.request):
            return
        remembered = self.output.lines_of(message.key, message.since)
        requests.get_logs(self.core, self.requests, self.client(source), message, remembered)

    def on_get_profile(self, source: PeerId, message: GetProfile) -> None:
        if self.requests.has_room(self.core, self.client(source), message.request):
            requests.get_profile(self.core, self.requests, self.client(source), message)

    def on_scale(self, source: PeerId, message: Scale) -> None:
        if self.requests.has_room(self.core, self.client(source), message.request):
            requests.scale(self.core, self.requests, self.client(source), message)

    def on_get_versions(self, source: PeerId, message: GetVersions) -> None:
        nannies = {host.info.address: host.info.versions for host in self.core.hosts.values()}
        self.core.send(self.client(source), Reply(message.request, PackageVersions(self.versions, nannies)))

    def on_restart(self, source: PeerId, message: Restart) -> None:
        core = self.core
        if not self.requests.has_room(core, self.client(source), message.request):
            return
        if message.workers is not None:
            requests.restart_workers(core, self.requests, self.client(source), message)
            return
        for client in list(core.clients.values()):
            submission.end_submission(core, client)
            keys = [task.key for task in client.wants]
            cancelling.cancel(core, client, keys, force=True, reason="the cluster was restarted")
        requests.restart(core, self.requests, self.client(source), message)

    def on_get_telemetry(self, source: PeerId, message: GetTelemetry) -> None:
        core, span = self.core, message.span
        groups = [group for group in core.groups.values() if not span or group.span == span]
        answer = TelemetryReport(
            groups=[overview.summarize(group) for group in groups],
            records=core.log.since_time(message.since),
            total=core.log.total,
        )
        core.send(self.client(source), Reply(message.request, answer))

    def on_follow_telemetry(self, source: PeerId, message: FollowTelemetry) -> None:
        following.follow(self.core, self.following, self.client(source), message)

    def on_describe_task(self, source: PeerId, message: DescribeTask) -> None:
        answer = describe_task(self.core, message.key)
        self.core.send(self.client(source), Reply(message.request, answer))

    def on_self_measured(self, source: PeerId, event: SelfMeasured) -> None:
        self.following.process = event.process

    # Sessions and time

    def on_peer_joined(self, source: PeerId, event: PeerJoined) -> None:
        if event.role == "client":
            membership.add_client(self.core, event.peer)

    def on_peer_left(self, source: PeerId, event: PeerLeft) -> None:
        core = self.core
        client = core.clients.get(ClientId(event.peer))
        if client is not None:
            self.forget_client(client)
        host = core.hosts.get(HostId(event.peer))
        if host is not None:
            membership.remove_host(core, host, event.reason)
            requests.drop_host(core, self.requests, host)
        if self.closing and not core.hosts:
            core.out.append(ShutDown("every nanny left"))

    def forget_client(self, client: ClientState) -> None:
        """End all that a client had here."""
        membership.remove_client(self.core, client)
        following.stop_following(self.following, client.id)
        self.output.forget(client.id)

    def on_close(self, source: PeerId, message: Close) -> None:
        core = self.core
        self.closing = True
        for host in core.hosts.values():
            core.send(host, Close(message.reason))
        for client in core.clients.values():
            if client.id != source:
                core.send(client, Close(message.reason))
        if not core.hosts:
            core.out.append(ShutDown(message.reason))

    def on_ticked(self, source: PeerId, event: Ticked) -> None:
        core = self.core
        news.catch_up(core, event.pending)
        for client in news.cut_off(core):
            self.forget_client(client)
        following.push(core, self.following, self.started)
        self.output.tick(core)
        if core.open and core.surplus:
            refill_all(core)  # an idle host may find something to steal that wasn't worth it before
        trickle(core)
        if core.queue or any(host.assigned for host in core.hosts.values()):
            self.busy_at = core.now
        elif self.idle_timeout and core.now - self.busy_at > self.idle_timeout and not self.closing:
            self.on_close(NOBODY, Close(f"idle for {self.idle_timeout:g} s"))
        if core.log.total != self.logged:
            self.logged = core.log.total
            self.rested = False
        elif not self.rested and not core.tasks:
            self.rested = True
            core.rest()
            core.out.append(ReturnMemory())
        if len(core.groups) > GROUPS:
            following.forget_idle_groups(core, self.following)
