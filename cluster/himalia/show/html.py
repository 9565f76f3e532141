"""A cluster as static HTML: what a notebook shows, and still shows when it was saved, sent and opened elsewhere.

Which facts stand where is decided here, how they look in ``look.py``.  Everything that comes from a cluster is escaped.
"""

from __future__ import annotations

from html import escape
from typing import Final

from himalia.show.look import card, cell, code, exact, fact, facts, section, table, time_of_day
from himalia.show.summary import ClusterSummary
from himalia.show.text import count_of, limit_text, no_dashboard_text, total_memory
from himalia.show.units import format_ago

SHOWN: Final = 200
"""Rows of the workers' table at most: about 60 KB of a saved notebook."""


def render(summary: ClusterSummary, *, now: float) -> str:
    """Return the HTML of a cluster.

    Parameters
    ----------
    now : float
        Seconds since the epoch that "ago" counts from.
    """
    content = facts(*totals(summary), fact("Using processes", str(summary.processes)))
    content += facts(dashboard_fact(summary), fine=True) + scheduler(summary, now) + workers(summary)
    # What runs is known to have run then: a page that changes is a widget, and this is read when it was saved.
    changes = summary.status in ("running", "starting")
    label = f"{summary.status} at {time_of_day(now)}" if changes else ""
    title, name, status = summary.title, summary.name, summary.status
    # The time only where it matters: what has ended looks like this for ever.
    return card(title, name, status=status, content=content, label=label, taken=now if changes else 0.0, moon=True)


def totals(summary: ClusterSummary) -> list[str]:
    """Return how much there is to compute with: workers, threads, memory."""
    return [
        fact("Workers", escape(count_of(summary))),
        fact("Total threads", str(summary.total_threads)),
        fact("Total memory", total_memory(summary)),
    ]


def scheduler(summary: ClusterSummary, now: float) -> str:
    """Return the section about the scheduler."""
    count, threads, memory = totals(summary)
    content = facts(
        fact("Id", escape(summary.scheduler_id or "unknown"), code=True),
        fact("Comm", escape(summary.comm or "none"), code=True),
        dashboard_fact(summary),
        count,
        threads,
        fact("Started", started(summary.started, now)),
        memory,
        fine=True,
    )
    return section("Scheduler info", content)


def workers(summary: ClusterSummary) -> str:
    """Return the section with a row per worker."""
    heads = ("Name", "Comm", "Threads", "Memory limit", "Nanny", "Local directory")
    rows = [
        (
            cell(worker.name),
            code(worker.comm),
            cell(worker.nthreads, number=True),
            cell(limit_text(worker.memory_limit), number=True),
            code(worker.nanny),
            code(worker.local_directory),
        )
        # A notebook keeps what it shows, in every cell that names the cluster.
        for worker in summary.workers[:SHOWN]
    ]
    more = len(summary.workers) - SHOWN
    content = table(heads, rows, numbers=("Threads", "Memory limit"), more=more)
    return section("Workers", content, note=count_of(summary))


def dashboard_fact(summary: ClusterSummary, link: str = "cluster.dashboard_link", *, is_live: bool = False) -> str:
    """Return the dashboard's place and the expression whose value opens it, or that there is none.

    It is a link where the cluster runs and the card changes with it (``is_live``): for a browser that was let in
    before, and for others the page there says how to get in.  Else it is none: what is saved with a notebook opens
    nothing, so whoever followed it would stand before a closed door.
    """
    if not summary.dashboard:
        return fact("Dashboard", escape(no_dashboard_text(summary.no_dashboard)), off=True)
    place = escape(summary.dashboard)
    # A peer says what it is: only what leads to a page becomes a link.
    if is_live and summary.dashboard.startswith(("http://", "https://")):
        place = f'<a href="{place}" target="_blank" rel="noopener noreferrer">{place}</a>'
        why = "the first time needs a fresh link"
    else:
        why = "needs a fresh link"
    return fact("Dashboard", f"{place}<div><small>{why}: <code>{link}</code></small></div>")


def started(moment: float, now: float) -> str:
    """Return how long ago, with the time itself for whoever opens the saved notebook later."""
    if not moment:
        return "unknown"
    # "5 minutes ago" says nothing in a notebook that is opened next week.
    return f'<time title="{exact(moment)}">{format_ago(now - moment)}</time>'
