"""What the scheduler says about itself: who is there, who holds what, why a task isn't running."""

from __future__ import annotations

from itertools import islice
from typing import Final

from himalia.bounds import FEW, MOST, TOTAL
from himalia.messages.answers import ClusterInfo, HostView, KeyTable, KeyView, WorkerView
from himalia.messages.parts import WorkerInfo
from himalia.messages.telemetry import GroupSummary, ProcessMetrics, SchedulerStatus
from himalia.names import Key, PeerId, role_of, shorten
from himalia.scheduler.explaining.assigned import explain_assigned, explain_quiet, explain_silent
from himalia.scheduler.explaining.store import explain_mappings
from himalia.scheduler.restrictions import eligible
from himalia.scheduler.state import (
    ASSIGNED,
    ERRED,
    FINISHED,
    QUEUED,
    WAITING,
    HostState,
    Requirement,
    SchedulerState,
    SchedulerTask,
    count_all,
    count_tasks,
)
from himalia.telemetry.groups import TaskGroup

CHAIN: Final = 1000
"""Tasks, each an input of the one before, that are followed to find what a task waits for in the end: 0.2 ms, measured,
and more than most graphs are deep."""


def describe_cluster(core: SchedulerState, me: PeerId, address: str, started: float) -> ClusterInfo:
    """Return the scheduler, its hosts and its workers."""
    return ClusterInfo(
        id=me,
        address=address,
        started=core.now - started,
        clients=count_clients(core),
        tasks=len(core.tasks),
        queued=len(core.queue),
        hosts={host.id: describe_host(core, host) for host in core.hosts.values()},
        workers={
            worker.info.address: describe_worker(host, worker.info)
            for host in core.hosts.values()
            for worker in host.workers.values()
        },
        counts=count_all(core),
        drift_repaired=core.drift_repaired,
    )


def describe_host(core: SchedulerState, host: HostState) -> HostView:
    """Return one nanny: addresses, limits, what it holds and does."""
    info, metrics = host.info, host.metrics
    return HostView(
        address=info.address,
        name=info.name,
        hostname=info.hostname,
        machine=info.machine,
        pid=info.pid,
        memory_limit=info.memory_limit,
        local_directory=info.local_directory,
        nthreads=min(host.nthreads, MOST),
        assigned=len(host.assigned),
        held=len(host.held),
        store_bytes=metrics.store_bytes,
        spilled_bytes=metrics.spilled_bytes,
        store_clients=metrics.use.clients,
        store_workers=metrics.use.workers,
        paused=host.paused,
        last_seen=core.now - host.seen_at,
        versions=info.versions,
    )


def describe_worker(host: HostState, info: WorkerInfo) -> WorkerView:
    """Return one worker, with what its host measured last."""
    return WorkerView(
        name=info.name,
        host_id=host.id,
        host=host.info.hostname,
        nanny=host.info.address,
        pid=info.pid,
        nthreads=info.nthreads,
        memory_limit=info.memory_limit,
        local_directory=info.local_directory,
        resources=info.resources,
        metrics=host.metrics.workers.get(info.name, (0.0, 0, 0)),
    )


def describe_keys(core: SchedulerState, keys: list[Key] | None, skip: int = 0) -> KeyTable:
    """Return status, size and holders of these keys (unknown ones left out), or of a page of those in memory."""
    if keys is None:
        finished = (task for task in core.tasks.values() if task.status is FINISHED)
        tasks = list(islice(finished, skip, skip + FEW))
    else:
        tasks = [core.tasks[key] for key in keys if key in core.tasks]
    return KeyTable(
        {
            task.key: KeyView(
                status=task.status.label,
                nbytes=task.nbytes,
                attempt=task.attempt,
                type_name=task.type_name,
                holders=tuple([host.info.address for host in task.holders]),
            )
            for task in tasks
        }
    )


def summarize(group: TaskGroup) -> GroupSummary:
    """Return the message part that says how the tasks of a kind stand and what their calls took."""
    counts = count_tasks(group)
    return GroupSummary(
        name=group.name,
        span=group.span,
        waiting=counts.waiting,
        assigned=counts.assigned,
        in_memory=group.counts[FINISHED],
        erred=counts.failed,
        finished=group.finished,
        failed=group.failed,
        compute=group.compute,
        transfer=group.transfer,
        deserialize=group.deserialize,
        serialize=group.serialize,
        nbytes=min(group.nbytes, TOTAL),
        memory=min(group.memory, TOTAL),
        peak=min(group.peak, TOTAL),
        moved=min(group.moved, TOTAL),
        tasks=group.tasks,
        done=counts.done,
        cancelled=counts.cancelled,
        stopping=group.stopping,
        wasted=group.wasted,
        duration=group.pace.duration,
    )


def describe_status(core: SchedulerState, started: float, process: ProcessMetrics) -> SchedulerStatus:
    """Return the message part that says how the scheduler is doing."""
    return SchedulerStatus(
        clients=count_clients(core),
        tasks=len(core.tasks),
        queued=len(core.queue),
        membership=core.membership,
        uptime=core.now - started,
        total=core.log.total,
        process=process,
        counts=count_all(core),
    )


def count_clients(core: SchedulerState) -> int:
    """Return how many clients there are that may submit something: a cluster object, a widget only look on."""
    return sum([role_of(client) != "control" for client in core.clients])


def explain(core: SchedulerState, key: Key) -> str:
    """Say in one sentence why a task is where it is; for the name of a group, one of its tasks that wait."""
    task = core.tasks.get(key) or find_waiting(core, key)
    name = shorten(task.key if task is not None else key)
    if task is None:
        return f"{name} is not known to the scheduler: nobody wants it any more, or it was never submitted here."
    match task.status:
        case s if s is WAITING:
            return explain_waiting(core, task, name)
        case s if s is QUEUED:
            return explain_queued(core, task, name)
        case s if s is ASSIGNED:
            assert task.host is not None
            return explain_assigned(core, task, task.host, name)
        case s if s is FINISHED:
            where = ", ".join(host.label for host in task.holders)
            held = "".join([explain_mappings(host) for host in task.holders])
            return f"{name} is finished: {task.nbytes:,} bytes at {where}.{held}{explain_silent(core, task.holders)}"
        case s if s is ERRED:
            assert task.error is not None
            root = "" if task.error.key == key else f" because its input {shorten(task.error.key)} did"
            return f"{name} failed{root}: {task.error.text}"
        case _:
            return f"{name} is known but not being computed: nothing that was asked for needs it now."


def find_waiting(core: SchedulerState, group: str) -> SchedulerTask | None:
    """Return a task of this group that waits, for whoever sees a bar of many; looks at every task."""
    waiting = (task for task in core.tasks.values() if task.status in (WAITING, QUEUED))
    return next((task for task in waiting if task.group.name == group), None)


def explain_waiting(core: SchedulerState, task: SchedulerTask, name: str) -> str:
    """Name the inputs that a task waits for, and say why the first of them isn't there."""
    missing = missing_of(task)
    if not missing:
        return f"{name} has all its inputs and is about to be placed."
    first = last = missing[0]
    for _ in range(CHAIN):
        further = missing_of(last) if last.status is WAITING else []
        if not further:
            break
        last = further[0]
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    text = f"{name} waits for its input {shorten(first.key)} ({first.status.label}){more}."
    if last.status is WAITING:
        return text
    return f"{text} {'' if last is first else 'That one waits in turn; in the end for this: '}{explain(core, last.key)}"


def missing_of(task: SchedulerTask) -> list[SchedulerTask]:
    """Return the inputs of a task that aren't there."""
    return [dependency for dependency in task.dependencies if dependency.status is not FINISHED]


def explain_queued(core: SchedulerState, task: SchedulerTask, name: str) -> str:
    """Say what a ready task lacks: hosts, fitting workers, or a free one."""
    if task.requirement is not None:
        return explain_requirement(core, task.requirement, name)
    if not core.hosts and core.last_left is not None:
        return explain_no_host(core, name, *core.last_left)
    if not any(host.nthreads for host in core.hosts.values()):
        return (
            f"{name} is ready, but there are no workers.{explain_last_end(core)} Start some: cluster.scale(n), or "
            f"`himalia worker ADDRESS`."
        )
    paused = sum(host.paused for host in core.hosts.values())
    if paused == len(core.hosts):
        disks = {host.metrics.use.disk for host in core.hosts.values()} - {""}
        disk = f" Their disks take no more: {', '.join(sorted(disks))}." if disks else ""
        return (
            f"{name} is ready, but all {paused} hosts are paused{explain_pause(core)} because their memory is nearly "
            f"full.{disk} They go on when enough of it was released or has moved to disk; until then each runs one "
            f"call at a time. Release futures."
        )
    ahead = sum(entry[0] < task.priority for entry in core.queue.entries())
    return (
        f"{name} is ready and held back until a worker is free; about {ahead} tasks are before it.{explain_quiet(core)}"
    )


def explain_last_end(core: SchedulerState) -> str:
    """Say which worker ended last, when, and what is done about it."""
    ends = [event for event in core.events.since(0) if event.kind in ("worker-died", "worker-stopped")]
    if not ends:
        return ""
    last = ends[-1]
    again = " Its nanny starts it again." if last.kind == "worker-died" else ""
    return f" The last one, {last.subject}, ended {core.now - last.time:.1f} s ago ({last.text}).{again}"


def explain_pause(core: SchedulerState) -> str:
    """Say since when no host takes new work."""
    labels = {host.label for host in core.hosts.values() if host.paused}
    pauses = [event.time for event in core.events.since(0) if event.kind == "paused" and event.subject in labels]
    return f", the last one for {core.now - pauses[-1]:.1f} s," if pauses else ""


def explain_no_host(core: SchedulerState, name: str, host: str, left_at: float, reason: str) -> str:
    """Say that the last nanny is gone, since when, and what follows."""
    return (
        f"{name} is ready, but there is no nanny, so no worker: {host or 'the last one'} left "
        f"{core.now - left_at:.1f} s ago ({reason}). The nanny of a LocalCluster is started "
        f"again by itself; elsewhere start one by `himalia worker ADDRESS`."
    )


def explain_requirement(core: SchedulerState, requirement: Requirement, name: str) -> str:
    """Say whether anybody could run a task with this requirement."""
    wishes = []
    if requirement.workers:
        wishes.append(f"workers={list(requirement.workers)}")
    if requirement.resources:
        wishes.append(f"resources={dict(requirement.resources)}")
    asked = " and ".join(wishes)
    able = sum(len(workers) for workers in eligible(core, requirement).values())
    if able:
        return f"{name} is ready and asks for {asked}; the {able} workers that offer it are busy.{explain_quiet(core)}"
    total = len(core.workers)
    advice = "Start one that does, or drop it from submit()."
    return f"{name} asks for {asked}, and none of the {total} workers offers it. {advice}"
