"""Which workers and hosts are meant by the names and addresses that a user gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from himalia.messages.answers import ClusterInfo, WorkerView
from himalia.names import HostId
from himalia.wellformed import names_of


def select_workers(found: Mapping[str, WorkerView], wanted: str | Iterable[str] | None) -> dict[str, WorkerView]:
    """Return those workers that are meant by name, address, host or nanny."""
    if wanted is None:
        return dict(found)
    names = set(names_of(wanted))
    return {
        address: worker
        for address, worker in found.items()
        if names & {address, worker.name, worker.host, worker.nanny}
    }


def select_hosts(info: ClusterInfo, wanted: str | Iterable[str] | None) -> list[HostId]:
    """Return the ids of the hosts that are meant by their own names, or by those of their workers."""
    if wanted is None:
        return list(info.hosts)
    names = set(names_of(wanted))
    chosen = {worker.host_id for worker in select_workers(info.workers, names).values()}
    for host, view in info.hosts.items():
        if names & {host, view.address, view.name, view.hostname}:
            chosen.add(host)
    return [host for host in info.hosts if host in chosen]
