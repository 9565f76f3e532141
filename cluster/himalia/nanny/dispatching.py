"""Which task goes to the workers next, and how many go ahead of them.

Every worker of the host reads one queue of the kernel, so a call waits there only while no thread of the host is free.
Whichever thread is first takes it.  Where workers have several threads, that may be one of a worker that computes,
while another one does nothing; so as long as fewer calls run than there are workers, each goes to an idle worker.
What it costs to be far ahead: a run in that queue can't be overtaken by one of higher priority.  So as many runs have
no end yet as there are threads, and of short calls some more: about ``AHEAD_SECONDS`` of work for every thread, as
long as there is room for their inputs (``admission``).

While the nanny is paused (its store is full) it starts something only when nothing runs: slow, but never stuck.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop
from typing import Final

from himalia.names import WorkerName
from himalia.nanny.admission import admits, excess_text, is_too_large
from himalia.nanny.runs import fail, give_back, start
from himalia.nanny.state import NannyState
from himalia.nanny.tasks import READY, NannyTask
from himalia.nanny.workers import NannyWorker, WorkerStatus

AHEAD_SECONDS: Final = 0.01
"""Seconds of expected work per thread that wait in the kernel.  A nanny's loop tick takes less than 2 ms under load."""
AHEAD_LIMIT: Final = 200
"""Runs that wait in the kernel at most: as many small datagrams fit into a socket's default buffer (212,992 bytes)."""


def dispatch(state: NannyState) -> None:
    """Start what any worker may run; called after every event while there is something ready."""
    ready = state.ready
    runs = state.runs
    loading = state.loading
    threads = state.threads
    # With one thread each, whoever is free is idle: the shared queue is right, and nothing has to be found out.
    spread = len(state.workers) if state.nthreads > 1 and len(state.workers) > 1 else 0
    while ready:
        task = ready[0][2]
        if task.status is READY:
            under_way = len(runs) + len(loading)
            # `under_way` counts calls whose inputs are read back: their threads are spoken for, or a disk would be
            # asked for inputs of calls that can't start.
            if under_way >= threads and (not threads or under_way >= room_for(state, task)):
                return
            if state.paused and under_way:  # with nothing under way one call goes on: it may be what frees memory
                return
            if task.compute.dependencies:
                # Only a failure that is certain: inputs that can never be in memory together.
                if excess := is_too_large(state, task):
                    # `continue` finds it no longer READY at the top of the heap, and pops it.
                    fail(state, task, excess_text(state, task, excess))
                    continue
                if not admits(state, task):  # nobody overtakes it: a large call would starve behind small ones
                    return
            start(state, task, idle_worker(state) if under_way < spread else None)
        heappop(ready)  # started now, or withdrawn before: nothing is taken out of a heap's middle


def idle_worker(state: NannyState) -> NannyWorker | None:
    """Return a worker that certainly runs nothing; None if nobody knows one: then whoever is free first takes a call.

    Of a call in the shared queue it is known which worker took it once the slots were read (:class:`Activity`).
    """
    # Looked up, not counted: which worker a run of the queue went to is known to the slots alone, and as of the last
    # look.
    busy: set[WorkerName] = set()
    for run, task in state.runs.items():
        # One run of which nobody knows the worker is enough: that worker may be any.
        name = task.worker or state.activity.worker_of(run)
        if name is None:
            return None
        busy.add(name)
    for worker in state.workers.values():
        if worker.status is WorkerStatus.UP and worker.alone is None and worker.name not in busy:
            return worker
    return None


def dispatch_targeted(state: NannyState) -> None:
    """Start what is bound to one worker; called after every event while there is such a thing."""
    # Set again below by each heap with something left: a flag that is only ever cleared here can't be forgotten.
    state.targeted = False
    for worker in in_turn(state):
        ready = worker.ready
        # No more than it has threads, since nobody else can take what lies in its own queue. Its heap can be overtaken,
        # its socket can't.
        while ready and worker.status is WorkerStatus.UP and worker.targeted < state.nthreads:
            if state.paused and (state.runs or state.loading):
                break
            task = ready[0][2]
            if task.status is READY:
                if excess := is_too_large(state, task):
                    fail(state, task, excess_text(state, task, excess))
                    continue
                if not admits(state, task):
                    # else calls of the shared queue reserve for ever what this one waits for
                    state.reserved.is_barred = True
                    break
                start(state, task, worker)
            heappop(ready)
        if ready:
            state.targeted = True


def in_turn(state: NannyState) -> Iterable[NannyWorker]:
    """Return all workers, the one first whose own task waits for room for its inputs: else others take it for ever."""
    blocked = state.reserved.blocked
    # Only tasks that are bound to a worker compete here; of the shared heap nobody is overtaken anyway.
    if blocked is None or blocked.status is not READY or not blocked.compute.worker:
        return state.workers.values()
    return sorted(state.workers.values(), key=lambda worker: worker.name != blocked.compute.worker)


def dispatch_alone(state: NannyState) -> None:
    """Start what has to run alone in a worker, one on each worker; called while there is such a thing."""
    waiting = []
    while state.alone:
        entry = heappop(state.alone)
        task = entry[2]
        if task.status is not READY:
            continue
        worker = free_for(state, task)
        if excess := is_too_large(state, task):
            fail(state, task, excess_text(state, task, excess))
        elif worker is not None and not (state.paused and (state.runs or state.loading)):
            if admits(state, task):
                worker.alone = task
                start(state, task, worker)
            else:
                state.reserved.is_barred = True
                waiting.append(entry)
        elif is_hopeless(state, task):
            give_back(state, task, [])
        else:
            waiting.append(entry)
    state.alone.extend(waiting)
    heapify(state.alone)


def free_for(state: NannyState, task: NannyTask) -> NannyWorker | None:
    """Return the worker that may run this alone, doesn't stand still, and has the shortest queue of its own."""
    bound_to = task.compute.worker
    free = [
        worker
        for worker in state.workers_up()
        if worker.alone is None and not worker.still and bound_to in ("", worker.name)
    ]
    return min(free, key=load_of, default=None)


def load_of(worker: NannyWorker) -> int:
    """Sort key: runs in the worker's own queue."""
    return worker.targeted


def is_hopeless(state: NannyState, task: NannyTask) -> bool:
    """Whether no planned worker may ever run this task."""
    bound_to = task.compute.worker
    return bound_to != "" and not any(worker.planned and worker.name == bound_to for worker in state.workers.values())


def room_for(state: NannyState, task: NannyTask) -> int:
    """Return how many runs may be without an end when this task goes to the shared queue."""
    threads = state.threads
    duration = task.group.duration
    if duration < 0.0:
        duration = task.compute.duration
        if duration < 0.0:
            return threads
    budget = AHEAD_SECONDS * threads
    if duration * AHEAD_LIMIT <= budget:
        return threads + AHEAD_LIMIT
    return threads + int(budget / duration)
