"""What the scheduler says about itself: who is there, who holds what, how much was done."""

from __future__ import annotations

from itertools import islice

from himalia.bounds import FEW, MOST, TOTAL
from himalia.messages.answers import ClusterInfo, HostView, KeyTable, KeyView, WorkerView
from himalia.messages.parts import WorkerInfo
from himalia.messages.telemetry import GroupSummary, ProcessMetrics, SchedulerStatus
from himalia.names import Key, PeerId, role_of
from himalia.scheduler.state import (
    FINISHED,
    HostState,
    SchedulerState,
    count_all,
    count_tasks,
)
from himalia.telemetry.groups import TaskGroup


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
