"""All that is known of one key, in plain builtins: what a person who asks about a task is shown."""

from __future__ import annotations

from typing import Any, Final

from himalia.names import Key
from himalia.scheduler.overview import explain
from himalia.scheduler.state import ASSIGNED, SchedulerState, SchedulerTask

NEIGHBOURS: Final = 50
"""Inputs and dependents that are named; their number is told in any case."""


def describe_task(core: SchedulerState, key: Key) -> dict[str, Any]:
    """Return what the scheduler knows of a key; of one that it doesn't know, ``status`` is ``unknown``.

    ``events`` are (seconds since, kind, text), of what happened out of the ordinary; ``dependencies`` and
    ``dependents`` are the first few as (key, status).
    """
    task = core.tasks.get(key)
    events = [(core.now - event.time, event.kind, event.text) for event in core.events.of(key)]
    if task is None:
        return {"key": key, "status": "unknown", "why": explain(core, key), "events": events}
    options = task.options
    running = task.host if task.status is ASSIGNED else None
    dependents = task.dependents or {}
    return {
        "key": key,
        "group": task.group.name,
        "span": task.group.span,
        "status": task.status.label,
        "why": explain(core, key),
        "priority": list(task.priority),
        "attempt": task.attempt,
        "tries": task.tries,
        "retries": task.retries,
        "strikes": task.strikes,
        "nbytes": task.nbytes,
        "type": task.type_name,
        "host": running.label if running is not None else "",
        "worker": task.worker.info.name if task.worker is not None else "",
        "holders": [host.label for host in task.holders],
        "placed": task.placed,
        "workers": list(options.workers) if options is not None else [],
        "resources": dict(options.resources) if options is not None else {},
        "dependencies": neighbours(list(task.dependencies[:NEIGHBOURS])),
        "ndependencies": len(task.dependencies),
        "dependents": neighbours([dependent for _, dependent in zip(range(NEIGHBOURS), dependents, strict=False)]),
        "ndependents": len(dependents),
        "error": None
        if task.error is None
        else {
            "key": task.error.key,
            "kind": task.error.kind,
            "text": task.error.text,
            "worker": task.error.worker,
            "attempts": task.error.attempts,
        },
        "events": events,
    }


def neighbours(tasks: list[SchedulerTask]) -> list[tuple[str, str]]:
    """Return tasks as (key, status)."""
    return [(task.key, task.status.label) for task in tasks]
