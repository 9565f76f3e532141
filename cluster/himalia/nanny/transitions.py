"""The life of a task on its host, from its assignment to its result or error.

A result is judged by its run: what comes from a run that was withdrawn, replaced or lost is thrown away, whatever state
the key is in by then.
"""

from __future__ import annotations

import msgspec

from himalia.messages.nanny import Compute, TaskFailed, TaskFinished
from himalia.messages.parts import Timing
from himalia.messages.worker import Raised, Returned
from himalia.names import Key, PeerId, WorkerName
from himalia.nanny.dispatching import free_for
from himalia.nanny.events import (
    AdoptResult,
    DataUnreadable,
    DispatchDelayed,
    DispatchFailed,
    FreeFromStore,
    HandBack,
    InputsLoaded,
    StoreInline,
    Unload,
)
from himalia.nanny.fetching import fetch_inputs
from himalia.nanny.holding import data_unreadable
from himalia.nanny.runs import begin_loading, end_loading, end_run, fail, give_back, make_ready, start
from himalia.nanny.state import NannyState
from himalia.nanny.tasks import DISPATCHED, GONE, READY, NannyGroup, NannyTask, move
from himalia.nanny.withdrawing import drop, end_withdrawn, keep_after_all, refused
from himalia.nanny.workers import WorkerStatus

SMOOTHING = 0.2
"""Weight of the newest call in the moving average of a group's duration; as in ``telemetry/groups.py``."""


def compute(state: NannyState, message: Compute, source: PeerId) -> None:
    """Take in an attempt; it replaces an older one of its key."""
    old = state.tasks.get(message.key)
    if old is not None:
        if old.attempt >= message.attempt:
            return
        # The scheduler gave the older one up (it counted this host as lost, say), and will ignore what comes of it; its
        # thread is needed.
        drop(state, old)
    # get() first: a call for each of 10,000 tasks/s is worth the repetition.
    task = NannyTask(message, state.groups.get(message.group) or state.group(message.group))
    state.add_task(task)
    if message.dependencies:
        fetch_inputs(state, task)
        # WAITING, or given back already: nobody has an input.
        if task.status is not READY:
            return
    make_ready(state, task)


def returned(state: NannyState, message: Returned, source: PeerId) -> None:
    """Keep the result of a run and report it, if somebody still wants it."""
    task = state.runs.get(message.run)
    place = message.place
    worker = WorkerName(source)
    # Lines first, so that a client never has a result before what was printed on the way to it.
    if state.output.pending and task is not None:
        state.output.finish(task.key)
    # What nobody wants isn't even entered; the range that it lies in goes back to the worker's grant.
    if task is None or (task.status is not DISPATCHED and not keep_after_all(state, task)):
        if place.inline is None:
            state.out.append(HandBack(worker, place.offset, place.sizes))
        if task is not None:
            end_withdrawn(state, task, message.timing)
        return
    end_run(state, task)
    move(task, GONE)
    state.remove_task(task)
    key, attempt, out = task.key, task.attempt, state.out
    if key in state.held.newest:
        # Two results of one key are the same, if it was computed; the scheduler asks for the attempt that it was told
        # last.
        for older in state.held.attempts_of(key):
            if 0 <= older < attempt:  # others are of a later use of the key, of which this host may not have heard yet
                out.append(FreeFromStore(key, older))
                state.held.remove(key, older)
    state.held.add(key, attempt, message.nbytes, task.digest)
    data = place.inline
    if data is not None:
        out.append(StoreInline(key, attempt, data))
        # Kept here and not sent along: no client asked for an intermediate result.
        if not task.compute.wanted:
            data = None
    else:
        out.append(AdoptResult(key, attempt, worker, place.offset, place.sizes))
    # The worker knows nothing of the wait before the call; of the transfer only the nanny can tell.
    timing = finish_timing(task, message.timing)
    state.send(TaskFinished(key, attempt, worker, message.nbytes, message.type_name, timing, data))


def raised(state: NannyState, message: Raised, source: PeerId) -> None:
    """Report that a run failed; or run again what was refused although somebody wants it."""
    task = state.runs.get(message.run)
    if task is None:
        # A worker that was stopped with a run in its hands refuses it when it goes on; somebody else has run it since.
        if state.recalled:
            refused(state, message.run)
        return
    if state.output.pending:
        state.output.finish(task.key)
    # It was recalled and wanted again before anybody took it: the mark was seen by a worker a moment too early. Nothing
    # was lost.
    if message.error.kind == "refused" and task.status is DISPATCHED:
        end_run(state, task)
        make_ready(state, task)
        return
    if task.status is not DISPATCHED and (message.error.kind == "refused" or not keep_after_all(state, task)):
        end_withdrawn(state, task, message.timing)
        return
    end_run(state, task)
    move(task, GONE)
    state.remove_task(task)
    # Filled in here: a worker knows its call by the number of a run.
    error = msgspec.structs.replace(message.error, key=task.key, worker=source)
    state.send(TaskFailed(task.key, task.attempt, error, finish_timing(task, message.timing)))


def dispatch_failed(state: NannyState, event: DispatchFailed, source: PeerId) -> None:
    """Give back a task whose inputs turned out to be unreadable, or that could not be sent to a worker at all."""
    task = state.runs.get(event.run)
    if task is None:
        return
    if task.status is not DISPATCHED and not keep_after_all(state, task):
        end_withdrawn(state, task)
        return
    end_run(state, task)
    give_up(state, task, event.unreadable, event.reason)


def dispatch_delayed(state: NannyState, event: DispatchDelayed, source: PeerId) -> None:
    """Have inputs read back first."""
    task = state.runs.get(event.run)
    if task is None:
        return
    if task.status is DISPATCHED or keep_after_all(state, task):
        begin_loading(state, task)
    else:
        end_withdrawn(state, task)


def inputs_loaded(state: NannyState, event: InputsLoaded, source: PeerId) -> None:
    """Dispatch a task whose inputs are in memory now: it has waited for long enough."""
    task = state.loading.get(event.key)
    # Withdrawn while the disk was read; Unload went out with that.
    if task is None or task.attempt != event.attempt:
        return
    if event.unreadable or event.problem:
        end_loading(state, task)
        give_up(state, task, event.unreadable, event.problem)
        return
    bound_to = task.compute.worker
    worker = (
        free_for(state, task) if task.compute.alone else state.workers.get(WorkerName(bound_to)) if bound_to else None
    )
    # Its worker died, or is taken by another call that runs alone: back into the heap, and the inputs may go to disk
    # again.
    if (bound_to or task.compute.alone) and (worker is None or worker.status is not WorkerStatus.UP):
        end_loading(state, task)
        make_ready(state, task)
        return
    del state.loading[task.key]
    if worker is not None and task.compute.alone:
        worker.alone = task
    # Not through dispatch(): it has been admitted, its inputs are in memory only for it, and others must not come
    # before.
    start(state, task, worker)
    # After the Dispatch, by which the inputs are mapped: in between they must not move.
    state.out.append(Unload(task.key, task.attempt))


def give_up(state: NannyState, task: NannyTask, unreadable: list[Key], reason: str) -> None:
    """Give back a task whose inputs can't be read, or fail it (none) for ``reason``."""
    # Nothing is broken, there just is no room, or no way to send it: the same would happen elsewhere, so the call
    # fails.
    if not unreadable:
        fail(state, task, reason)
        return
    # The store says which keys; the scheduler has to hear which attempts of them were needed.
    attempts = {dependency.key: dependency.attempt for dependency in task.compute.dependencies}
    for key in unreadable:
        held = state.held.find_good(key, attempts[key])
        if held is not None:
            data_unreadable(state, DataUnreadable(key, held, reason), source=PeerId(""))
    give_back(state, task, [(key, attempts[key], state.info.host) for key in unreadable])


def finish_timing(task: NannyTask, timing: Timing) -> Timing:
    """Learn from a timing, and return it with the time that the nanny knows."""
    observe(task.group, timing.deserialize + timing.compute + timing.serialize)
    if task.transfer or task.moved:
        return msgspec.structs.replace(timing, transfer=task.transfer, moved=task.moved)
    return timing


def observe(group: NannyGroup, seconds: float) -> None:
    """Update what is known of a group's duration."""
    duration = group.duration
    # An average that forgets: calls of one name grow with their data in the course of a notebook.
    group.duration = seconds if duration < 0.0 else duration + SMOOTHING * (seconds - duration)
