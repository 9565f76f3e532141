"""Why a task is where it is, in one sentence, whatever its status: what it waits for, since when, what will be done.

What one at a host waits for there is said in ``assigned``, what keeps a store full in ``store``.  If the scheduler
itself says nothing, the client explains that (``client/engine/explaining.py``).
"""

from __future__ import annotations

from typing import Final

from himalia.messages.parts import TaskError
from himalia.names import Key, shorten
from himalia.plural import plural
from himalia.scheduler.explaining.assigned import explain_assigned, explain_quiet, explain_silent
from himalia.scheduler.explaining.store import explain_mappings
from himalia.scheduler.restrictions import eligible
from himalia.scheduler.state import (
    ASSIGNED,
    ERRED,
    FINISHED,
    QUEUED,
    WAITING,
    Requirement,
    SchedulerState,
    SchedulerTask,
)

CHAIN: Final = 1000
"""Tasks, each an input of the one before, that are followed to find what a task waits for in the end: 0.2 ms, measured,
and more than most graphs are deep."""


def explain(state: SchedulerState, key: Key) -> str:
    """Say in one sentence why a task is where it is; for the name of a group, one of its tasks that wait."""
    task = state.tasks.get(key) or find_waiting(state, key)
    name = shorten(task.key if task is not None else key)
    if task is None:
        return f"{name} is not known to the scheduler: nobody wants it any more, or it was never submitted here."
    match task.status:
        case s if s is WAITING:
            return explain_waiting(state, task, name)
        case s if s is QUEUED:
            return explain_queued(state, task, name)
        case s if s is ASSIGNED:
            assert task.host is not None
            return explain_assigned(state, task, task.host, name)
        case s if s is FINISHED:
            where = ", ".join(host.label for host in task.holders)
            held = "".join([explain_mappings(host) for host in task.holders])
            return f"{name} is finished: {task.nbytes:,} bytes at {where}.{held}{explain_silent(state, task.holders)}"
        case s if s is ERRED:
            assert task.error is not None
            return explain_failed(name, task.error, is_root=task.error.key == key)
        case _:
            return f"{name} is known but not being computed: nothing that was asked for needs it now."


def explain_failed(name: str, error: TaskError, *, is_root: bool) -> str:
    """Say how a task failed, by its own error or an input's, and name each once."""
    root = shorten(error.key)
    # A sentence of ours (`x was given up …`) goes on where this one begins; what a call raised is quoted.
    if error.text.startswith(root + " "):
        return error.text if is_root else f"{name} failed because its input {error.text}"
    return f"{name} failed: {error.text}" if is_root else f"{name} failed because its input {root} did: {error.text}"


def find_waiting(state: SchedulerState, group: str) -> SchedulerTask | None:
    """Return a task of this group that waits, for whoever sees a bar of many; looks at every task."""
    waiting = (task for task in state.tasks.values() if task.status in (WAITING, QUEUED))
    return next((task for task in waiting if task.group.name == group), None)


def explain_waiting(state: SchedulerState, task: SchedulerTask, name: str) -> str:
    """Name the inputs that a task waits for, and say why the first of them isn't there."""
    missing = missing_of(task)
    if not missing:
        return f"{name} has all its inputs and is about to be placed."
    first = last = missing[0]
    for _ in range(CHAIN):
        further = missing_of(last) if last.status is WAITING else []
        if not further:
            break
        last = further[0]
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    text = f"{name} waits for its input {shorten(first.key)} ({first.status.label}){more}."
    if last.status is WAITING:
        return text
    return (
        f"{text} {'' if last is first else 'That one waits in turn; in the end for this: '}{explain(state, last.key)}"
    )


def missing_of(task: SchedulerTask) -> list[SchedulerTask]:
    """Return the inputs of a task that aren't there."""
    return [dependency for dependency in task.dependencies if dependency.status is not FINISHED]


def explain_queued(state: SchedulerState, task: SchedulerTask, name: str) -> str:
    """Say what a ready task lacks: hosts, fitting workers, or a free one."""
    if task.requirement is not None:
        return explain_requirement(state, task.requirement, name)
    if not state.hosts and state.last_left is not None:
        return explain_no_host(state, name, *state.last_left)
    if not any(host.nthreads for host in state.hosts.values()):
        return (
            f"{name} is ready, but there are no workers.{explain_last_end(state)} Start some: cluster.scale(n), or "
            f"`himalia worker ADDRESS`."
        )
    paused = sum(host.paused for host in state.hosts.values())
    if paused == len(state.hosts):
        disks = {host.metrics.use.disk for host in state.hosts.values()} - {""}
        disk = f" Their disks take no more: {', '.join(sorted(disks))}." if disks else ""
        alone = paused == 1
        who, whose = ("the only host is", "its") if alone else (f"all {paused} hosts are", "their")
        goes, each = ("It goes", "it runs") if alone else ("They go", "each runs")
        return (
            f"{name} is ready, but {who} paused{explain_pause(state)} because {whose} memory is nearly "
            f"full.{disk} {goes} on when enough of it was released or has moved to disk; until then {each} one "
            f"call at a time. Release futures."
        )
    ahead = sum(entry[0] < task.priority for entry in state.queue.entries())
    before = f"about {plural(ahead, 'task')} {'is' if ahead == 1 else 'are'}"
    return f"{name} is ready and held back until a worker is free; {before} before it.{explain_quiet(state)}"


def explain_last_end(state: SchedulerState) -> str:
    """Say which worker ended last, when, and what is done about it."""
    ends = [event for event in state.events.since(0) if event.kind in ("worker-died", "worker-stopped")]
    if not ends:
        return ""
    last = ends[-1]
    again = " Its nanny starts it again." if last.kind == "worker-died" else ""
    return f" The last one, {last.subject}, ended {state.now - last.time:.1f} s ago ({last.text}).{again}"


def explain_pause(state: SchedulerState) -> str:
    """Say since when no host takes new work."""
    labels = {host.label for host in state.hosts.values() if host.paused}
    pauses = [event.time for event in state.events.since(0) if event.kind == "paused" and event.subject in labels]
    last = "" if len(state.hosts) == 1 else "the last one "
    return f", {last}for {state.now - pauses[-1]:.1f} s," if pauses else ""


def explain_no_host(state: SchedulerState, name: str, host: str, left_at: float, reason: str) -> str:
    """Say that the last nanny is gone, since when, and what follows."""
    return (
        f"{name} is ready, but there is no nanny, so no worker: {host or 'the last one'} left "
        f"{state.now - left_at:.1f} s ago ({reason}). The nanny of a LocalCluster is started "
        f"again by itself; elsewhere start one by `himalia worker ADDRESS`."
    )


def explain_requirement(state: SchedulerState, requirement: Requirement, name: str) -> str:
    """Say whether anybody could run a task with this requirement."""
    parts = []
    if requirement.workers:
        parts.append(f"workers={list(requirement.workers)}")
    if requirement.resources:
        parts.append(f"resources={dict(requirement.resources)}")
    asked = " and ".join(parts)
    able = sum(len(workers) for workers in eligible(state, requirement).values())
    if able:
        who = "the worker that offers it is" if able == 1 else f"the {able} workers that offer it are"
        return f"{name} is ready and asks for {asked}; {who} busy.{explain_quiet(state)}"
    total = len(state.workers)
    nobody = "the only worker doesn't offer it" if total == 1 else f"none of the {total} workers offers it"
    advice = "Start one that does, or drop it from submit()."
    return f"{name} asks for {asked}, and {nobody}. {advice}"
