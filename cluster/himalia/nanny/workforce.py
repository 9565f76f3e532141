"""The life of worker processes: started, up, dying, replaced with back-off, retired.

What becomes of the calls of a worker that is gone is decided in ``deaths``.  A worker that ends by itself is replaced
at once, as long as that doesn't happen again and again; one that can't even start is tried again ever more rarely, and
if none ever came up, the nanny ends and says why.
"""

from __future__ import annotations

from typing import Final

from himalia.bounds import cut
from himalia.messages.answers import Reply, Restarted, Scaled
from himalia.messages.client import Scale
from himalia.messages.nanny import RestartWorkers, WorkerStarted, WorkerStopped
from himalia.messages.worker import RetireWorker, WorkerReady
from himalia.names import PeerId, WorkerName
from himalia.nanny.events import KillWorker, NannyStarted, SendToWorker, StartWorker, StopWorker
from himalia.nanny.runs import make_ready
from himalia.nanny.state import NannyRestart, NannyState
from himalia.nanny.tasks import READY
from himalia.nanny.workers import NannyWorker, WorkerStatus, move_worker

FREE_DEATHS: Final = 5
"""Deaths in a row that are answered by a new process at once: a call that kills its worker may do so three times."""
BACK_OFF: Final = 0.2
"""Seconds until the first delayed restart; doubled each time."""
BACK_OFF_LIMIT: Final = 30.0
"""Seconds between two restarts at most."""
CALM: Final = 60.0
"""Seconds after which a worker that is up counts as healthy again; Kubernetes forgets its back-off after 10 minutes,
but its longest pause is ten times ours."""
START_LIMIT: Final = 120.0
"""Seconds a process has to come up.  Imports from a slow network file system take up to a minute."""
START_FAILURES: Final = 3
"""Failed starts of each worker, with none ever up, after which the nanny gives up."""
CLOSE_GRACE: Final = 1.0
"""Seconds between SIGTERM and SIGKILL when the nanny ends."""


def plan_workers(state: NannyState, count: int) -> None:
    """Add workers to the plan, under the lowest free indexes."""
    taken = {worker.index for worker in state.workers.values()}
    index = 0
    while sum(worker.planned for worker in state.workers.values()) < count:
        # The lowest free one, so that a worker which was scaled away comes back under its old name.
        while index in taken:
            index += 1
        taken.add(index)
        name = worker_name(state, index)
        state.workers[name] = NannyWorker(name, index)


def worker_name(state: NannyState, index: int) -> WorkerName:
    """Name a worker after its nanny; a nanny without a name has a unique id."""
    return WorkerName(f"{state.info.name or state.info.host}-{index}")


def nanny_started(state: NannyState, event: NannyStarted, source: PeerId) -> None:
    """Start what is planned."""
    start_due(state)


def start_due(state: NannyState) -> None:
    """Start the workers whose time has come."""
    for worker in list(state.workers.values()):
        if worker.status is WorkerStatus.BACKING_OFF and worker.restart_at <= state.now and state.closing is None:
            move_worker(worker, WorkerStatus.STARTING)
            # Nothing of the process before may speak for this one.
            worker.pid = 0
            worker.reason = ""
            worker.blamed = False
            worker.cause = "crash"
            worker.ends_itself = False
            worker.began = state.now
            state.out.append(StartWorker(worker.name, worker.index))


def end_slow_starts(state: NannyState) -> None:
    """Give up on processes that don't come up."""
    for worker in state.workers.values():
        if worker.status is WorkerStatus.STARTING and state.now - worker.began > START_LIMIT:
            end_worker(state, worker, f"the nanny stopped it: it was not up after {START_LIMIT:g} s", blamed=False)


def worker_ready(state: NannyState, message: WorkerReady, source: PeerId) -> None:
    """Give work to a process that came up, and tell the scheduler."""
    worker = state.workers.get(WorkerName(source))
    # It was given up meanwhile (retired, too slow); its signal is on the way.
    if worker is None or worker.status is not WorkerStatus.STARTING:
        return
    move_worker(worker, WorkerStatus.UP)
    worker.pid = message.pid
    # From now on this is when it came up: replace_later() asks how long it was healthy.
    worker.began = state.now
    state.ever_up = True
    count_threads(state)
    # While the scheduler isn't there send() drops this; the registration names all who are up.
    state.send(WorkerStarted(state.worker_info(worker)))
    answer_restarts(state)


def count_threads(state: NannyState) -> None:
    """Recount the threads that take calls."""
    state.threads = state.nthreads * sum(worker.status is WorkerStatus.UP for worker in state.workers.values())


def end_worker(state: NannyState, worker: NannyWorker, reason: str, *, blamed: bool) -> None:
    """Kill a process; what follows from it follows when it is gone."""
    # Only the first reason counts. A second one, while it dies, would be shown for a death that it didn't cause.
    if worker.status in (WorkerStatus.STARTING, WorkerStatus.UP, WorkerStatus.RETIRING):
        move_worker(worker, WorkerStatus.STOPPING)
        worker.reason = reason
        worker.blamed = blamed
        # Its thread is gone for dispatching from now on, not only when the process is.
        count_threads(state)
        state.out.append(KillWorker(worker.name))


def replace_later(state: NannyState, worker: NannyWorker, *, was_up: bool, explained: bool, log: list[str]) -> None:
    """Plan when a process that is gone is started again; or give up, if none can be started at all.

    A death that a call explains asks for no back-off: the call has its strikes, and others wait for the worker. Nor
    does one that came from outside, which says nothing about the next process.
    """
    # At once, and without counting: back-off is for processes that die of themselves.
    if was_up and (explained or not worker.blamed or worker.cause == "outside"):
        worker.restart_at = state.now
    else:
        # It ran well for long; its former deaths say nothing about this one.
        if was_up and state.now - worker.began > CALM:
            worker.deaths = 0
        worker.deaths += 1
        # One that never came up will fail in the same way in a second: back-off from the second try on.
        late = worker.deaths - (FREE_DEATHS if was_up else 1)
        worker.restart_at = state.now + (min(BACK_OFF * 2**late, BACK_OFF_LIMIT) if late >= 0 else 0.0)
    move_worker(worker, WorkerStatus.BACKING_OFF)
    # Asked of all that shall be here: one worker that fails while another one is still coming up decides nothing.
    planned = [other for other in state.workers.values() if other.planned]
    # Only while none ever was: later it is one worker's trouble (a full disk, a package that is being installed), and
    # the others work on.
    if not state.ever_up and all(other.deaths >= START_FAILURES for other in planned):
        # An ImportError is usually the last thing it said.
        last = "\n".join(log[-10:])
        reason = f"no worker could be started: {worker.name} ended with {worker.reason}\n{last}".rstrip()
        begin_closing(state, reason, 1)
        return
    start_due(state)


def scale(state: NannyState, message: Scale, source: PeerId) -> None:
    """Keep so many workers from now on: start some, or let those leave that do least."""
    if state.closing is not None:
        state.send(Reply(message.request, error=f"this nanny is ending: {state.closing}"))
        return
    planned = [worker for worker in state.workers.values() if worker.planned]
    # Those that leave already aren't counted, or scaling down twice would go below what was asked for.
    surplus = len(planned) - message.workers
    if surplus > 0:
        for worker in sorted(planned, key=usefulness)[:surplus]:
            retire(state, worker)
    else:
        plan_workers(state, message.workers)
        start_due(state)
    names = [str(worker.name) for worker in state.workers.values() if worker.planned]
    state.send(Reply(message.request, Scaled(names)))
    answer_restarts(state)


def usefulness(worker: NannyWorker) -> tuple[bool, int, int]:
    """Sort key: who isn't up goes first, then who runs least, then the newest."""
    return worker.status is WorkerStatus.UP, worker.running + worker.targeted, -worker.index


def retire(state: NannyState, worker: NannyWorker) -> None:
    """Let a worker finish what it runs, and leave."""
    # First: what is put back into a heap below has to see that this worker takes no more.
    worker.planned = False
    # Emptied first: make_ready() would put them back into it.
    bound, worker.ready = worker.ready, []
    for _, _, task in bound:
        if task.status is READY:
            make_ready(state, task)  # which gives it back
    match worker.status:
        case WorkerStatus.UP:
            move_worker(worker, WorkerStatus.RETIRING)
            count_threads(state)
            state.out.append(SendToWorker(worker.name, RetireWorker()))
        case WorkerStatus.STARTING:
            end_worker(state, worker, "the nanny stopped it: it isn't needed any more", blamed=False)
        case WorkerStatus.BACKING_OFF:
            del state.workers[worker.name]
            state.send(WorkerStopped(worker.name))
        case WorkerStatus.RETIRING | WorkerStatus.STOPPING:
            pass  # on its way out; it won't be replaced


def restart_workers(state: NannyState, message: RestartWorkers) -> None:
    """Replace every process now, or those that are named."""
    if message.workers is None:
        chosen = list(state.workers.values())
        state.restarts[message.request] = NannyRestart(None, Restarted())
    else:
        named = dict.fromkeys(message.workers)
        chosen = [worker for worker in state.workers.values() if worker.name in named and worker.planned]
        # Only these have to be back before it is answered; a worker that somebody scales up meanwhile may take its
        # time.
        names = [worker.name for worker in chosen]
        answer = {name: "OK" if name in names else no_worker(state, name) for name in named}
        state.restarts[message.request] = NannyRestart(names, Restarted(answer))
    for worker in chosen:
        # A person who asks for a restart doesn't mean in half a minute.
        if worker.status is WorkerStatus.BACKING_OFF:
            worker.deaths = 0
            worker.restart_at = state.now
        end_worker(state, worker, "the nanny stopped it: a restart was asked for", blamed=False)
    start_due(state)
    answer_restarts(state)


def no_worker(state: NannyState, name: str) -> str:
    """Say that a worker can't be replaced."""
    names = ", ".join(worker.name for worker in state.workers.values() if worker.planned)
    here = state.info.name or state.info.host
    return cut(f"There is no worker {name!r} at {here}; its workers are {names or 'none'}.")


def answer_restarts(state: NannyState) -> None:
    """Tell who asked for a restart that its workers are up; those that were retired meanwhile aren't waited for."""
    if not state.restarts:
        return
    absent = {
        worker.name for worker in state.workers.values() if worker.planned and worker.status is not WorkerStatus.UP
    }
    for request, restart in list(state.restarts.items()):
        awaited = absent if restart.names is None else absent.intersection(restart.names)
        if not awaited:
            del state.restarts[request]
            state.send(Reply(request, restart.answer))


def begin_closing(state: NannyState, reason: str, code: int = 0) -> None:
    """End every worker, then the nanny."""
    if state.closing is not None:
        return
    state.closing = reason
    state.exit_code = code
    # SIGTERM first: a call may have an atexit, a database, children of its own.
    state.kill_at = state.now + CLOSE_GRACE
    for worker in list(state.workers.values()):
        if worker.status is WorkerStatus.BACKING_OFF:
            # There is no process whose end could be waited for.
            del state.workers[worker.name]
        else:
            move_worker(worker, WorkerStatus.STOPPING)
            worker.reason = "the nanny ends"
            state.out.append(StopWorker(worker.name))
    count_threads(state)


def kill_remaining(state: NannyState) -> None:
    """While closing: end by force what did not go by itself."""
    if state.now >= state.kill_at:
        for worker in state.workers.values():
            state.out.append(KillWorker(worker.name))
