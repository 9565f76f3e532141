"""What the pages without plots show, as plain data for JSON; texts are raw, and written as text by who shows them."""

from __future__ import annotations

from dataclasses import asdict
from operator import itemgetter
from typing import Any, Final, TypedDict

import msgspec

from himalia.messages.answers import ProcessLogs
from himalia.messages.telemetry import LogLine
from himalia.show.plain import Plain
from himalia_widgets.dashboard.layout import INDIVIDUAL
from himalia_widgets.view.history import History
from himalia_widgets.view.profile import Samples, functions
from himalia_widgets.view.tables.errors import error_rows
from himalia_widgets.view.tables.groups import group_rows
from himalia_widgets.view.tables.summary import summarize
from himalia_widgets.view.tables.workers import running_calls, worker_rows

LINES: Final = 5000
"""Lines of a log told at once."""
EVENTS: Final = 200


class WorkerStory(TypedDict):
    """One worker, and what happened to it."""

    worker: Plain | None
    """Its row; None if it is gone."""
    running: list[Plain]
    events: list[Plain]


class LogPage(TypedDict):
    """Lines in the order of their times, and which processes have any."""

    lines: list[Plain]
    processes: list[str]


def describe_summary(history: History) -> dict[str, Any]:
    """Return the numbers of the header."""
    now = summarize(history)
    return now._asdict() | {"running": now.running, "waiting": now.waiting}


def describe_workers(history: History) -> dict[str, list[Plain]]:
    """Return a row for each worker."""
    return {"workers": [row._asdict() for row in worker_rows(history)]}


def describe_worker(history: History, name: str) -> WorkerStory:
    """Return one worker: its row (none if it is gone), what it runs, and what happened to it."""
    row = next((row._asdict() for row in worker_rows(history) if row.name == name), None)
    calls = [
        {"key": key, "function": function, "seconds": run} for _, key, function, run in running_calls(history, name)
    ]
    return {"worker": row, "running": calls, "events": describe_events(history, name)}


def describe_events(history: History, subject: str | None = None) -> list[Plain]:
    """Return the newest rare events, of one subject or of all, the newest first."""
    found = [event for event in history.events if subject is None or event.subject == subject][-EVENTS:]
    return [
        {"time": history.local(event.time), "kind": event.kind, "subject": event.subject, "text": event.text}
        for event in reversed(found)
    ]


def describe_calls(history: History, key: str) -> list[Plain]:
    """Return each time that a task was computed, as far as it is remembered, the newest first."""
    calls = history.calls
    found = []
    for row in reversed(calls.of_key(key)[-EVENTS:]):
        lane = calls.lanes[int(calls["lane"][row])]
        seconds = {part: float(calls[part][row]) for part in ("transfer", "deserialize", "compute", "serialize")}
        found.append(
            {"start": float(calls["start"][row]), "worker": lane.worker, "thread": lane.thread,
             "failed": bool(calls["failed"][row]), "nbytes": int(calls["nbytes"][row]), **seconds}
        )  # fmt: skip
    return found


def describe_groups(history: History) -> dict[str, list[dict[str, Any]]]:
    """Return a row for each function."""
    return {
        "groups": [
            {"name": row.progress.name, "color": row.color, "calls": row.progress.ended, "failed": row.progress.failed,
             "cancelled": row.progress.cancelled, "left": row.progress.left, "memory": row.memory, "peak": row.peak,
             "moved": row.moved, "seconds": row.means.seconds, **row.means._asdict()}
            for row in group_rows(history)
        ]
    }  # fmt: skip


def describe_errors(history: History) -> dict[str, list[Plain]]:
    """Return the failed calls by cause."""
    rows = [asdict(row) for row in error_rows(history)]
    return {"errors": [row | {"frames": [msgspec.structs.asdict(frame) for frame in row["frames"]]} for row in rows]}


def describe_logs(logs: ProcessLogs, now: float) -> LogPage:
    """Return the lines of all processes in the order of their times, the last of them; of one that can't tell, why."""
    problems = {process: [LogLine(now, "ERROR", why)] for process, why in logs.problems.items()}
    told = (logs.lines | problems).items()
    # By the time alone: lines have no order of their own, and those of one moment stay as they came.
    found = sorted([(line.time, process, line) for process, lines in told for line in lines], key=itemgetter(0))
    rows = [
        {"process": process, "time": time, "source": line.source, "text": line.text, "key": line.key}
        for time, process, line in found[-LINES:]
    ]
    return {"lines": rows, "processes": sorted(logs.lines.keys() | problems)}


def describe_functions(history: History, samples: Samples) -> dict[str, list[str]]:
    """Return the functions to choose from: those that were submitted, and those that samples are of."""
    return {
        "submitted": list(dict.fromkeys(name for name, _ in history.groups))[:1000],
        "sampled": [name for name, _ in functions(samples)],
    }


def describe_plots() -> dict[str, str]:
    """Return the title of each plot that has a page of its own, by its address."""
    return {page.path[1:]: page.title for page in INDIVIDUAL}
