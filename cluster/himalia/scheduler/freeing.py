"""What frees a result: nobody wants it and nothing that is ACTIVE needs it.  So are calls stopped, and tasks forgotten.

``settle`` judges a task that lost a wish or a dependent, and after it its inputs.  It works on an explicit stack, so
that a chain of 100,000 tasks is no recursion.  What hosts are to drop is collected, and told at the end of the event.
What a host does about that is decided by ``nanny/holding.py``.
"""

from __future__ import annotations

from typing import Final

from himalia.messages.nanny import FreeData
from himalia.names import Key
from himalia.scheduler.held import remove_held
from himalia.scheduler.placement import abandon, bury, refill
from himalia.scheduler.restrictions import drop_requirement
from himalia.scheduler.state import (
    ACTIVE,
    ASSIGNED,
    FINISHED,
    FORGOTTEN,
    RELEASED,
    HostState,
    SchedulerState,
    SchedulerTask,
    move,
)

FREED: Final = 100_000
"""Results named in one message: some 5 MB.  A client that leaves may have held millions."""


def settle(state: SchedulerState, task: SchedulerTask, *, interrupt: bool = False) -> None:
    """Stop, free or forget a task that is not needed any more, then look at its inputs.

    What was let go of may run to its end, where it runs; what was cancelled is interrupted, with all that ran for it.
    """
    stack = [task]
    while stack:
        task = stack.pop()
        # The stack may name a task twice, and something on it may have become needed since: asked again each time.
        if task.wanted_by or task.waiters or task.protected or task.status is FORGOTTEN:
            continue
        if task.status in ACTIVE:
            stop(state, task, interrupt=interrupt)
            stack.extend(drop_inputs(task))
        elif task.status is FINISHED and not (task.placed and task.dependents):
            # What can't be computed again stays, as long as something may be computed from it again.
            free(state, task)
        # One that others depend on stays known, without a result: they may be wanted again, and then it is computed
        # again.
        if not task.dependents:
            forget(state, task)
            stack.extend(task.dependencies)


def stop(state: SchedulerState, task: SchedulerTask, *, interrupt: bool) -> None:
    """Make an ACTIVE task RELEASED."""
    # abandon() clears it.
    host = task.host
    if task.status is ASSIGNED:
        abandon(state, task, interrupt=interrupt)
    move(task, RELEASED)
    # Of a task that stays known (dependents) it may be taken back when it is needed again: hence `stopped`.
    task.group.cancelled += 1
    if task.dependents:
        state.stopped[task] = None
    if host is not None:
        refill(state, host)


def drop_inputs(task: SchedulerTask) -> list[SchedulerTask]:
    """Count a dependent that left ACTIVE; return the inputs to settle."""
    for dependency in task.dependencies:
        dependency.waiters -= 1
    # Returned, not settled: the caller walks with a stack of its own, since a chain may be longer than Python's.
    return [dependency for dependency in task.dependencies if dependency.waiters == 0]


def release_inputs(state: SchedulerState, task: SchedulerTask) -> None:
    """Count a dependent that left ACTIVE; inputs that nobody needs any more are let go."""
    for dependency in task.dependencies:
        dependency.waiters -= 1
        # settle() would find out by itself; the look before it spares a call and a list for each input, and most inputs
        # have other readers.
        if dependency.waiters == 0 and not dependency.wanted_by:
            settle(state, dependency)


def free(state: SchedulerState, task: SchedulerTask) -> None:
    """Let go of a FINISHED task's result everywhere."""
    for host in task.holders:
        remove_held(host, task)
        state.to_free.setdefault(host, []).append((task.key, task.attempt))
    task.holders = ()
    task.group.memory -= task.nbytes
    # Last: the group counts by status, and its memory above is that of a FINISHED task.
    move(task, RELEASED)


def forget(state: SchedulerState, task: SchedulerTask) -> None:
    """Remove a task that nothing wants and nothing depends on."""
    # Before it leaves the table: the group counts a forgotten task among those there ever were.
    move(task, FORGOTTEN)
    del state.tasks[task.key]
    task.group.tasks -= 1
    if state.stopped:
        state.stopped.pop(task, None)
    if task.requirement is not None:
        drop_requirement(state, task.requirement)
    if task.function:
        function = state.functions[task.function]
        function.tasks -= 1
        # A client names a function for as long as it holds it in its own cache, so the pickle outlives its last task.
        if function.tasks == 0 and function.clients == 0:
            del state.functions[task.function]
    for dependency in task.dependencies:
        assert dependency.dependents is not None
        # With a default: forgetting walks from the ends of chains back, and an input that was forgotten before is cut
        # off already.
        dependency.dependents.pop(task, None)


def discard(state: SchedulerState, host: HostState, key: Key, attempt: int) -> None:
    """Have a host drop the result of an attempt that isn't current any more."""
    # Told at the end of the event, all in one message: what cleans up after a client names thousands.
    state.to_free.setdefault(host, []).append((key, attempt))
    bury(state, host, attempt)


def flush_frees(state: SchedulerState) -> None:
    """Tell each host once what it may drop."""
    for host, data in state.to_free.items():
        # One that left in this very event is told nothing; its results went with it.
        if host.id in state.hosts:
            for start in range(0, len(data), FREED):
                state.send(host, FreeData(data[start : start + FREED]))
    state.to_free.clear()
