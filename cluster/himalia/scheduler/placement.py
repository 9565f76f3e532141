"""Which host gets a ready task, and which ready tasks wait here.  It never decides whether a task is needed.

A host is **idle** while it has fewer calls than threads, and **open** while the work sent ahead of its threads is less
than ``settings.queue_seconds``.  A task without inputs goes to an idle host, then to an open one, else it waits in the
queue: so roots are held back, a graph is finished depth-first and memory stays flat.  A task with inputs goes where
``bytes to move / bandwidth + queue`` is least, and hosts accept ``DEPTH`` times more of those, since they free memory.
A task that asks for certain workers or resources is bound to one worker and waits in the queue of its requirement.

An idle host for which nothing is queued asks for a call of a host that has more than its threads can run (stealing).
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from himalia.messages.nanny import Compute, Withdraw
from himalia.messages.parts import Dependency, ForgetFunctions, FunctionBody
from himalia.names import Digest, digest
from himalia.scheduler.queue import TaskQueue
from himalia.scheduler.restrictions import change_used, eligible, has_room
from himalia.scheduler.state import (
    ASSIGNED,
    QUEUED,
    HostState,
    Requirement,
    SchedulerState,
    SchedulerTask,
    WorkerState,
    Zombie,
    move,
)

DEPTH: Final = 10
"""How many times ``queue_seconds`` of tasks with inputs a host is given before they wait here: half a second of work.
Measured on one host of two workers: with 1 and 10, a tree of 2,047 calls and 3,000 calls of one input take the same,
with 100 a sixth more.  What is sent can go elsewhere only by stealing when a host turns out slow (:data:`VICTIMS`)."""

VICTIMS: Final = 8
"""Loaded hosts that an idle one looks at before it gives up until the next tick.
dask.distributed looks at the ten most loaded (``WorkStealing.balance``)."""

LEAST_ESTIMATE: Final = 20e-6
"""Seconds of a thread that even an empty call takes on its way through nanny and worker (measured: 10 to 20 µs)."""


def place(state: SchedulerState, task: SchedulerTask) -> None:
    """Give a task whose inputs are in memory, or that has none, to a host, or queue it."""
    requirement = task.requirement
    if requirement is not None:
        place_restricted(state, task, requirement)
        return
    queue = state.queue
    # The test for an empty queue is worth its line: this is asked for every task, and most find it empty.
    first = queue.first() if queue else None
    if first is not None and first.priority < task.priority:
        enqueue(state, queue, task)  # whoever freed a slot refills it from the queue afterwards
        return
    host = choose_near_data(state, task, None) if task.dependencies else choose_free(state)
    if host is None:
        enqueue(state, queue, task)
    else:
        assign(state, task, host, None)


def enqueue(state: SchedulerState, queue: TaskQueue, task: SchedulerTask) -> None:
    """Hold a ready task back."""
    # A number of its own for every entry: a task that leaves the queue in another way (cancelled, or an input was lost)
    # isn't looked for there; its entry is void because the number no longer fits.
    number = state.next_queued
    state.next_queued = number + 1
    move(task, QUEUED)
    task.queued = number
    queue.push((task.priority, number, task))


def choose_free(state: SchedulerState) -> HostState | None:
    """Return an idle host, else an open one, in turn."""
    # The first of an ordered dict: rotate() moves a host that was served to the end, so that this is a round robin
    # without a counter, the same for every hash seed.
    for host in state.idle:
        return host
    for host in state.open:
        return host
    return None


def choose_near_data(state: SchedulerState, task: SchedulerTask, spare: HostState | None) -> HostState | None:
    """Return the host with the least bytes to move and queue, among holders of inputs and ``spare`` or a free one."""
    # The usual case of a notebook: nothing to choose, and no tables to be filled for it.
    if len(state.hosts) == 1:
        only = next(iter(state.hosts.values()))
        return only if accepts(state, only) else None
    total = 0
    local: dict[HostState, int] = {}  # in the order of the inputs, so that ties end alike whatever the hash seed
    for dependency in task.dependencies:
        nbytes = dependency.nbytes
        # What isn't local has to come, whoever is chosen: the cost of a host is the total less what it has.
        total += nbytes
        for holder in dependency.holders:
            local[holder] = local.get(holder, 0) + nbytes
    # A host without any of the inputs may still be first: moving 1 kB is cheaper than waiting behind a minute of work.
    free = spare or choose_free(state)
    if free is not None:
        local.setdefault(free, 0)
    best: HostState | None = None
    least = 0.0
    for host, nbytes in local.items():
        if not accepts(state, host):
            continue
        # Both in seconds. Inputs that several holders have are counted as local for each; how busy the link is isn't
        # known.
        cost = move_cost(state, total - nbytes) + host.occupancy / host.nthreads
        # Strictly less, so that of equals the holder of the first input wins, always the same one.
        if best is None or cost < least:
            best, least = host, cost
    return best


def move_cost(state: SchedulerState, nbytes: int) -> float:
    """Return the expected seconds to bring ``nbytes`` of other hosts."""
    return state.settings.latency + nbytes / state.settings.bandwidth if nbytes > 0 else 0.0


def accepts(state: SchedulerState, host: HostState) -> bool:
    """Whether a host takes another task that has inputs."""
    if host.is_open:
        return True
    return (
        not host.paused and host.nthreads > 0 and host.occupancy < host.nthreads * DEPTH * state.settings.queue_seconds
    )


def assign(state: SchedulerState, task: SchedulerTask, host: HostState, worker: WorkerState | None) -> None:
    """Send a ready task to a host, as a new attempt."""
    # One counter for all tasks, never reused: a key that was forgotten and submitted again can't meet the number of its
    # former life in a message that is still under way.
    attempt = state.next_attempt
    state.next_attempt = attempt + 1
    task.attempt = attempt
    task.tries += 1
    task.host = host
    task.worker = worker
    move(task, ASSIGNED)
    group = task.group
    duration = group.pace.duration
    # The first call of a function is nobody's average; a guess that is too short would send hundreds ahead of it.
    estimate = duration if duration >= 0.0 else state.settings.unknown_duration
    # Kept with the task: the average moves on meanwhile, and what is subtracted later has to be what was added now, or
    # a host's occupancy drifts.
    task.estimate = estimate = estimate if estimate > LEAST_ESTIMATE else LEAST_ESTIMATE
    host.assigned[task] = None
    host.occupancy += estimate
    task.digest = digest(task.key, attempt)
    host.attempts_tally ^= task.digest
    if worker is not None:
        occupy(task, worker, +1)
    # Before the Compute that names it: the session keeps the order, so it is there when it is needed.
    if task.function:
        define_function(state, host, task.function)
    dependencies = task.dependencies
    state.send(
        host,
        Compute(
            task.key,
            attempt,
            group.name,
            task.function,
            task.call,
            task.argument,
            tuple(locate(dependency, host) for dependency in dependencies) if dependencies else (),
            task.priority,
            duration,
            # Whether the value should ride back inside TaskFinished: of intermediate results nobody asks for it.
            bool(task.wanted_by),
            # Alone in its worker from the first death on: the next one has a single suspect.
            task.strikes > 0,
            worker.info.name if worker is not None else "",
        ),
    )
    update_room(state, host)
    # A host that is full isn't in the tables that are rotated.
    if host.is_open and len(state.hosts) > 1:
        rotate(state, host)


def locate(dependency: SchedulerTask, host: HostState) -> Dependency:
    """Say where an input is; a host that has it needs no list."""
    holders = dependency.holders
    others = () if host in holders else tuple([holder.id for holder in holders])
    return Dependency(dependency.key, dependency.attempt, dependency.nbytes, others)


def define_function(state: SchedulerState, host: HostState, function: bytes) -> None:
    """Make sure that a host knows a function before it is named."""
    known = host.functions
    if function in known:
        return
    known[function] = None
    state.send(host, FunctionBody(Digest(function), state.functions[function].body))
    # The oldest goes, not the least used: to know the latter would cost a dict operation for each call. The nanny drops
    # it only when no task there names it, so a message that crosses this one finds its function.
    if len(known) > state.settings.function_cache:
        oldest = next(iter(known))
        del known[oldest]
        state.send(host, ForgetFunctions([Digest(oldest)]))


def occupy(task: SchedulerTask, worker: WorkerState, sign: int) -> None:
    """Take (+1) or give back (-1) what a task bound to a worker occupies there."""
    worker.assigned += sign
    if task.requirement is not None:
        change_used(worker, task.requirement.resources, sign)


def leave_host(state: SchedulerState, task: SchedulerTask) -> HostState:
    """Take an ASSIGNED task off the books of its host; the caller moves it on and refills the host."""
    host = task.host
    assert host is not None, f"{task!r} has no host"
    del host.assigned[task]
    # Zero when it has nothing: sums of floats leave a rest, and after a million tasks an idle host would look busy.
    host.occupancy = host.occupancy - task.estimate if host.assigned or host.zombies else 0.0
    host.attempts_tally ^= task.digest
    if task.worker is not None:
        occupy(task, task.worker, -1)
        task.worker = None
    task.host = None
    # Whatever answer to a steal is under way now is about an attempt that is no longer here.
    task.withdrawing = 0
    update_room(state, host)
    return host


def abandon(state: SchedulerState, task: SchedulerTask, *, interrupt: bool) -> None:
    """Take an ASSIGNED task back from its host; until the host confirms, the attempt is a zombie there."""
    # leave_host() clears them.
    worker, attempt = task.worker, task.attempt
    host = leave_host(state, task)
    resources = task.requirement.resources if task.requirement is not None else ()
    # The call may be running, and can't be stopped in most places: as long as its host hasn't said that it is gone it
    # takes a thread, its resources and its share of the occupancy. Without zombies a cancelled minute of work looks
    # like an idle host that takes new calls and runs none.
    zombie = host.zombies[attempt] = Zombie(task.key, task.group, worker, resources, task.estimate)
    task.group.stopping += 1
    host.occupancy += zombie.estimate
    host.attempts_tally ^= task.digest
    if worker is not None:
        worker.assigned += 1
        change_used(worker, zombie.resources, +1)
    state.send(host, Withdraw(task.key, attempt, interrupt))
    update_room(state, host)


def bury(state: SchedulerState, host: HostState, attempt: int) -> bool:
    """Forget a zombie that its host is done with; return whether there was one."""
    zombie = host.zombies.pop(attempt, None)
    if zombie is None:
        return False
    zombie.group.stopping -= 1
    zombie.group.changed = True
    host.attempts_tally ^= digest(zombie.key, attempt)
    host.occupancy = host.occupancy - zombie.estimate if host.assigned or host.zombies else 0.0
    if zombie.worker is not None:
        zombie.worker.assigned -= 1
        change_used(zombie.worker, zombie.resources, -1)
    update_room(state, host)
    # Here and not in leave_host(): whoever takes a task off its host goes on to do something with it first.
    refill(state, host)
    return True


def update_room(state: SchedulerState, host: HostState) -> None:
    """Recompute whether a host is idle, open, or has more than it can run."""
    load = len(host.assigned) + len(host.zombies)
    nthreads = host.nthreads
    # A thread is free. A paused host never is: what it would make has no room.
    idle = load < nthreads and not host.paused
    open = idle or (
        not host.paused
        and nthreads > 0
        and host.occupancy < nthreads * state.settings.queue_seconds
        # Of calls that take microseconds the time ahead says little; the count bounds what is sent, and what a steal
        # has to undo.
        and load < nthreads + state.settings.queue_limit
    )
    if idle is not host.is_idle:
        host.is_idle = idle
        if idle:
            state.idle[host] = None
        else:
            del state.idle[host]
    if open is not host.is_open:
        host.is_open = open
        if open:
            state.open[host] = None
        else:
            del state.open[host]
    # Less than that isn't worth a way to another host, whoever asks.
    if load > nthreads and host.occupancy >= nthreads * state.settings.steal_duration:
        state.surplus[host] = None
    else:
        state.surplus.pop(host, None)


def rotate(state: SchedulerState, host: HostState) -> None:
    """Let other free hosts be chosen before this one."""
    if host.is_idle:
        del state.idle[host]
        state.idle[host] = None
    del state.open[host]
    state.open[host] = None


def refill(state: SchedulerState, host: HostState) -> None:
    """Give a host what waits for it, in priority order, while it has room; steal for it if there is nothing."""
    if state.requirements:
        refill_restricted(state, host)
    queue = state.queue
    # assign() closes it in the end, by update_room().
    while host.is_open:
        task = queue.first()
        if task is None:
            break
        # The room is this host's, but a call whose inputs are elsewhere may be better off there, behind other work;
        # this host then looks at the next.
        target = choose_near_data(state, task, host) if task.dependencies else host
        assert target is not None, f"{host!r} is open and refuses"
        queue.pop()
        assign(state, task, target, None)
    # Only when the queue has nothing for it: what is queued is nobody's yet and costs no way back.
    if host.is_idle and state.surplus:
        steal(state, host)


def refill_all(state: SchedulerState) -> None:
    """Refill every host with room, after something changed for all."""
    # A copy: hosts leave the table while they are filled.
    for host in list(state.open):
        refill(state, host)


def steal(state: SchedulerState, thief: HostState) -> None:
    """Ask a loaded host for a call that hasn't started, if it's worth the way."""
    for victim in islice(state.surplus, VICTIMS):
        if victim is thief:
            continue
        newest = next(reversed(victim.assigned), None)  # older ones are likely to run already
        # One question at a time to each victim. The answer comes in Withdrawn; if it says "started", the task stays and
        # reports.
        if newest is None or newest.withdrawing == newest.attempt or newest.requirement is not None:
            continue
        pace = newest.group.pace
        duration = pace.duration if pace.duration >= 0.0 else newest.estimate
        # Only what the thief lacks: the victim may have had to fetch as much.
        missing = sum([d.nbytes for d in newest.dependencies if thief not in d.holders])
        if duration < state.settings.steal_duration or move_cost(state, missing) > victim.occupancy:
            continue
        newest.withdrawing = newest.attempt
        state.send(victim, Withdraw(newest.key, newest.attempt, False))
        return


def place_restricted(state: SchedulerState, task: SchedulerTask, requirement: Requirement) -> None:
    """Bind a task to the least loaded worker that has room for it, or queue it."""
    best: WorkerState | None = None
    # In order of priority within the requirement: a task that comes later must not pass one that waits for the same
    # workers.
    first = requirement.queue.first()
    if first is None or task.priority < first.priority:
        for host, workers in eligible(state, requirement).items():
            if host.paused:
                continue
            for worker in workers:
                if has_room(worker, requirement) and (best is None or worker.assigned < best.assigned):
                    best = worker
    if best is None:
        enqueue(state, requirement.queue, task)
    else:
        assign(state, task, best.host, best)


def trickle(state: SchedulerState) -> None:
    """Give hosts that are paused and do nothing one call each that nobody else may run; called at every tick.

    What keeps their memory full may be what waits here: slow, but never stuck.  Where nothing can move to disk, a call
    ends with an error that says so, and doesn't wait for ever.
    """
    # Only if nobody at all could take it: while one host goes on, the others may stay paused and get their memory back.
    if state.queue and not state.open and all(host.paused or not host.nthreads for host in state.hosts.values()):
        for host in state.hosts.values():
            task = state.queue.first() if is_at_rest(host) else None
            if task is not None:
                state.queue.pop()
                assign(state, task, host, None)
    for requirement in state.requirements.values():
        if not requirement.queue or not all(host.paused for host in eligible(state, requirement)):
            continue
        for host, workers in eligible(state, requirement).items():
            # Looked up anew for each host: the one before took the first.
            task = requirement.queue.first() if is_at_rest(host) and has_room(workers[0], requirement) else None
            if task is not None:
                requirement.queue.pop()
                assign(state, task, host, workers[0])


def is_at_rest(host: HostState) -> bool:
    """Whether a host is paused and has nothing to do."""
    return host.paused and host.nthreads > 0 and not host.assigned and not host.zombies


def refill_restricted(state: SchedulerState, host: HostState) -> None:
    """Give a host's workers what waits for them by name or resource."""
    if host.paused:
        return
    for requirement in state.requirements.values():
        if not requirement.queue:
            continue
        # In the order in which requirements came up: tasks of different ones aren't compared by priority.
        for worker in eligible(state, requirement).get(host, ()):
            while has_room(worker, requirement):
                task = requirement.queue.first()
                if task is None:
                    break
                requirement.queue.pop()
                assign(state, task, host, worker)
