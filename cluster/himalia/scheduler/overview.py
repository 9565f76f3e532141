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


def describe_cluster(state: SchedulerState, me: PeerId, address: str, started: float) -> ClusterInfo:
    """Return the scheduler, its hosts and its workers."""
    return ClusterInfo(
        id=me,
        address=address,
        started=state.now - started,
        clients=count_clients(state),
        tasks=len(state.tasks),
        queued=len(state.queue),
        hosts={host.id: describe_host(state, host) for host in state.hosts.values()},
        workers={
            worker.info.address: describe_worker(host, worker.info)
            for host in state.hosts.values()
            for worker in host.workers.values()
        },
        counts=count_all(state),
        drift_repaired=state.drift_repaired,
    )


def describe_host(state: SchedulerState, host: HostState) -> HostView:
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
        last_seen=state.now - host.seen_at,
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


def describe_keys(state: SchedulerState, keys: list[Key] | None, skip: int = 0) -> KeyTable:
    """Return status, size and holders of these keys (unknown ones left out), or of a page of those in memory."""
    if keys is None:
        finished = (task for task in state.tasks.values() if task.status is FINISHED)
        tasks = list(islice(finished, skip, skip + FEW))
    else:
        tasks = [state.tasks[key] for key in keys if key in state.tasks]
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


def describe_status(state: SchedulerState, started: float, process: ProcessMetrics) -> SchedulerStatus:
    """Return the message part that says how the scheduler is doing."""
    return SchedulerStatus(
        clients=count_clients(state),
        tasks=len(state.tasks),
        queued=len(state.queue),
        membership=state.membership,
        uptime=state.now - started,
        total=state.log.total,
        process=process,
        counts=count_all(state),
    )


def count_clients(state: SchedulerState) -> int:
    """Return how many clients there are that may submit something: a cluster object, a widget only look on."""
    return sum([role_of(client) != "control" for client in state.clients])


def explain(state: SchedulerState, key: Key) -> str:
    """Say in one sentence why a task is where it is; for the name of a group, one of its tasks that wait."""
    task = state.tasks.get(key) or find_waiting(state, key)
    name = shorten(task.key if task is not None else key)
    if task is None:
        return f"{name} is not known to the scheduler: nobody wants it any more, or it was never submitted here."
    match task.status:
        case s if s is WAITING:
            return explain_waiting(state, task, name)
        case s if s is QUEUED:
            return explain_queued(state, task, name)
        case s if s is ASSIGNED:
            assert task.host is not None
            return explain_assigned(state, task, task.host, name)
        case s if s is FINISHED:
            where = ", ".join(host.label for host in task.holders)
            held = "".join([explain_mappings(host) for host in task.holders])
            return f"{name} is finished: {task.nbytes:,} bytes at {where}.{held}{explain_silent(state, task.holders)}"
        case s if s is ERRED:
            assert task.error is not None
            root = "" if task.error.key == key else f" because its input {shorten(task.error.key)} did"
            return f"{name} failed{root}: {task.error.text}"
        case _:
            return f"{name} is known but not being computed: nothing that was asked for needs it now."


def find_waiting(state: SchedulerState, group: str) -> SchedulerTask | None:
    """Return a task of this group that waits, for whoever sees a bar of many; looks at every task."""
    waiting = (task for task in state.tasks.values() if task.status in (WAITING, QUEUED))
    return next((task for task in waiting if task.group.name == group), None)


def explain_waiting(state: SchedulerState, task: SchedulerTask, name: str) -> str:
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
    return (
        f"{text} {'' if last is first else 'That one waits in turn; in the end for this: '}{explain(state, last.key)}"
    )


def missing_of(task: SchedulerTask) -> list[SchedulerTask]:
    """Return the inputs of a task that aren't there."""
    return [dependency for dependency in task.dependencies if dependency.status is not FINISHED]


def explain_queued(state: SchedulerState, task: SchedulerTask, name: str) -> str:
    """Say what a ready task lacks: hosts, fitting workers, or a free one."""
    if task.requirement is not None:
        return explain_requirement(state, task.requirement, name)
    if not state.hosts and state.last_left is not None:
        return explain_no_host(state, name, *state.last_left)
    if not any(host.nthreads for host in state.hosts.values()):
        return (
            f"{name} is ready, but there are no workers.{explain_last_end(state)} Start some: cluster.scale(n), or "
            f"`himalia worker ADDRESS`."
        )
    paused = sum(host.paused for host in state.hosts.values())
    if paused == len(state.hosts):
        disks = {host.metrics.use.disk for host in state.hosts.values()} - {""}
        disk = f" Their disks take no more: {', '.join(sorted(disks))}." if disks else ""
        return (
            f"{name} is ready, but all {paused} hosts are paused{explain_pause(state)} because their memory is nearly "
            f"full.{disk} They go on when enough of it was released or has moved to disk; until then each runs one "
            f"call at a time. Release futures."
        )
    ahead = sum(entry[0] < task.priority for entry in state.queue.entries())
    return (
        f"{name} is ready and held back until a worker is free; about {ahead} tasks are before it."
        f"{explain_quiet(state)}"
    )


def explain_last_end(state: SchedulerState) -> str:
    """Say which worker ended last, when, and what is done about it."""
    ends = [event for event in state.events.since(0) if event.kind in ("worker-died", "worker-stopped")]
    if not ends:
        return ""
    last = ends[-1]
    again = " Its nanny starts it again." if last.kind == "worker-died" else ""
    return f" The last one, {last.subject}, ended {state.now - last.time:.1f} s ago ({last.text}).{again}"


def explain_pause(state: SchedulerState) -> str:
    """Say since when no host takes new work."""
    labels = {host.label for host in state.hosts.values() if host.paused}
    pauses = [event.time for event in state.events.since(0) if event.kind == "paused" and event.subject in labels]
    return f", the last one for {state.now - pauses[-1]:.1f} s," if pauses else ""


def explain_no_host(state: SchedulerState, name: str, host: str, left_at: float, reason: str) -> str:
    """Say that the last nanny is gone, since when, and what follows."""
    return (
        f"{name} is ready, but there is no nanny, so no worker: {host or 'the last one'} left "
        f"{state.now - left_at:.1f} s ago ({reason}). The nanny of a LocalCluster is started "
        f"again by itself; elsewhere start one by `himalia worker ADDRESS`."
    )


def explain_requirement(state: SchedulerState, requirement: Requirement, name: str) -> str:
    """Say whether anybody could run a task with this requirement."""
    wishes = []
    if requirement.workers:
        wishes.append(f"workers={list(requirement.workers)}")
    if requirement.resources:
        wishes.append(f"resources={dict(requirement.resources)}")
    asked = " and ".join(wishes)
    able = sum(len(workers) for workers in eligible(state, requirement).values())
    if able:
        return f"{name} is ready and asks for {asked}; the {able} workers that offer it are busy.{explain_quiet(state)}"
    total = len(state.workers)
    advice = "Start one that does, or drop it from submit()."
    return f"{name} asks for {asked}, and none of the {total} workers offers it. {advice}"
