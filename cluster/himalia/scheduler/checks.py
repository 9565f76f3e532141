"""What must be true between any two events.  Tests and the simulator check it after each one, production never."""

from __future__ import annotations

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


def check(core: SchedulerState) -> None:
    """Check every invariant; the first that is broken raises AssertionError with the object in its text."""
    for key, task in core.tasks.items():
        assert task.key == key and task.status is not FORGOTTEN, task
        check_links(core, task)
        check_status(core, task)
    for host in core.hosts.values():
        check_host(core, host)
    for client in core.clients.values():
        for task in client.wants:
            assert client in task.wanted_by and core.tasks.get(task.key) is task, (client.id, task)
        for key, message in client.window.held.items():
            assert message is not None or core.tasks[key] in client.wants, (client.id, key)
    check_functions(core)
    check_groups(core)
    assert all(core.tasks.get(task.key) is task for task in core.stopped), core.stopped
    check_room(core)


def check_links(core: SchedulerState, task: SchedulerTask) -> None:
    """Dependency links are symmetric; a needed task's inputs know that it needs them."""
    for dependency in task.dependencies:
        assert core.tasks.get(dependency.key) is dependency, (task, dependency)
        assert dependency.dependents is not None and task in dependency.dependents, (task, dependency)
    for dependent in task.dependents or ():
        assert core.tasks.get(dependent.key) is dependent and task in dependent.dependencies, (task, dependent)
    waiters = sum(
        dependent.dependencies.count(task) for dependent in task.dependents or () if dependent.status in ACTIVE
    )
    assert task.waiters == waiters, (task, task.waiters, waiters)
    for client in task.wanted_by:
        assert core.clients.get(client.id) is client and task in client.wants, (task, client.id)
    needed = bool(task.wanted_by or task.waiters or task.protected)
    assert needed or task.dependents, f"{task!r} should have been forgotten"
    kept = task.placed and task.dependents and task.status is FINISHED
    assert needed or kept or task.status in (RELEASED, ERRED), f"{task!r} is not needed"
    assert not (task.wanted_by or task.waiters) or task.status is not RELEASED, (
        f"{task!r} is needed but nothing is done"
    )


def check_status(core: SchedulerState, task: SchedulerTask) -> None:
    """Each status has its facts, and no other's."""
    status = task.status
    assert bool(task.queued) is (status is QUEUED), task
    unfinished = sum(dependency.status is not FINISHED for dependency in task.dependencies)
    assert (task.host is not None) is (status is ASSIGNED), task
    assert bool(task.holders) is (status is FINISHED), task
    assert (task.error is not None) is (status is ERRED), task
    if status is WAITING:
        assert task.waiting_on == unfinished > 0, (task, task.waiting_on, unfinished)
    elif status is QUEUED:
        assert unfinished == 0, task
        queue = core.queue if task.requirement is None else task.requirement.queue
        assert any(entry[2] is task for entry in queue.entries()), task
    elif status is ASSIGNED:
        assert task.host is not None and core.hosts.get(task.host.id) is task.host, task
        assert task in task.host.assigned and 0 < task.attempt < core.next_attempt, task
        assert task.worker is None or task.worker.host is task.host, task
    elif status is FINISHED:
        assert len(set(task.holders)) == len(task.holders), task
        assert all(core.hosts.get(host.id) is host and task in host.held for host in task.holders), task


def check_host(core: SchedulerState, host: HostState) -> None:
    """A host's books agree with the tasks', and its digests with its books."""
    attempts = data = count = 0
    for task in host.assigned:
        assert core.tasks.get(task.key) is task and task.status is ASSIGNED and task.host is host, (host, task)
        attempts ^= digest(task.key, task.attempt)
    for attempt, zombie in host.zombies.items():
        attempts ^= digest(zombie.key, attempt)
    for task in host.held:
        assert core.tasks.get(task.key) is task and host in task.holders, (host, task)
        if not task.placed:
            data ^= digest(task.key, task.attempt)
            count += 1
    assert (attempts, data, count) == (host.attempts_digest, host.data_digest, host.data_count), host
    assert host.nthreads == sum(worker.info.nthreads for worker in host.workers.values()), host
    for worker in host.workers.values():
        bound = sum(task.worker is worker for task in host.assigned)
        bound += sum(zombie.worker is worker for zombie in host.zombies.values())
        assert worker.assigned == bound, (worker.info.name, worker.assigned, bound)
        for name, used in worker.used.items():
            assert -1e-6 <= used <= worker.info.resources.get(name, 0.0) + 1e-6, (worker.info.name, name, used)


def check_functions(core: SchedulerState) -> None:
    """A function is kept exactly as long as somebody may name it."""
    for body_digest, function in core.functions.items():
        tasks = sum(task.function == body_digest for task in core.tasks.values())
        clients = sum(body_digest in client.functions for client in core.clients.values())
        assert (function.tasks, function.clients) == (tasks, clients) and tasks + clients, body_digest


def check_groups(core: SchedulerState) -> None:
    """The counts of groups are the counts of tasks."""
    for group in core.groups.values():
        members = [task for task in core.tasks.values() if task.group is group]
        counts = [sum(task.status is status for task in members) for status in TaskStatus]
        assert counts[WAITING:FORGOTTEN] == group.counts[WAITING:FORGOTTEN], (group.name, counts, group.counts)
        assert len(members) == group.tasks, (group.name, len(members), group.tasks)
        stopping = sum(zombie.group is group for host in core.hosts.values() for zombie in host.zombies.values())
        assert group.stopping == stopping, (group.name, group.stopping, stopping)
        erred = sum(task.status is ERRED and not task.placed for task in members)
        assert group.erred >= erred and group.cancelled >= sum(task in core.stopped for task in members), group.name
        told = count_tasks(group)
        assert min(told.waiting, told.assigned, told.done, told.failed, told.cancelled) >= 0, (group.name, told)
        held = sum(task.nbytes for task in members if task.status is FINISHED)
        assert group.memory == held, (group.name, group.memory, held)


def check_room(core: SchedulerState) -> None:
    """Nothing waits while a host has room for it (RELIABILITY L2), and the sets of hosts are what they say."""
    assert list(core.idle) == [host for host in core.idle if host.is_idle and core.hosts.get(host.id) is host]
    for host in core.hosts.values():
        assert (host in core.open) is host.is_open and (host in core.idle) is host.is_idle, host
    if core.open:
        waiting = core.queue.first()
        assert waiting is None, f"{waiting!r} waits while {next(iter(core.open))} has room"
