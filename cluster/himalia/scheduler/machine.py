"""The scheduler's decisions, behind one entrance: events in, instructions out.

Everything that decides is in the modules next to this one, each a set of transitions over one :class:`SchedulerState`:

=============== =====================================================================
``submission``   what clients send in: calls, and values that they placed
``wishes``       which keys they hold futures of
``transitions``  the life of a task
``freeing``      what frees its result: who needs it no more
``placement``    which host gets it
``cancelling``   stopping, retrying, taking back
``deaths``       what follows when a result, a worker or a host is gone
``membership``   who comes and goes, and which functions clients have told
``questions``    what clients ask; ``forwarding`` what hosts have to answer
``scaling``      how many workers a host shall have
``following``    what followers of the telemetry are sent
``output``       what calls print
``session``      sessions, ticks, the end
=============== =====================================================================

Malformed messages of a client (a dependency that doesn't exist, a function never sent) become errors of the task; they
never change anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from himalia.machine import Event, Instruction, PeerJoined, PeerLeft, Ticked
from himalia.messages.answers import Reply
from himalia.messages.client import (
    CancelKeys,
    CancelSpan,
    CatchUp,
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
from himalia.names import ClientId, HostId, Key, PeerId, new_incarnation
from himalia.scheduler import (
    cancelling,
    deaths,
    following,
    membership,
    output,
    questions,
    session,
    submission,
    transitions,
    wishes,
)
from himalia.scheduler.checks import check
from himalia.scheduler.events import SelfMeasured
from himalia.scheduler.freeing import flush_frees
from himalia.scheduler.state import ClientState, HostState, SchedulerState, SchedulerTask
from himalia.settings import DEFAULT, Settings

NOBODY = PeerId("")
"""Source of events of this side."""

Transition = Callable[[SchedulerState, Any, PeerId], None]


class SchedulerMachine:
    """Decides what is computed where; its parameters are those of :class:`SchedulerState`."""

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
        self.state = SchedulerState(
            settings, me=self.me, address=address, versions=versions, idle_timeout=idle_timeout, started=started
        )

    @property
    def tasks(self) -> dict[Key, SchedulerTask]:
        """Every task by key."""
        return self.state.tasks

    @property
    def hosts(self) -> dict[HostId, HostState]:
        """Every host by id."""
        return self.state.hosts

    @property
    def clients(self) -> dict[ClientId, ClientState]:
        """Every client by id."""
        return self.state.clients

    def handle(self, event: Event | Message, *, now: float, source: PeerId = NOBODY) -> list[Instruction]:
        """Return what to do about an event; see :class:`himalia.machine.Machine`."""
        state = self.state
        state.now = now
        # Every answer to it would be kept in memory until the tick; it is the one who doesn't read.
        if state.hopeless and source in state.hopeless:
            return []  # it is cut off at the next tick
        # A dict by class takes 50 ns, a match over so many classes ten times as long.
        TRANSITIONS[event.__class__](state, event, source)
        # Once per event, so that a host is told in one message what a whole graph leaves behind.
        if state.to_free:
            flush_frees(state)
        out = state.out
        state.out = []
        return out

    def validate(self) -> None:
        """Check every invariant; for tests."""
        check(self.state)


TRANSITIONS: Final[dict[type, Transition]] = {
    TaskFinished: transitions.finish,
    Submit: submission.submit,
    ReleaseKeys: wishes.release_keys,
    DataAdded: deaths.add_replica,
    TaskFailed: transitions.fail,
    FunctionBody: membership.define_function,
    ForgetFunctions: membership.forget_functions,
    DataPlaced: submission.place_data,
    WantKeys: wishes.want_keys,
    CancelKeys: cancelling.cancel_keys,
    CancelSpan: cancelling.cancel_span,
    RetryKeys: cancelling.retry_keys,
    ReportMissing: deaths.report_missing,
    Heartbeat: membership.take_heartbeat,
    Withdrawn: cancelling.withdrawn,
    InputMissing: deaths.miss_inputs,
    DataLost: deaths.lose_data,
    Inventory: deaths.reconcile,
    WorkerOutput: output.worker_output,
    RegisterNanny: membership.register_nanny,
    WorkerStarted: membership.worker_started,
    WorkerStopped: membership.worker_stopped,
    WorkerDied: deaths.lose_worker,
    Reply: questions.reply,
    GetInfo: questions.get_info,
    GetKeys: questions.get_keys,
    Explain: questions.explain,
    GetSpec: questions.get_spec,
    RunFunction: questions.run_function,
    Restart: questions.restart,
    Scale: questions.scale,
    GetVersions: questions.get_versions,
    GetLogs: questions.get_logs,
    GetProfile: questions.get_profile,
    GetTelemetry: questions.get_telemetry,
    FollowTelemetry: following.follow_telemetry,
    CatchUp: following.catch_up,
    DescribeTask: questions.describe_task,
    Close: session.close,
    PeerJoined: session.peer_joined,
    PeerLeft: session.peer_left,
    Ticked: session.ticked,
    SelfMeasured: following.self_measured,
}
