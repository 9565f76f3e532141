"""How a client, a future and a list of futures look, as text and as static HTML.

Decides what is shown of them; how a page shows it is decided in ``show/look.py``.  Everything that came from a user is
escaped.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Final

import msgspec

from himalia.client.engine.state import CANCELLED, ERROR, FINISHED, LOST, PENDING, Record
from himalia.messages.answers import ClusterInfo
from himalia.messages.parts import HostInfo
from himalia.messages.telemetry import TaskCounts
from himalia.names import HostId, shorten
from himalia.plural import plural
from himalia.show.html import dashboard_fact, totals
from himalia.show.look import card, cell, code, fact, facts, listed, section, share, table, time_of_day
from himalia.show.summary import ClusterSummary
from himalia.show.text import total_memory
from himalia.show.units import format_bytes
from himalia.telemetry.errors import headline
from himalia.telemetry.group_names import group_name

RELEASED: Final = "released"
ORDER: Final[tuple[str, ...]] = (FINISHED, PENDING, ERROR, LOST, CANCELLED, RELEASED)
"""Of statuses, in a sentence about many futures."""
WORDS: Final[dict[str, str]] = {ERROR: "failed"}
"""What a status is called there, if not by its name."""
FIRST: Final = {ERROR: 0, LOST: 1, CANCELLED: 2, PENDING: 3, FINISHED: 4}
"""Which futures a table shows first, of many: those that somebody looks for."""
ROWS: Final = 20
"""Futures in a table: about 4 KB of a saved notebook."""
NAMED: Final = 4
"""Functions named of a list of futures."""


class Futures(msgspec.Struct):
    """What is shown of a list of futures; none of them is kept alive by it."""

    records: list[Record]
    names: dict[int, object]
    """Keys as their user knows them, by place, where they aren't the records' own."""
    functions: str
    """What was called."""


def function_words(names: Iterable[object]) -> str:
    """Return the functions that most of these keys are of."""
    found = Counter([group_name(name) for name in names])
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return ", ".join(shorten(name) for name, _ in found.most_common(NAMED)) + more


def future_text(record: Record, name: object) -> str:
    """Return the repr of a future."""
    kind = f", type: {record.type_name}" if record.type_name else ""
    return f"<Future: {record.status}{kind}, key: {shorten(str(name))}>"


def future_html(record: Record, name: object, hosts: Mapping[HostId, HostInfo]) -> str:
    """Return a future as a card."""
    found = [fact("Function", escape(group_name(name)))]
    if record.type_name:
        found.append(fact("Type", escape(record.type_name)))
    if record.status is FINISHED:
        found.append(fact("Size", format_bytes(record.nbytes)))
        found.append(fact("Held by", escape(holders(record, hosts))))
    if record.error is not None:
        if record.error.worker:
            found.append(fact("Worker", escape(record.error.worker)))
        found.append(fact("Error", escape(shorten(headline(record.error), 200))))
    if record.reason:
        found.append(fact("Why", escape(record.reason)))
    content = facts(*found)
    if record.error is not None and "\n" in record.error.text.strip():
        content += section("Full error", f"<pre>{escape(record.error.text)}</pre>")
    return card("Future", shorten(str(name)), status=record.status, content=content)


def futures_text(counts: Mapping[str, int]) -> str:
    """Return many futures as a sentence.

    >>> futures_text({"error": 8, "finished": 480, "pending": 12})
    '500 futures: 480 finished, 12 pending, 8 failed'
    """
    return f"{plural(sum(counts.values()), 'future')}: {status_words(counts)}"


def futures_html(futures: Futures) -> str:
    """Return a list of futures as a card, with a table of some once all have settled.

    The table folds; while they change it would fold itself at every change.
    """
    records = futures.records
    counts = count_statuses(records)
    total = len(records)
    held = sum([record.nbytes for record in records if record.status is FINISHED])
    content = share(counts) + facts(
        fact("Status", listed(status_words(counts))),
        fact("Function", escape(futures.functions)),
        fact("Size of results", format_bytes(held)),
    )
    if not counts.get(PENDING):
        content += section("Futures", futures_table(futures), note=f"{total:,}")
    worst = next((status for status in (ERROR, LOST, PENDING, CANCELLED) if counts.get(status)), FINISHED)
    done = ended(counts)
    label = f"{done:,} of {total:,} done" if done < total else "done"
    return card(plural(total, "future"), "", status=worst, label=label, content=content)


def futures_table(futures: Futures) -> str:
    """Return a row for each of the first futures, those that failed before all others."""
    records = futures.records
    # A list may have a hundred thousand, of which these few are shown.
    chosen = heapq.nsmallest(ROWS, range(len(records)), key=lambda index: (FIRST[records[index].status], index))
    rows = []
    for index in chosen:
        record = records[index]
        what = headline(record.error) if record.error is not None else record.type_name or record.reason
        size = format_bytes(record.nbytes) if record.status is FINISHED else ""
        name = shorten(str(futures.names.get(index, record.key)))
        status = WORDS.get(record.status, record.status)
        rows.append(
            (
                cell(index, number=True),
                code(name),
                cell(status),
                cell(shorten(what, 120)),
                cell(size, number=True),
            )
        )
    heads = ("Place", "Key", "Status", "Type or error", "Size")
    return table(heads, rows, numbers=("Place", "Size"), more=len(records) - len(chosen))


def count_statuses(records: Sequence[Record]) -> dict[str, int]:
    """Return how many records are in each status, in the order of a sentence."""
    found: Counter[str] = Counter([record.status for record in records])
    # What had settled before it was released keeps its status.
    if found[PENDING]:
        found[RELEASED] = sum([is_released(record) for record in records])
        found[PENDING] -= found[RELEASED]
    return {status: found[status] for status in ORDER if found[status]}


def ended(counts: Mapping[str, int]) -> int:
    """Return how many came to their own end, what "54 of 100" says: :class:`~himalia.messages.telemetry.TaskCounts`.

    >>> ended({"finished": 50, "error": 4, "cancelled": 46})
    54
    """
    return sum(counts.get(status, 0) for status in (FINISHED, ERROR, LOST))


def is_released(record: Record) -> bool:
    """Whether nobody holds a future of a record any more that hadn't settled by then."""
    return record.status is PENDING and record.refs <= 0


def status_words(counts: Mapping[str, int]) -> str:
    """Return ``480 finished, 12 pending, 8 failed``."""
    return ", ".join(f"{counts[status]:,} {WORDS.get(status, status)}" for status in ORDER if counts.get(status))


def holders(record: Record, hosts: Mapping[HostId, HostInfo]) -> str:
    """Return the names of the hosts that hold a result."""
    names = [hosts[host].name or hosts[host].hostname if host in hosts else host for host in record.holders]
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def client_text(kind: str, status: str, summary: ClusterSummary) -> str:
    """Return the repr of a client."""
    if not summary.scheduler_id:
        return f"<{kind}: {summary.comm!r} {status}>"
    return (
        f"<{kind}: {summary.comm!r} workers={len(summary.workers)} threads={summary.total_threads}, "
        f"memory={total_memory(summary)}>"
    )


def client_html(
    kind: str,
    name: str,
    status: str,
    summary: ClusterSummary,
    tasks: str = "",
    *,
    taken: float = 0.0,
    is_live: bool = False,
) -> str:
    """Return a client as a card, with the totals of its cluster as far as they are known.

    ``taken``, epoch seconds, is when it was so: the card is saved with the notebook, and its client isn't.  One that
    ``is_live`` changes with its client, and leads to the dashboard as long as that runs.
    """
    found = [fact("Cluster", escape(summary.name or "unknown"))]
    if summary.scheduler_id:
        found += [*totals(summary), fact("Tasks", listed(tasks or "0"))]
    # A card is saved with its notebook, and shall not lead to a closed door.
    links = [dashboard_fact(summary, "client.dashboard_link", is_live=is_live)] if status == "running" else []
    links.append(fact("Scheduler", escape(summary.comm or "none"), code=True))
    content = facts(*found) + facts(*links, fine=True)
    if status != "running" or not taken:
        return card(kind, name, status=status, content=content)
    label = f"running at {time_of_day(taken, '%H:%M')}"  # to the minute: a live card changes with it
    return card(kind, name, status=status, content=content, label=label, taken=taken)


def task_words(counts: TaskCounts, threads: int) -> str:
    """Say where tasks are, in the words of widget and dashboard.

    >>> task_words(TaskCounts(96, 12, 3315, 49), threads=8)
    '8 running, 100 waiting, 3,315 done, 49 failed'
    """
    # What more hosts were sent is next in line there.
    running = min(counts.assigned, threads)
    told = (
        (running, "running"), (counts.left - running, "waiting"), (counts.done, "done"), (counts.failed, "failed"),
        (counts.cancelled, "cancelled"),
    )  # fmt: skip
    return ", ".join(f"{number:,} {word}" for number, word in told if number) or "none"


def info_task_words(info: ClusterInfo | None) -> str:
    """Return the same of what a scheduler says, if it says anything; of one that didn't count, how many it knows."""
    if info is None:
        return "0"
    return task_words(info.counts, threads_of(info)) if info.counts is not None else f"{info.tasks:,}"


def threads_of(info: ClusterInfo | None) -> int:
    """Return how many calls can run at a time."""
    return sum(worker.nthreads for worker in info.workers.values()) if info is not None else 0
