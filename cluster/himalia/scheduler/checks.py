"""What must be true between any two events.  Tests and the simulator check it after each one, production never."""

from __future__ import annotations

from collections import Counter

from himalia.names import digest
from himalia.scheduler.state import (
    ACTIVE,
    ASSIGNED,
    ERRED,
    FINISHED,
    FORGOTTEN,
    QUEUED,
    RELEASED,
    WAITING,
    HostState,
    SchedulerState,
    SchedulerTask,
    TaskStatus,
    count_tasks,
)


def check(state: SchedulerState) -> None:
    """Check every invariant; the first that is broken raises AssertionError with the object in its text."""
    for key, task in state.tasks.items():
        assert task.key == key and task.status is not FORGOTTEN, task
        check_links(state, task)
        check_status(state, task)
    check_queues(state)
    for host in state.hosts.values():
        check_host(state, host)
    for client in state.clients.values():
        for task in client.wants:
            assert client in task.wanted_by and state.tasks.get(task.key) is task, (client.id, task)
        # `None` stands for "look it up when there is room": then there must be something to look up.
        for key, message in client.window.held.items():
            assert message is not None or state.tasks[key] in client.wants, (client.id, key)
    check_functions(state)
    check_groups(state)
    assert all(state.tasks.get(task.key) is task for task in state.stopped), state.stopped
    check_room(state)


def check_links(state: SchedulerState, task: SchedulerTask) -> None:
    """Dependency links are symmetric; a needed task's inputs know that it needs them."""
    for dependency in task.dependencies:
        assert state.tasks.get(dependency.key) is dependency, (task, dependency)
        assert dependency.dependents is not None and task in dependency.dependents, (task, dependency)
    waiters = 0
    for dependent in task.dependents or ():
        assert state.tasks.get(dependent.key) is dependent and task in dependent.dependencies, (task, dependent)
        if dependent.status in ACTIVE:
            # count(), not 1: it would show an input that was entered twice.
            waiters += dependent.dependencies.count(task)
    assert task.waiters == waiters, (task, task.waiters, waiters)
    for client in task.wanted_by:
        assert state.clients.get(client.id) is client and task in client.wants, (task, client.id)
    needed = bool(task.wanted_by or task.waiters or task.protected)
    assert needed or task.dependents, f"{task!r} should have been forgotten"
    # The one exception from "what nobody needs is freed": it can't be made again, and a dependent might be.
    kept = task.placed and task.dependents and task.status is FINISHED
    assert needed or kept or task.status in (RELEASED, ERRED), f"{task!r} is not needed"
    assert not (task.wanted_by or task.waiters) or task.status is not RELEASED, (
        f"{task!r} is needed but nothing is done"
    )


def check_status(state: SchedulerState, task: SchedulerTask) -> None:
    """Each status has its facts, and no other's."""
    status = task.status
    assert bool(task.queued) is (status is QUEUED), task
    assert (task.host is not None) is (status is ASSIGNED), task
    assert bool(task.holders) is (status is FINISHED), task
    assert (task.error is not None) is (status is ERRED), task
    if status is WAITING:
        unfinished = sum(dependency.status is not FINISHED for dependency in task.dependencies)
        assert task.waiting_on == unfinished > 0, (task, task.waiting_on, unfinished)
    elif status is QUEUED:
        assert all(dependency.status is FINISHED for dependency in task.dependencies), task
    elif status is ASSIGNED:
        assert task.host is not None and state.hosts.get(task.host.id) is task.host, task
        assert task in task.host.assigned and 0 < task.attempt < state.next_attempt, task
        assert task.worker is None or task.worker.host is task.host, task
    elif status is FINISHED:
        assert len(set(task.holders)) == len(task.holders), task
        assert all(state.hosts.get(host.id) is host and task in host.held for host in task.holders), task


def check_queues(state: SchedulerState) -> None:
    """What is queued has an entry where it will be looked for."""
    entries: dict[int, set[int]] = {}
    for task in state.tasks.values():
        if task.status is QUEUED:
            queue = state.queue if task.requirement is None else task.requirement.queue
            if id(queue) not in entries:  # once for each queue: a search for each task is quadratic
                entries[id(queue)] = {id(entry[2]) for entry in queue.entries()}
            assert id(task) in entries[id(queue)], task


def check_host(state: SchedulerState, host: HostState) -> None:
    """A host's books agree with the tasks', and its digests with its books."""
    attempts = data = count = 0
    for task in host.assigned:
        assert state.tasks.get(task.key) is task and task.status is ASSIGNED and task.host is host, (host, task)
        attempts ^= digest(task.key, task.attempt)
    for attempt, zombie in host.zombies.items():
        attempts ^= digest(zombie.key, attempt)
    for task in host.held:
        assert state.tasks.get(task.key) is task and host in task.holders, (host, task)
        if not task.placed:
            data ^= digest(task.key, task.attempt)
            count += 1
    assert (attempts, data, count) == (host.attempts_tally, host.data_tally, host.data_count), host
    assert host.nthreads == sum(worker.info.nthreads for worker in host.workers.values()), host
    for worker in host.workers.values():
        bound = sum(task.worker is worker for task in host.assigned)
        bound += sum(zombie.worker is worker for zombie in host.zombies.values())
        assert worker.assigned == bound, (worker.info.name, worker.assigned, bound)
        for name, used in worker.used.items():
            # Sums of floats.
            assert -1e-6 <= used <= worker.info.resources.get(name, 0.0) + 1e-6, (worker.info.name, name, used)


def check_functions(state: SchedulerState) -> None:
    """A function is kept exactly as long as somebody may name it."""
    tasks = Counter(task.function for task in state.tasks.values())
    for body_digest, function in state.functions.items():
        clients = sum(body_digest in client.functions for client in state.clients.values())
        known = tasks[body_digest]
        assert (function.tasks, function.clients) == (known, clients) and known + clients, body_digest


def check_groups(state: SchedulerState) -> None:
    """The counts of groups are the counts of tasks."""
    members_of: dict[int, list[SchedulerTask]] = {}
    for task in state.tasks.values():
        members_of.setdefault(id(task.group), []).append(task)
    stopping_of = Counter(id(zombie.group) for host in state.hosts.values() for zombie in host.zombies.values())
    for group in state.groups.values():
        members = members_of.get(id(group), [])
        # FORGOTTEN isn't compared, and RELEASED neither: no task is there to be counted for the former, and new ones
        # begin as the latter without a move.
        counts = [0] * len(TaskStatus)
        erred = held = 0
        for task in members:
            counts[task.status] += 1
            if task.status is FINISHED:
                held += task.nbytes
            elif task.status is ERRED and not task.placed:
                erred += 1
        assert counts[WAITING:FORGOTTEN] == group.counts[WAITING:FORGOTTEN], (group.name, counts, group.counts)
        assert len(members) == group.tasks, (group.name, len(members), group.tasks)
        stopping = stopping_of[id(group)]
        assert group.stopping == stopping, (group.name, group.stopping, stopping)
        stopped = sum(task.group is group for task in state.stopped)
        assert group.erred >= erred and group.cancelled >= stopped, group.name
        told = count_tasks(group)
        assert min(told.waiting, told.assigned, told.done, told.failed, told.cancelled) >= 0, (group.name, told)
        assert group.memory == held, (group.name, group.memory, held)


def check_room(state: SchedulerState) -> None:
    """Nothing waits while a host has room for it, and the sets of hosts are what they say."""
    assert list(state.idle) == [host for host in state.idle if host.is_idle and state.hosts.get(host.id) is host]
    for host in state.hosts.values():
        assert (host in state.open) is host.is_open and (host in state.idle) is host.is_idle, host
    # Only this queue: what waits in a requirement's may lack a resource, not room.
    if state.open:
        waiting = state.queue.first()
        assert waiting is None, f"{waiting!r} waits while {next(iter(state.open))} has room"
