"""What a client sends in: calls, and values that it placed.

A submission may span several messages; nothing of it is forgotten before its end, for want of a dependent.
"""

from __future__ import annotations

from himalia.messages.client import DataPlaced, KeyTaken, ResultErred, ResultPending, Submit
from himalia.messages.parts import TaskError, TaskOptions, TaskSpec
from himalia.names import Key, PeerId, shorten
from himalia.scheduler.freeing import settle
from himalia.scheduler.held import add_held
from himalia.scheduler.restrictions import requirement_of
from himalia.scheduler.state import (
    ACTIVE,
    ERRED,
    FINISHED,
    RELEASED,
    ClientState,
    SchedulerState,
    SchedulerTask,
    move,
)
from himalia.scheduler.transitions import err, lost_error, need, set_result, tell_status, wake_dependents, want


def submit(state: SchedulerState, message: Submit, source: PeerId) -> None:
    """Take in calls: make the tasks that are new, start those that the client wants."""
    client = state.client(source)
    # The generation is the second part of a priority: what was submitted earlier runs earlier, for all clients
    # together. One number for all messages of a submission, or its last part would come behind another client's.
    if message.batch != client.batch:
        client.batch = message.batch
        client.generation = state.next_generation
        state.next_generation += 1
    enter_span(client, message.span)
    tasks = state.tasks
    # Started together at the end: need() sorts what is ready, so a message is placed by priority and not as it happens
    # to be ordered.
    started = []
    for spec in message.tasks:
        task = tasks.get(spec.key)
        if task is None:
            # Answered, not raised: an error here would end the session and with it every future of this client, for one
            # bad call.
            if spec.function and spec.function not in state.functions:
                refuse(state, client, spec, "its function was not sent before it; this is a fault of the client")
                continue
            if spec.key in spec.dependencies:
                refuse(state, client, spec, "it would need its own result")
                continue
            task = create(state, client, spec)
        # A placeholder: an input that was named before it existed, or a placed value that is lost. Its key may be given
        # a call now.
        elif task.placed and task.status is ERRED:
            # Only here can a circle close: a new task has no dependents, so what it names can't lead back to it.
            if needs_itself(task, spec):
                refuse(state, client, spec, "it needs, directly or not, what was computed from an earlier value of it")
                continue
            redefine(state, client, task, spec)
        # The same key is the same task, whoever submits it. A name that a person chose may mean something else this
        # time.
        elif spec.options is not None and spec.options.origin:
            compare(state, client, task, spec.options.origin)
        if spec.wanted:
            want(state, client, task)
            # It was known as somebody's input, without a result; now a client wants it.
            if task.status is RELEASED:
                started.append(task)
            else:
                tell_status(state, client, task)
        else:
            protect(client, task)
    if started:
        need(state, started)
    # Not before: a graph may span several messages, and its first tasks have no dependents and no client until the
    # others are here.
    if message.last and client.protected:
        end_submission(state, client)


def enter_span(client: ClientState, span: str) -> None:
    """Note under which span a client submits from now on."""
    span = span or str(client.id)
    if span != client.span:
        client.span = span
        # The names are the same, the groups aren't: a group is a name and a span.
        client.groups = {}


def refuse(state: SchedulerState, client: ClientState, spec: TaskSpec, why: str) -> None:
    """Answer a call that can't be taken."""
    text = f"{shorten(spec.key)} was refused: {why}."
    state.tell(client, spec.key, ResultErred(spec.key, TaskError(kind="refused", key=spec.key, text=text)))


def compare(state: SchedulerState, client: ClientState, task: SchedulerTask, origin: str) -> None:
    """Tell a client whose key is in use for something else: other clients want that, or calls that aren't done need it.

    A task without an origin has a name that says what it is.
    """
    before = "" if task.options is None else task.options.origin
    if before and before != origin:
        state.send(client, KeyTaken(task.key, before, origin))


def create(state: SchedulerState, client: ClientState, spec: TaskSpec) -> SchedulerTask:
    """Make the task that ``spec`` describes, RELEASED; a dependency that doesn't exist is made an erred one."""
    task = SchedulerTask(spec.key, state.group(client, spec.group))
    state.tasks[spec.key] = task
    task.group.tasks += 1
    describe(state, client, task, spec)
    return task


def redefine(state: SchedulerState, client: ClientState, task: SchedulerTask, spec: TaskSpec) -> None:
    """Make a call of a key whose value was placed and is lost, or that was named as an input and never existed."""
    move(task, RELEASED)  # which its group counts, so this comes first
    task.group.tasks -= 1
    task.group = state.group(client, spec.group)
    task.group.tasks += 1
    task.placed = False
    task.error = None
    task.strikes = 0
    describe(state, client, task, spec)
    for wanting in task.wanted_by:
        if wanting is not client:
            state.tell(wanting, task.key, ResultPending(task.key))


def needs_itself(task: SchedulerTask, spec: TaskSpec) -> bool:
    """Whether ``spec``, as the call of a task that others depend on already, would close a circle."""
    # Walked from what exists already: dependents of this key are few, its new inputs may have a graph of thousands
    # behind them.
    inputs = set(spec.dependencies)
    seen = {task}
    stack = [task]
    while stack:
        member = stack.pop()
        if member.key in inputs:
            return True
        fresh = [dependent for dependent in member.dependents or () if dependent not in seen]
        seen.update(fresh)
        stack.extend(fresh)
    return False


def describe(state: SchedulerState, client: ClientState, task: SchedulerTask, spec: TaskSpec) -> None:
    """Enter what ``spec`` says of a task that has no call yet."""
    task.function = spec.function
    task.call = spec.call
    task.argument = spec.argument
    options = spec.options
    # Most tasks have none, and a shared nothing is a million objects less.
    if options is None:
        task.priority = (0.0, client.generation, spec.order)
    else:
        task.options = options
        task.priority = (-options.priority, client.generation, spec.order)
        task.retries = options.retries
        task.requirement = requirement_of(state, task)
    if spec.function:
        state.functions[spec.function].tasks += 1
    if spec.dependencies:
        # Each input once, in the order in which it was named: `waiters` counts dependents, and ties between hosts are
        # decided by this order.
        task.dependencies = tuple([find_input(state, client, key, spec) for key in dict.fromkeys(spec.dependencies)])
        for dependency in task.dependencies:
            if dependency.dependents is None:
                dependency.dependents = {}
            dependency.dependents[task] = None


def find_input(state: SchedulerState, client: ClientState, key: Key, spec: TaskSpec) -> SchedulerTask:
    """Return the task of an input; one that nobody knows becomes an erred task, so that its dependents say why."""
    task = state.tasks.get(key)
    if task is None:
        task = state.tasks[key] = SchedulerTask(key, state.group(client, spec.group))
        task.group.tasks += 1
        task.group.placed += 1
        task.placed = True
        # Else nothing would hold it until its dependent is entered, a few lines on.
        protect(client, task)
        text = (
            f"{shorten(key)}, an input of {shorten(spec.key)}, is not on this cluster: it was cancelled or released, "
            f"the cluster was restarted, or its future belongs to another cluster. Compute it again before using it."
        )
        move(task, ERRED)
        task.error = TaskError(kind="lost", key=key, text=text)
    return task


def protect(client: ClientState, task: SchedulerTask) -> None:
    """Keep an unwanted task until the client's submission is complete."""
    if task not in client.protected:
        client.protected[task] = None
        # A number, since two clients may be submitting graphs with the same task in it.
        task.protected += 1


def end_submission(state: SchedulerState, client: ClientState) -> None:
    """Judge what was protected while a submission came in."""
    protected, client.protected = client.protected, {}
    # Two loops: in one, the first task would be judged while its inputs are still protected, and they would stay for
    # good.
    for task in protected:
        task.protected -= 1
    for task in protected:
        settle(state, task)


def place_data(state: SchedulerState, message: DataPlaced, source: PeerId) -> None:
    """Enter a value that a client put into a host's store."""
    client = state.client(source)
    host = state.hosts.get(message.host)
    task = state.tasks.get(message.key)
    # Attempts of placed values are negative numbers of the client's own; the same one again is another copy, or the
    # announcement of one that the nanny announced already.
    if task is not None and task.status in ACTIVE | {FINISHED} and task.attempt != message.attempt:
        # The key has a value, or is about to: the one that was placed now is superfluous.
        if host is not None:
            state.to_free.setdefault(host, []).append((message.key, message.attempt))
        if message.wanted:
            if message.origin:
                compare(state, client, task, message.origin)
            want(state, client, task)
            tell_status(state, client, task)
        return
    if task is None:
        task = state.tasks[message.key] = SchedulerTask(message.key, state.group(client, message.group))
        task.group.tasks += 1
        task.group.placed += 1
        task.placed = True
        if message.origin:
            task.options = TaskOptions(origin=message.origin)
    if message.wanted:
        want(state, client, task)
    else:
        protect(client, task)
    if task.status is ERRED:
        move(task, RELEASED)
        if not task.placed:
            task.group.erred -= 1
        task.error = None
    # The host left between taking the value and this message; there is no other copy.
    if host is None:
        if task.status is RELEASED:
            err(state, task, lost_error(task))
    elif task.status is RELEASED:
        task.attempt = message.attempt
        task.strikes = 0  # complaints were about the value that was there before
        set_result(state, task, host, message.nbytes, message.type_name)
        wake_dependents(state, task)
    elif host not in task.holders:
        task.holders = (*task.holders, host)
        add_held(host, task)
    for wanting in task.wanted_by:
        tell_status(state, wanting, task)
