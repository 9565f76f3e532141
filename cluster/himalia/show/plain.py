"""Answers of the scheduler as plain dicts, which is what users get and pages are told: names and values, no structs.

Here, and only here, texts become keys.  Those of the scheduler and its workers are ``dask.distributed``'s where that
has the same thing.
"""

from __future__ import annotations

from typing import Final, Literal, TypedDict

import msgspec

from himalia.messages.answers import ClusterInfo, HostView, TaskView, WorkerView

Plain = dict[str, object]
"""Names and builtin values: what users get, and pages are told as JSON."""


class PlainHost(TypedDict):
    """One nanny, see :class:`HostView`."""

    type: Literal["Nanny"]
    address: str
    name: str
    hostname: str
    machine: str
    pid: int
    memory_limit: int
    local_directory: str
    nthreads: int
    assigned: int
    held: int
    store_bytes: int
    spilled_bytes: int
    store_clients: dict[str, int]
    store_workers: dict[str, int]
    paused: bool
    last_seen: float
    versions: dict[str, str]


class PlainWorker(TypedDict):
    """One worker, see :class:`WorkerView`; ``metrics`` are CPU (fraction of one), memory (bytes), calls running."""

    type: Literal["Worker"]
    name: str
    id: str
    host: str
    nanny: str
    host_id: str
    pid: int
    nthreads: int
    memory_limit: int
    local_directory: str
    resources: dict[str, float]
    metrics: list[float]


class PlainInfo(TypedDict):
    """The scheduler, see :class:`ClusterInfo`; ``counts`` as in :class:`TaskCounts`, in that order."""

    type: Literal["Scheduler"]
    id: str
    address: str
    started: float
    clients: int
    tasks: int
    counts: list[int] | None
    queued: int
    drift_repaired: int
    hosts: dict[str, PlainHost]
    workers: dict[str, PlainWorker]


RENAMED: Final = {"type_name": "type"}
"""Fields that are called something else in a dict."""


def plain_info(info: ClusterInfo) -> PlainInfo:
    """Return the scheduler, its hosts by id, and its workers by address."""
    return {
        "type": "Scheduler",
        "id": info.id,
        "address": info.address,
        "started": info.started,
        "clients": info.clients,
        "tasks": info.tasks,
        "counts": msgspec.to_builtins(info.counts),
        "queued": info.queued,
        "drift_repaired": info.drift_repaired,
        "hosts": {str(host): plain_host(view) for host, view in info.hosts.items()},
        "workers": {address: plain_worker(view) for address, view in info.workers.items()},
    }


def plain_host(view: HostView) -> PlainHost:
    """Return one nanny."""
    return {
        "type": "Nanny",
        "address": view.address,
        "name": view.name,
        "hostname": view.hostname,
        "machine": view.machine,
        "pid": view.pid,
        "memory_limit": view.memory_limit,
        "local_directory": view.local_directory,
        "nthreads": view.nthreads,
        "assigned": view.assigned,
        "held": view.held,
        "store_bytes": view.store_bytes,
        "spilled_bytes": view.spilled_bytes,
        "store_clients": view.store_clients,
        "store_workers": view.store_workers,
        "paused": view.paused,
        "last_seen": view.last_seen,
        "versions": view.versions,
    }


def plain_worker(view: WorkerView) -> PlainWorker:
    """Return one worker."""
    return {
        "type": "Worker",
        "name": view.name,
        # Dask has both: its ids are names, too.
        "id": view.name,
        "host": view.host,
        "nanny": view.nanny,
        "host_id": view.host_id,
        "pid": view.pid,
        "nthreads": view.nthreads,
        "memory_limit": view.memory_limit,
        "local_directory": view.local_directory,
        "resources": view.resources,
        # A list, as JSON will have it: pages and users get the same.
        "metrics": list(view.metrics),
    }


def plain_task(view: TaskView) -> Plain:
    """Return what is known of a task, without what isn't; ``error`` is None if it hasn't failed."""
    is_known = view.status != "unknown"
    found: Plain = {}
    for name, value in msgspec.structs.asdict(view).items():
        # None says here that it hasn't failed; of every other field it says that nobody knows.
        if name == "error" and is_known:
            found[name] = None if view.error is None else msgspec.structs.asdict(view.error)
        elif value is not None:
            found[RENAMED.get(name, name)] = value
    return found
