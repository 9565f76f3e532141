"""All that is known of one key: what a person who asks about a task is shown."""

from __future__ import annotations

from typing import Final

from himalia.bounds import cut
from himalia.messages.answers import ErrorView, TaskView
from himalia.messages.parts import TaskError
from himalia.names import Key
from himalia.scheduler.explaining.task import explain
from himalia.scheduler.state import ASSIGNED, SchedulerState, SchedulerTask

NEIGHBOURS: Final = 50
"""Inputs and dependents that are named; their number is told in any case."""


def describe_task(state: SchedulerState, key: Key) -> TaskView:
    """Return what the scheduler knows of a key; of one that it doesn't know, ``status`` is ``unknown``."""
    task = state.tasks.get(key)
    events = [(state.now - event.time, event.kind, event.text) for event in state.events.of(key)]
    why = cut(explain(state, key))
    if task is None:
        return TaskView(key=key, why=why, events=events)
    options = task.options
    running = task.host if task.status is ASSIGNED else None
    dependents = task.dependents or {}
    return TaskView(
        key=key,
        status=task.status.label,
        why=why,
        events=events,
        group=task.group.name,
        span=task.group.span,
        priority=task.priority,
        attempt=task.attempt,
        tries=task.tries,
        retries=task.retries,
        strikes=task.strikes,
        nbytes=task.nbytes,
        type_name=task.type_name,
        host=running.label if running is not None else "",
        worker=task.worker.info.name if task.worker is not None else "",
        holders=[host.label for host in task.holders],
        placed=task.placed,
        workers=list(options.workers) if options is not None else [],
        resources=options.resources if options is not None else {},
        dependencies=neighbours(list(task.dependencies[:NEIGHBOURS])),
        ndependencies=len(task.dependencies),
        dependents=neighbours([dependent for _, dependent in zip(range(NEIGHBOURS), dependents, strict=False)]),
        ndependents=len(dependents),
        error=describe_error(task.error) if task.error is not None else None,
    )


def describe_error(error: TaskError) -> ErrorView:
    """Return what is shown of an error."""
    return ErrorView(error.key, error.kind, error.text, error.worker, error.attempts)


def neighbours(tasks: list[SchedulerTask]) -> list[tuple[Key, str]]:
    """Return tasks as (key, status)."""
    return [(task.key, task.status.label) for task in tasks]
