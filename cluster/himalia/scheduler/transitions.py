"""The life of a task: wanted, needed, finished, failed, erred.  What frees its result is decided in ``freeing``.

Two rules drive it all.  A task is *needed* while a client wants it or a dependent is ACTIVE; ``need`` starts what is
needed, ``freeing.settle`` stops what isn't.  Both work on an explicit stack, so that a chain of 100,000 tasks is no
recursion.
"""

from __future__ import annotations

from collections.abc import Iterable

from himalia.messages.client import ResultErred, ResultPending, ResultReady
from himalia.messages.nanny import TaskFailed, TaskFinished
from himalia.messages.parts import TaskError, Timing
from himalia.names import Key, PeerId, shorten
from himalia.scheduler.freeing import discard, release_inputs, settle
from himalia.scheduler.held import add_held
from himalia.scheduler.placement import abandon, bury, leave_host, place, refill, refill_all
from himalia.scheduler.state import (
    ACTIVE,
    ASSIGNED,
    ERRED,
    FINISHED,
    RELEASED,
    WAITING,
    ClientState,
    HostState,
    SchedulerState,
    SchedulerTask,
    move,
)


def want(state: SchedulerState, client: ClientState, task: SchedulerTask) -> None:
    """Note that a client holds a future of a task."""
    # Both directions are kept: a client that leaves walks its own `wants`, a result that comes walks `wanted_by`. A
    # tuple for the second, since nearly every task has one client and an empty tuple costs nothing.
    if task not in client.wants:
        client.wants[task] = None
        task.wanted_by = (*task.wanted_by, client)
        if client.window.held:
            client.window.held.pop(task.key, None)  # old news: that the task before was cancelled, say


def unwant(task: SchedulerTask, client: ClientState) -> bool:
    """Note that a client doesn't hold a future of a task any more; return whether it did."""
    if task not in client.wants:
        return False
    del client.wants[task]
    if client.window.held:
        client.window.held.pop(task.key, None)  # a key that is used again must not get news of the task before
    task.wanted_by = tuple([other for other in task.wanted_by if other is not client])
    return True


def tell_status(state: SchedulerState, client: ClientState, task: SchedulerTask) -> None:
    """Tell a client that begins to want a task how it stands, unless it only has to wait."""
    # Silence means "wait": a client whose key is under way hears of it when it settles, so that a submission of a
    # million calls has no million answers.
    if task.status is FINISHED or task.status is ERRED:
        state.tell(client, task.key, status_message(task))


def status_message(task: SchedulerTask) -> ResultReady | ResultErred | ResultPending:
    """Say how a task stands, to a client that wants it."""
    if task.status is FINISHED:
        return ready_message(task, None)
    if task.status is ERRED:
        assert task.error is not None
        return ResultErred(task.key, task.error)
    return ResultPending(task.key)


def ready_message(task: SchedulerTask, data: bytes | None) -> ResultReady:
    """Say that a task is in memory, and where."""
    holders = tuple([host.id for host in task.holders])
    return ResultReady(task.key, task.attempt, task.nbytes, task.type_name, holders, data)


def need(state: SchedulerState, tasks: Iterable[SchedulerTask]) -> None:
    """Start RELEASED tasks, and the inputs that they need and that aren't in memory."""
    # What is ready is collected first and placed after the walk: placing changes what hosts have, and err() below may
    # meanwhile end tasks that are in this list already.
    ready: list[SchedulerTask] = []
    stopped = state.stopped
    stack = list(tasks)
    stack.reverse()  # what was named first is placed first, among equals
    while stack:
        task = stack.pop()
        if task.status is not RELEASED or not (task.waiters or task.wanted_by):
            continue  # the second: whoever needed it turned out to have another input that erred
        # It was counted as cancelled when it was stopped; now it lives on after all, since a dependent wants it again.
        if stopped and task in stopped:
            del stopped[task]
            task.group.cancelled -= 1
        if task.placed:
            # There is no call that could make it again: its dependents have to hear that, instead of waiting for ever.
            err(state, task, lost_error(task))
            continue
        if not task.dependencies:
            ready.append(task)
            continue
        move(task, WAITING)
        task.waiting_on = 0
        erred: SchedulerTask | None = None
        for dependency in task.dependencies:
            # Counted even if the input is there or has erred: this task is WAITING, hence ACTIVE, and err() and stop()
            # take one off for each input of an ACTIVE task.
            dependency.waiters += 1
            status = dependency.status
            if status is FINISHED:
                continue
            task.waiting_on += 1
            if status is RELEASED:
                stack.append(dependency)
            # Not ended on the spot: the loop has to have counted all inputs before err() gives them back.
            elif status is ERRED:
                erred = dependency
        if erred is not None:
            assert erred.error is not None
            err(state, task, erred.error)
        elif task.waiting_on == 0:
            ready.append(task)
    # Mostly it is one, and a sort of one still costs its key.
    if len(ready) > 1:
        ready.sort(key=priority_of)
    for task in ready:
        # The list is as old as the walk: an err() in between, or a place() of a moment ago, may have moved this one on.
        status = task.status
        if (status is WAITING and task.waiting_on == 0) or (status is RELEASED and (task.waiters or task.wanted_by)):
            place(state, task)
    # place() queues what has something of higher priority before it and trusts that whoever freed a slot refills. Here
    # nobody freed one, so hosts with room are filled now.
    if state.open and state.queue:
        refill_all(state)


def priority_of(task: SchedulerTask) -> tuple[float, int, int]:
    """Sort key: what comes first runs first."""
    return task.priority


def finish(state: SchedulerState, message: TaskFinished, source: PeerId) -> None:
    """Take in a result, if its attempt is the current one; wake what waited for it and free what only it needed."""
    host = state.host(source)
    task = state.tasks.get(message.key)
    # The key may have been released, cancelled, stolen or submitted anew since: then this result is nobody's, and its
    # host keeps it until it is told to drop it.
    if task is None or task.attempt != message.attempt or task.status is not ASSIGNED or task.host is not host:
        waste(host, message.attempt, message.timing)
        discard(state, host, message.key, message.attempt)
        return
    # The order matters from here on: off the host first (its room is right for whoever is placed below), then the
    # result into the books (dependents look for holders), clients, dependents, inputs, and the host's refill last.
    leave_host(state, task)
    set_result(state, task, host, message.nbytes, message.type_name)
    task.group.add_completion(message.timing, message.nbytes)
    state.log.add((task.key, task.group.name, host.id, message.worker, "ok", message.timing, message.nbytes))
    wanted = task.wanted_by
    if wanted:
        ready = ResultReady(task.key, task.attempt, task.nbytes, task.type_name, (host.id,), message.data)
        for client in wanted:
            # A value rides along only while little is under way to this client; one that stands still would have all of
            # them kept for it (note 0012). It can ask the holders itself.
            window = client.window
            if window.held or window.under_way > window.values:
                state.tell(client, task.key, ready_message(task, None))
            else:
                state.send(client, ready)
    if task.dependents:
        wake_dependents(state, task)
    if task.dependencies:
        release_inputs(state, task)
    # Nobody waits for it any more: its only client let go of it while the result was on its way.
    if not wanted and task.waiters == 0:
        settle(state, task)
    refill(state, host)


def set_result(state: SchedulerState, task: SchedulerTask, host: HostState, nbytes: int, type_name: str) -> None:
    """Note that a task is in memory at a host."""
    move(task, FINISHED)
    task.holders = (host,)
    task.nbytes = nbytes
    group = task.group
    group.memory += nbytes
    # The peak is what a person wants to see of a graph that ran flat or didn't; it can't be found afterwards from
    # samples.
    if group.memory > group.peak:
        group.peak = group.memory
    # Each message brings a string of its own; a million tasks of one type share one object this way.
    task.type_name = state.type_names.setdefault(type_name, type_name)
    add_held(host, task)


def wake_dependents(state: SchedulerState, task: SchedulerTask) -> None:
    """Count one more input in memory for each waiting dependent, and place those that have all."""
    ready = []
    for dependent in task.dependents or ():
        # One that is QUEUED or ASSIGNED had all its inputs once already; this input was lost and computed again for
        # somebody else.
        if dependent.status is WAITING:
            dependent.waiting_on -= 1
            if dependent.waiting_on == 0:
                ready.append(dependent)
    if len(ready) > 1:
        # Dependents are in the order of their submission, which differs from their priority where a person gave one.
        ready.sort(key=priority_of)
    for dependent in ready:
        place(state, dependent)


def waste(host: HostState, attempt: int, timing: Timing) -> None:
    """Count the time of a call that ended when nobody wanted it any more."""
    # An attempt that isn't a zombie either was never ours to count: its group is gone with its task.
    zombie = host.zombies.get(attempt)
    if zombie is not None:
        zombie.group.waste(timing)


def fail(state: SchedulerState, message: TaskFailed, source: PeerId) -> None:
    """Take in that an attempt raised: try again if retries are left, else the task and its dependents err."""
    host = state.host(source)
    task = state.tasks.get(message.key)
    if task is None or task.attempt != message.attempt or task.status is not ASSIGNED or task.host is not host:
        waste(host, message.attempt, message.timing)
        bury(state, host, message.attempt)
        return
    leave_host(state, task)
    task.group.failed += 1
    task.group.waste(message.timing)
    error = message.error
    state.log.add((task.key, task.group.name, host.id, error.worker, "error", message.timing, 0))
    state.count_error(task, error)
    # Retries are for exceptions only. A worker that died has its strikes (deaths.py), and a lost input says nothing
    # about this call.
    if task.retries > 0:
        task.retries -= 1
        state.events.add(state.now, "retried", task.key, f"attempt {task.tries} failed on {error.worker}: {error.text}")
        start_again(state, task)
    else:
        # The nanny knows this attempt only; how many there were is told here.
        tried = TaskError(
            error.kind, task.key, error.text, error.exception, error.frames, error.worker, attempts=task.tries
        )
        err(state, task, tried)
    refill(state, host)


def start_again(state: SchedulerState, task: SchedulerTask) -> None:
    """Send a task that left its host (``leave_host``) on its way once more, when its inputs are in memory."""
    wait_for_inputs(task)
    place_if_ready(state, task)


def wait_for_inputs(task: SchedulerTask) -> None:
    """Make a task that left its host WAITING for those inputs that aren't in memory (all of them are under way)."""
    move(task, WAITING)
    # Counted afresh instead of kept right: while it was ASSIGNED nobody updated the number, and inputs come and go
    # then.
    task.waiting_on = sum([dependency.status is not FINISHED for dependency in task.dependencies])


def place_if_ready(state: SchedulerState, task: SchedulerTask) -> None:
    """Place a WAITING task, unless it got its place meanwhile or still waits."""
    # Between wait_for_inputs() and this, recover() may have started the lost inputs, and a result among them may have
    # placed it.
    if task.status is WAITING and task.waiting_on == 0:
        place(state, task)


def err(state: SchedulerState, task: SchedulerTask, error: TaskError) -> None:
    """End a task that is RELEASED, or ACTIVE but at no host, with an error, and all active dependents with it."""
    stack = [task]
    while stack:
        task = stack.pop()
        if task.status is ERRED:
            continue
        # A RELEASED task counts in no input's `waiters`, so it has nothing to give back below.
        was_active = task.status in ACTIVE
        if task.status is ASSIGNED and task.host is not None:
            # It was placed when all its inputs were there; one of them was placed data, and its last holder is gone.
            abandon(state, task, interrupt=False)
        move(task, ERRED)
        if not task.placed:
            task.group.erred += 1
        task.error = error
        for client in task.wanted_by:
            # The error names the key that failed first, and each client hears it under the key that it holds.
            state.tell(client, task.key, ResultErred(task.key, error))
        if task.dependents:
            # RELEASED dependents stay as they are: nobody wants them now, and who does later meets the erred input in
            # need().
            stack.extend([dependent for dependent in task.dependents if dependent.status in ACTIVE])
        if was_active:
            release_inputs(state, task)
        # It may be that nobody wants it: an intermediate step, whose error its dependents carry on.
        settle(state, task)


def lost_error(task: SchedulerTask) -> TaskError:
    """Describe placed data whose last host is gone."""
    return TaskError(
        kind="lost",
        key=task.key,
        text=f"{shorten(task.key)} was placed on the cluster by a client (scatter, or a large argument) and its last "
        f"host is gone. Data that were not computed can't be computed again: scatter or submit them again.",
    )


def unknown_error(key: Key) -> TaskError:
    """Describe a key that a client asks for and nobody knows."""
    text = f"{shorten(key)} is not on this cluster: it was released or cancelled, or the cluster was restarted."
    return TaskError(kind="lost", key=key, text=text)
