"""A cluster as text: one line for ``repr()``, a small table for a terminal.

Nobody is asked for anything: all facts come as a :class:`ClusterSummary`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from himalia.show.summary import ClusterSummary
from himalia.show.units import format_ago, format_bytes

SHOWN: Final = 20
"""Workers listed at most; more don't fit a screen."""
NO_DASHBOARD: Final = "not running"


def describe_line(summary: ClusterSummary) -> str:
    """Return the one line of ``repr(cluster)``."""
    return (
        f"{summary.title}({clean(summary.name)}, {clean(summary.comm)!r}, status={summary.status}, "
        f"workers={count_of(summary)}, threads={summary.total_threads}, memory={total_memory(summary)}"
        # Only where it is news: a line has room for little.
        f"{', dashboard=None (himalia[jupyter] is not installed)' if summary.no_dashboard else ''})"
    )


def count_of(summary: ClusterSummary) -> str:
    """Return ``2``, or ``1 of 2`` while not all are there."""
    count = len(summary.workers)
    # Of one that has ended, "0 of 4" would look as if some were to come.
    if summary.expected is None or summary.expected == count or summary.status not in ("starting", "running"):
        return str(count)
    return f"{count} of {summary.expected}"


def total_memory(summary: ClusterSummary) -> str:
    """Return what all workers may use together."""
    return limit_text(summary.total_memory) if summary.workers else "0 B"


def limit_text(nbytes: int) -> str:
    """Return a size, or that there is no limit."""
    return format_bytes(nbytes) if nbytes else "unlimited"


def describe_cluster(summary: ClusterSummary, *, now: float) -> str:
    """Return the lines that a terminal shows of a cluster: everything that the HTML has."""
    ago = format_ago(now - summary.started) if summary.started else "unknown"
    pairs = [
        ("Dashboard", dashboard_text(summary.dashboard, summary.name, summary.no_dashboard)),
        ("Status", summary.status),
        ("Workers", count_of(summary)),
        ("Total threads", str(summary.total_threads)),
        ("Total memory", total_memory(summary)),
        ("Using processes", str(summary.processes)),
        ("Scheduler", summary.scheduler_id or "unknown"),
        ("Comm", summary.comm or "none"),
        ("Started", ago),
    ]
    lines = [f"{summary.title} {clean(summary.name)}", *(f"  {name + ':':<17}{clean(value)}" for name, value in pairs)]
    if summary.workers:
        lines += ["", *("  " + line for line in table(worker_rows(summary)))]
    if len(summary.workers) > SHOWN:
        lines.append(f"  … and {len(summary.workers) - SHOWN} more")
    return "\n".join(lines)


def dashboard_text(link: str, name: str, why: str = "") -> str:
    """Return the place of a cluster's dashboard and how to get in, or that there is none, and what to do about it."""
    return f"{link} (himalia dashboard {name} opens it)" if link else no_dashboard_text(why)


def no_dashboard_text(why: str) -> str:
    """Say that there is no dashboard, and what to do about it.

    >>> no_dashboard_text("Views need a package."), no_dashboard_text("")
    ('not running. Views need a package.', 'not running')
    """
    return f"{NO_DASHBOARD}. {why}" if why else NO_DASHBOARD


def worker_rows(summary: ClusterSummary) -> list[tuple[str, ...]]:
    """Return the header and a row for each worker shown."""
    header = ("Worker", "Comm", "Threads", "Memory limit", "Nanny", "Local directory")
    rows = [
        (
            worker.name,
            worker.comm,
            str(worker.nthreads),
            limit_text(worker.memory_limit),
            worker.nanny,
            worker.local_directory,
        )
        for worker in summary.workers[:SHOWN]
    ]
    return [header, *rows]


def table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return lines with each column as wide as its widest cell."""
    # Before the widths are measured: an escape is longer than what it stands for.
    cleaned = [tuple(clean(cell) for cell in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cleaned, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cleaned]


def clean(text: str) -> str:
    """Return ``text`` without what would move a terminal's cursor or break the line."""
    # A host's name or a path with an escape sequence could write anything to a terminal.
    return text if text.isprintable() else ascii(text)[1:-1]
