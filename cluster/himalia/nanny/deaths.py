"""What follows when a worker process is gone: for what it ran, for what it may have taken along, for its successor.

Only calls that the worker had marked as begun in its slots are named to the scheduler, and only they are blamed.  A
result that arrived before the death counts.  What was in the worker's own queue goes to its successor.
Where the others run next, and which of them is to blame, is decided by ``scheduler/deaths.py``.
"""

from __future__ import annotations

from himalia.messages.answers import CallReply
from himalia.messages.nanny import WorkerDied, WorkerStopped
from himalia.messages.parts import TaskError
from himalia.messages.worker import EndsItself
from himalia.names import Key, PeerId, WorkerName
from himalia.nanny.events import WorkerExited
from himalia.nanny.evidence import judge
from himalia.nanny.requests import add_reply
from himalia.nanny.runs import end_run
from himalia.nanny.state import NannyState
from himalia.nanny.tasks import DISPATCHED, GONE, move
from himalia.nanny.withdrawing import end_withdrawn, lose_run
from himalia.nanny.workers import NannyWorker, WorkerStatus, move_worker
from himalia.nanny.workforce import answer_restarts, count_threads, replace_later


def worker_exited(state: NannyState, event: WorkerExited, source: PeerId) -> None:
    """Take in that a process is gone."""
    worker = state.workers.get(event.name)
    if worker is None or (worker.pid and event.pid != worker.pid):  # late news of a process that was replaced already
        return
    state.output.flush()  # the last words of what it ran go ahead of the news
    # Known by the pid that it told itself: a process that died before it said a word couldn't be started, which is
    # another trouble than a call that kills.
    was_up = worker.pid != 0
    was_retiring = worker.status is WorkerStatus.RETIRING
    # Nobody here ended it, so what it ran is asked. Otherwise the reason was noted when the decision was made, and the
    # exit code only repeats it.
    if not worker.reason:
        worker.blamed = True
        worker.reason, worker.cause = judge(event.exit, was_told=worker.ends_itself, out_of_memory=event.out_of_memory)
    move_worker(worker, WorkerStatus.STOPPING)
    worker.still = ""
    # Before anything is dispatched again: dead threads take nothing.
    count_threads(state)
    # Out of the table before its calls are sorted out: make_ready() then gives back what is bound to it, instead of
    # keeping it for a successor that won't come.
    if not worker.planned or state.closing is not None:
        del state.workers[worker.name]
    # Begun and not begun are told apart by the slots alone; what was sent to it and isn't there is innocent.
    running = end_begun(state, event.running)
    fail_calls(state, worker)
    # It was asked to leave and left when it was done: no death.
    if was_retiring and not running:
        state.send(WorkerStopped(worker.name))
    elif was_up:
        state.send(WorkerDied(worker.name, worker.reason, running, worker.blamed, event.log, worker.cause))
    requeue(state, worker)
    if state.closing is None and worker.planned:
        replace_later(state, worker, was_up=was_up, explained=bool(running), log=event.log)
    # Last: everything above may still ask whose end this is.
    worker.pid = 0
    answer_restarts(state)


def ends_itself(state: NannyState, message: EndsItself, source: PeerId) -> None:
    """Note that a process is about to send itself a signal."""
    worker = state.workers.get(WorkerName(source))
    if worker is not None:
        worker.ends_itself = True


def end_begun(state: NannyState, running: list[int]) -> list[tuple[Key, int]]:
    """End the runs that a worker had begun, and return whom the scheduler has to hear of."""
    begun = []
    for run in running:
        task = state.runs.get(run)
        if task is None:
            continue
        if task.status is DISPATCHED:
            end_run(state, task)
            move(task, GONE)
            state.remove_task(task)
            begun.append((task.key, task.attempt))
        else:
            end_withdrawn(state, task)
    return begun


def requeue(state: NannyState, worker: NannyWorker) -> None:
    """Dispatch again what was in the worker's own queue; look for what it may have taken from the shared one."""
    for task in list(state.runs.values()):
        if task.worker == worker.name:
            lose_run(state, task, is_sure=True)  # the queue died with its only reader
        # setdefault: a run that was missed once by the death before this one needs only one more miss.
        elif task.worker is None:
            state.suspects.setdefault(task.run, 0)
    worker.targeted = 0
    worker.alone = None
    if state.suspects:
        state.read_slots()


def fail_calls(state: NannyState, worker: NannyWorker) -> None:
    """Answer every ``client.run`` that the worker took with it."""
    for number, call in list(state.calls.items()):
        if worker.name in call.pending:
            text = f"{worker.name} ended while the function ran ({worker.reason})."
            error = TaskError(kind="killed", key=Key(""), text=text, worker=worker.name)
            add_reply(state, number, worker.name, CallReply(error=error))
