"""Which workers may run a task that asks for certain ones, or for resources.  It matches; placement chooses."""

from __future__ import annotations

from himalia.scheduler.state import HostState, Requirement, SchedulerState, SchedulerTask, WorkerState


def requirement_of(state: SchedulerState, task: SchedulerTask) -> Requirement | None:
    """Return the shared record of what a task's options ask for; ``None`` if any worker will do."""
    options = task.options
    if options is None or not (options.workers or options.resources):
        return None
    # Sorted, so that the same wishes in another order share one queue: a thousand calls with resources={"GPU": 1} are
    # one requirement.
    key = (tuple(sorted(options.workers)), options.allow_other_workers, tuple(sorted(options.resources.items())))
    requirement = state.requirements.get(key)
    if requirement is None:
        requirement = state.requirements[key] = Requirement(*key)
    requirement.tasks += 1
    return requirement


def drop_requirement(state: SchedulerState, requirement: Requirement) -> None:
    """Count a task that is gone; the last one takes the requirement with it."""
    requirement.tasks -= 1
    if requirement.tasks == 0:
        del state.requirements[requirement.workers, requirement.allow_other, requirement.resources]


def eligible(state: SchedulerState, requirement: Requirement) -> dict[HostState, list[WorkerState]]:
    """Return, by host, the workers that may run tasks of this requirement when they have room."""
    # Asked at every refill, changed when somebody comes or goes.
    if requirement.version != state.membership:
        requirement.version = state.membership
        requirement.eligible = match_workers(state, requirement, requirement.workers)
        # Only if none of the named is here at all; that they are busy is no reason.
        if requirement.allow_other and not requirement.eligible:
            requirement.eligible = match_workers(state, requirement, ())
    return requirement.eligible


def match_workers(
    state: SchedulerState, requirement: Requirement, names: tuple[str, ...]
) -> dict[HostState, list[WorkerState]]:
    """Return the workers that are named (or on a named host) and declare enough of each resource."""
    found: dict[HostState, list[WorkerState]] = {}
    for host in state.hosts.values():
        whole_host = not names or bool({host.info.hostname, host.info.address, host.info.name, host.id} & set(names))
        workers = [
            worker
            for worker in host.workers.values()
            if (whole_host or worker.info.name in names or worker.info.address in names)
            and all(worker.info.resources.get(name, 0.0) >= amount for name, amount in requirement.resources)
        ]
        if workers:
            found[host] = workers
    return found


def has_room(worker: WorkerState, requirement: Requirement) -> bool:
    """Whether a worker has the resources, and no more bound calls than twice its threads."""
    info = worker.info
    # One call ahead of each thread hides the way from the scheduler; more would be bound to a worker that may die or
    # fall behind.
    if worker.assigned >= 2 * info.nthreads:
        return False
    return all(
        # Ten times 0.1 of a GPU is a little more than 1.
        worker.used.get(name, 0.0) + amount <= info.resources.get(name, 0.0) + 1e-9
        for name, amount in requirement.resources
    )


def change_used(worker: WorkerState, resources: tuple[tuple[str, float], ...], sign: int) -> None:
    """Take or give back resources of a worker."""
    for name, amount in resources:
        worker.used[name] = worker.used.get(name, 0.0) + sign * amount
