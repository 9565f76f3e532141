"""Tasks become ready, get a run, lose it: the small steps that all other transitions are made of."""

from __future__ import annotations

from heapq import heappush

from himalia.messages.nanny import InputMissing, TaskFailed
from himalia.messages.parts import TaskError, Timing
from himalia.names import HostId, Key, WorkerName
from himalia.nanny.admission import reserve
from himalia.nanny.events import Dispatch, LoadInputs, Unload
from himalia.nanny.state import NannyState
from himalia.nanny.tasks import DISPATCHED, GONE, LOADING, READY, NannyTask, move
from himalia.nanny.workers import NannyWorker


def make_ready(state: NannyState, task: NannyTask) -> None:
    """Put a task whose inputs are here where dispatching finds it."""
    move(task, READY)
    message = task.compute
    state.serial += 1
    # The serial number breaks ties by age, and keeps tasks from being compared.
    entry = (message.priority, state.serial, task)
    if message.alone:
        heappush(state.alone, entry)
    elif message.worker:
        worker = state.workers.get(WorkerName(message.worker))
        # Here, not when it arrives: it may have waited for inputs while its worker was retired. The scheduler binds it
        # to another one, or says that there is none.
        if worker is None or not worker.planned:
            give_back(state, task, [])
            return
        state.targeted = True
        heappush(worker.ready, entry)
    else:
        heappush(state.ready, entry)


def start(state: NannyState, task: NannyTask, worker: NannyWorker | None) -> None:
    """Dispatch a READY task under a new run number, to one worker or to whoever is free first."""
    # Rising: judge_suspects() tells by the number what is still in the queue. Each dispatch has a new one, so a late
    # answer to a lost dispatch is nobody's.
    run = state.last_run = state.last_run + 1
    task.run = run
    move(task, DISPATCHED)
    state.runs[run] = task
    # A task that was LOADING has its reservations already.
    if task.compute.dependencies and not task.reserved:
        reserve(state, task)
    if worker is None:
        state.out.append(Dispatch(run, task.compute, None))
    else:
        task.worker = worker.name
        worker.targeted += 1
        state.out.append(Dispatch(run, task.compute, worker.name))


def end_run(state: NannyState, task: NannyTask) -> None:
    """Forget a task's run; whoever calls this decides what becomes of the task."""
    del state.runs[task.run]
    task.run = 0
    if task.reserved:
        state.reserved.remove(task)
    if task.worker is not None:
        worker = state.workers.get(task.worker)
        task.worker = None
        if worker is not None:
            worker.targeted -= 1
            # Opens the gate: the worker may take others again.
            if worker.alone is task:
                worker.alone = None


def begin_loading(state: NannyState, task: NannyTask) -> None:
    """Have the inputs of a task read back that was about to run; they are reserved meanwhile."""
    # The dispatch was never made (DispatchDelayed): its run ends, and the task gets another one when the inputs are
    # there.
    end_run(state, task)
    move(task, LOADING)
    state.loading[task.key] = task
    reserve(state, task)
    task.waiting_since = state.now
    inputs = [(dependency.key, dependency.attempt) for dependency in task.compute.dependencies]
    state.out.append(LoadInputs(task.key, task.attempt, inputs))


def end_loading(state: NannyState, task: NannyTask) -> None:
    """Let go of inputs that were read back, or are being; whoever calls this decides what becomes of the task."""
    del state.loading[task.key]
    state.reserved.remove(task)
    state.out.append(Unload(task.key, task.attempt))


def fail(state: NannyState, task: NannyTask, reason: str) -> None:
    """End a task for which there will never be room."""
    move(task, GONE)
    state.remove_task(task)
    error = TaskError(kind="full", key=task.key, text=reason)
    state.send(TaskFailed(task.key, task.attempt, error, Timing(0.0, 0.0, 0.0, 0.0)))


def give_back(state: NannyState, task: NannyTask, missing: list[tuple[Key, int, HostId]]) -> None:
    """Return an attempt to the scheduler: it can't run here, or not any more."""
    move(task, GONE)
    state.remove_task(task)
    # With nothing missing it means: not here. The scheduler places it again, without anybody's fault.
    state.send(InputMissing(task.key, task.attempt, missing))
