"""What the scheduler says of a cluster and of its workers: plain dicts that know how to look in a notebook.

In every other way they are dicts, so that code written for ``dask.distributed`` finds its keys, and they are compared
and pickled as such.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Final

from himalia.client.reprs import info_task_words
from himalia.messages.answers import ClusterInfo, HostView, WorkerView
from himalia.names import HostId
from himalia.show.html import SHOWN
from himalia.show.look import card, cell, code, fact, facts, listed, section, table
from himalia.show.natural import natural
from himalia.show.plain import plain_info, plain_worker
from himalia.show.summary import sum_of_limits
from himalia.show.text import limit_text
from himalia.show.units import format_bytes


class Described(dict[str, Any]):
    """A dict that looks like what it describes, at the time it was said: ``taken``, epoch seconds."""

    def __init__(self, info: Mapping[str, object], *, taken: float = 0.0) -> None:
        super().__init__(info)
        self.taken = taken

    def _card(self, title: str, subject: str, content: str) -> str:
        label = "" if self.taken else "as it was"
        return card(title, subject, status="was", label=label, taken=self.taken, content=content)

    def __reduce__(self) -> tuple[type[dict[str, object]], tuple[dict[str, object]]]:
        # As the plain dict that it is to other code; a reader needs no class of ours.
        return dict, (dict(self),)


class SchedulerInfo(Described):
    """The scheduler's answer about itself, its hosts and its workers.

    Attributes
    ----------
    told : ClusterInfo
        The same, as it was told.
    """

    def __init__(self, told: ClusterInfo, *, taken: float = 0.0) -> None:
        super().__init__(plain_info(told), taken=taken)
        self.told = told
        # In the place of plain dicts: one of them, looked at alone, looks like a worker.
        self["workers"] = {address: WorkerInfo(worker, taken=taken) for address, worker in told.workers.items()}

    def _repr_html_(self) -> str:
        told = self.told
        workers = told.workers.values()
        limits = [worker.memory_limit for worker in workers]
        content = facts(
            fact("Hosts", str(len(told.hosts))),
            fact("Workers", str(len(workers))),
            fact("Total threads", str(sum(worker.nthreads for worker in workers))),
            fact("Total memory", limit_text(sum_of_limits(limits)) if limits else "0 B"),
            fact("Tasks", listed(info_task_words(told))),
            fact("Clients", str(told.clients)),
        )
        content += section("Hosts", host_table(told.hosts), note=str(len(told.hosts)))
        content += section("Workers", worker_table(told.workers), note=str(len(workers)))
        return self._card("Scheduler", told.address, content)


class WorkerInfo(Described):
    """What the scheduler knows of one worker."""

    def __init__(self, told: WorkerView, *, taken: float = 0.0) -> None:
        super().__init__(plain_worker(told), taken=taken)
        self.told = told

    def _repr_html_(self) -> str:
        told = self.told
        cpu, memory, running = told.metrics
        resources = ", ".join(f"{name} {amount:g}" for name, amount in told.resources.items())
        content = facts(
            fact("Threads", str(told.nthreads)),
            fact("Running", str(running)),
            fact("CPU", f"{cpu:.0%}"),
            fact("Memory", f"{format_bytes(memory)} of {limit_text(told.memory_limit)}"),
            *([fact("Resources", escape(resources))] if resources else []),
        )
        content += facts(
            fact("Host", escape(told.host), code=True),
            fact("Nanny", escape(told.nanny), code=True),
            fact("Process", str(told.pid), code=True),
            fact("Local directory", escape(told.local_directory), code=True),
            fine=True,
        )
        return self._card("Worker", told.name, content)


HEADS: Final = ("Name", "Host", "Threads", "Running", "CPU", "Memory", "Memory limit")


def worker_table(workers: Mapping[str, WorkerView]) -> str:
    """Return a row for each worker."""
    found = sorted(workers.values(), key=lambda worker: natural(worker.name))
    rows = []
    for worker in found[:SHOWN]:
        cpu, memory, running = worker.metrics
        numbers = (worker.nthreads, running, f"{cpu:.0%}", format_bytes(memory), limit_text(worker.memory_limit))
        rows.append((cell(worker.name), cell(worker.host), *(cell(number, number=True) for number in numbers)))
    return table(HEADS, rows, numbers=HEADS[2:], more=len(found) - SHOWN)


def host_table(hosts: Mapping[HostId, HostView]) -> str:
    """Return a row for each host."""
    heads = ("Nanny", "Address", "Threads", "Results", "Spilled", "Store's limit")
    found = list(hosts.values())
    rows = []
    for host in found[:SHOWN]:
        sizes = [format_bytes(nbytes) for nbytes in (host.store_bytes, host.spilled_bytes)]
        numbers = (host.nthreads, *sizes, limit_text(host.memory_limit))
        name = host.name or host.hostname
        rows.append((cell(name), code(host.address), *(cell(number, number=True) for number in numbers)))
    return table(heads, rows, numbers=heads[2:], more=len(found) - SHOWN)
