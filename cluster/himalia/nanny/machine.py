"""The nanny's decisions, behind one entrance: events in, instructions out.

Everything that decides is in the modules next to this one, each a set of transitions over one :class:`NannyState`:

=============== =====================================================================
``transitions``  assigned, finished, failed
``fetching``     inputs of other hosts
``holding``      which results are here, and how they go
``dispatching``  which task goes to the workers next
``admission``    whether there is room for its inputs
``withdrawing``  taking back, interrupting, finding what a dead worker took along
``workforce``    starting, replacing, retiring worker processes
``deaths``       what follows when one is gone
``watchdog``     workers that stand still
``waits``        what waits, since when, for whoever asks
``memory``       pausing, restarting workers that are too large
``heartbeat``    what was measured, for whom it concerns, and what of it the scheduler is told
``output``       what calls print, on its way to the scheduler
``requests``     what the scheduler asks beside tasks
``session``      registering, ticks, a restart, the end
=============== =====================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from himalia.machine import Event, Instruction, PeerJoined, PeerLeft, Ticked
from himalia.messages.client import GetLogs, GetProfile, RunFunction, Scale
from himalia.messages.nanny import (
    Compute,
    FreeData,
    ReportInventory,
    RestartWorkers,
    Withdraw,
)
from himalia.messages.parts import Close, ForgetFunctions, FunctionBody, HostInfo, HostsChanged, Message
from himalia.messages.worker import CallReturned, EndsItself, NeedFunction, Printed, Raised, Returned, WorkerReady
from himalia.names import SCHEDULER, PeerId
from himalia.nanny import (
    deaths,
    dispatching,
    events,
    fetching,
    heartbeat,
    holding,
    output,
    requests,
    session,
    transitions,
    withdrawing,
    workforce,
)
from himalia.nanny.checks import check
from himalia.nanny.state import NannyState
from himalia.settings import DEFAULT, Settings

NOBODY = PeerId("")
"""Source of events of this side."""

Transition = Callable[[NannyState, Any, PeerId], None]


class NannyMachine:
    """Decides for one host; pure and deterministic.

    Events are the scheduler's messages (source: ``SCHEDULER``), the workers' (source: the worker's name) and those of
    ``himalia.machine`` and ``himalia.nanny.events``; the latter also say what the shell owes for each instruction.

    Parameters
    ----------
    info : HostInfo
        This host, as it registers; ``info.host`` is the id of its session with the scheduler.
    settings : Settings
        The numbers.
    nworkers, nthreads : int
        Worker processes, and threads of each.
    worker_memory : int
        Bytes a worker may use by itself; 0: unlimited.
    resources : dict, optional
        What each worker declares to have.
    """

    def __init__(
        self,
        info: HostInfo,
        settings: Settings = DEFAULT,
        *,
        nworkers: int,
        nthreads: int = 1,
        worker_memory: int = 0,
        resources: dict[str, float] | None = None,
    ) -> None:
        self.state = NannyState(
            info, settings, nthreads=nthreads, worker_memory=worker_memory, resources=resources or {}
        )
        workforce.plan_workers(self.state, nworkers)

    def handle(self, event: Event | Message, *, now: float, source: PeerId = NOBODY) -> list[Instruction]:
        """Return what to do about ``event``; see :class:`himalia.machine.Machine`."""
        state = self.state
        state.now = now
        out = state.out = []
        # Counted before it is handled: a heartbeat that this event causes has to include it, or the scheduler would
        # compare books of two moments.
        if source == SCHEDULER and type(event) is not PeerJoined:
            state.seen += 1
        TRANSITIONS[type(event)](state, event, source)
        # Nothing is dispatched or fetched any more; what ends is waited for.
        if state.closing is not None:
            session.finish_closing(state)
            return out
        # Decided afresh each time: whoever was barred may have been withdrawn.
        state.reserved.is_barred = False
        # In this order: what has to run alone, then what is bound to one worker, then what anybody may run. The first
        # two have less choice, and would starve behind a full queue.
        if state.alone:
            dispatching.dispatch_alone(state)
        if state.targeted:
            dispatching.dispatch_targeted(state)
        if state.ready:
            dispatching.dispatch(state)
        # Last, since all of the above may have found inputs to be missing.
        if state.fetch_batches:
            fetching.ask_hosts(state)
        return out

    def validate(self) -> None:
        """Check every invariant; for tests."""
        check(self.state)


TRANSITIONS: Final[dict[type, Transition]] = {
    Compute: transitions.compute,
    Returned: transitions.returned,
    Raised: transitions.raised,
    Printed: output.printed,
    events.DispatchFailed: transitions.dispatch_failed,
    events.DispatchDelayed: transitions.dispatch_delayed,
    events.InputsLoaded: transitions.inputs_loaded,
    Withdraw: withdrawing.withdraw,
    events.SlotsRead: withdrawing.slots_read,
    FreeData: holding.free_data,
    HostsChanged: fetching.hosts_changed,
    events.DataFetched: fetching.data_fetched,
    events.DataStored: holding.data_stored,
    events.WriterGone: holding.writer_gone,
    events.DataUnreadable: holding.data_unreadable,
    events.NannyStarted: workforce.nanny_started,
    WorkerReady: workforce.worker_ready,
    Scale: workforce.scale,
    events.WorkerExited: deaths.worker_exited,
    EndsItself: deaths.ends_itself,
    events.Measured: heartbeat.measured,
    events.Transferred: heartbeat.transferred,
    RunFunction: requests.run_function,
    CallReturned: requests.call_returned,
    FunctionBody: requests.define_function,
    ForgetFunctions: requests.forget_functions,
    NeedFunction: requests.need_function,
    GetLogs: requests.get_logs,
    GetProfile: requests.get_profile,
    ReportInventory: requests.report_inventory,
    RestartWorkers: session.restart,
    Close: session.close,
    PeerJoined: session.scheduler_joined,
    PeerLeft: session.scheduler_left,
    Ticked: session.ticked,
}
