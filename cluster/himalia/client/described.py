"""What the scheduler says of a cluster and of its workers: plain dicts that know how to look in a notebook.

Decides nothing but the look.  They are dicts in every other way, so that code written for ``dask.distributed`` finds
its keys, and they are compared and pickled as such.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any, Final

from himalia.client.reprs import info_task_words
from himalia.show.html import SHOWN
from himalia.show.look import card, cell, code, fact, facts, section, table
from himalia.show.summary import natural
from himalia.show.text import limit_text
from himalia.show.units import format_bytes


class Described(dict[str, Any]):
    """A dict that looks like what it describes, at the time it was said: ``taken``, epoch seconds."""

    def __init__(self, info: Mapping[str, Any], *, taken: float = 0.0) -> None:
        super().__init__(info)
        self.taken = taken

    def _card(self, title: str, subject: str, content: str) -> str:
        label = "" if self.taken else "as it was"
        return card(title, subject, status="was", label=label, taken=self.taken, content=content)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return dict, (dict(self),)


class SchedulerInfo(Described):
    """The scheduler's answer about itself, its hosts and its workers."""

    def __init__(self, info: Mapping[str, Any], *, taken: float = 0.0) -> None:
        super().__init__(info, taken=taken)
        workers = info.get("workers", {}).items()
        self["workers"] = {address: WorkerInfo(worker, taken=taken) for address, worker in workers}

    def _repr_html_(self) -> str:
        workers, hosts = self["workers"].values(), self.get("hosts", {}).values()
        limits = [worker["memory_limit"] for worker in workers]
        content = facts(
            fact("Hosts", str(len(hosts))),
            fact("Workers", str(len(workers))),
            fact("Total threads", str(sum(worker["nthreads"] for worker in workers))),
            fact("Total memory", limit_text(sum(limits) if all(limits) else 0) if limits else "0 B"),
            fact("Tasks", escape(info_task_words(self))),
            fact("Clients", str(self.get("clients", 0))),
        )
        content += section("Hosts", host_table(self), note=str(len(hosts)))
        content += section("Workers", worker_table(self["workers"]), note=str(len(workers)))
        return self._card(str(self.get("type", "Scheduler")), str(self.get("address", "")), content)


class WorkerInfo(Described):
    """What the scheduler knows of one worker."""

    def _repr_html_(self) -> str:
        cpu, memory, running = self.get("metrics") or (0.0, 0, 0)
        resources = ", ".join(f"{name} {amount:g}" for name, amount in (self.get("resources") or {}).items())
        content = facts(
            fact("Threads", str(self.get("nthreads", 0))),
            fact("Running", str(running)),
            fact("CPU", f"{cpu:.0%}"),
            fact("Memory", f"{format_bytes(memory)} of {limit_text(self.get('memory_limit', 0))}"),
            *([fact("Resources", escape(resources))] if resources else []),
        )
        content += facts(
            *(
                fact(label, escape(str(self.get(field, ""))), code=True)
                for label, field in (
                    ("Host", "host"), ("Nanny", "nanny"), ("Process", "pid"), ("Local directory", "local_directory"),
                )
            ),
            fine=True,
        )  # fmt: skip
        return self._card(str(self.get("type", "Worker")), str(self.get("name", "")), content)


HEADS: Final = ("Name", "Host", "Threads", "Running", "CPU", "Memory", "Memory limit")


def worker_table(workers: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a row for each worker."""
    found = sorted(workers.values(), key=lambda worker: natural(str(worker["name"])))
    rows = []
    for worker in found[:SHOWN]:
        cpu, memory, running = worker.get("metrics") or (0.0, 0, 0)
        numbers = (worker["nthreads"], running, f"{cpu:.0%}", format_bytes(memory), limit_text(worker["memory_limit"]))
        rows.append((cell(worker["name"]), cell(worker["host"]), *(cell(number, number=True) for number in numbers)))
    return table(HEADS, rows, numbers=HEADS[2:], more=len(found) - SHOWN)


def host_table(info: Mapping[str, Any]) -> str:
    """Return a row for each host."""
    heads = ("Nanny", "Address", "Threads", "Results", "Spilled", "Store's limit")
    found = list(info.get("hosts", {}).values())
    rows = []
    for host in found[:SHOWN]:
        sizes = [format_bytes(host.get(field, 0)) for field in ("store_bytes", "spilled_bytes")]
        numbers = (host.get("nthreads", 0), *sizes, limit_text(host.get("memory_limit", 0)))
        name = host.get("name") or host.get("hostname", "")
        rows.append((cell(name), code(host.get("address", "")), *(cell(number, number=True) for number in numbers)))
    return table(heads, rows, numbers=heads[2:], more=len(found) - SHOWN)
