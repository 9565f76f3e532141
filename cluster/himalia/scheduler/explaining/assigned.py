"""Sentences on a task that a host was given: whether it runs, what it waits for there, since when, what will be done.

The scheduler knows by itself which inputs a host lacks, how many calls it has, and when it was heard of last.  What
only the nanny knows comes with its heartbeats (``nanny/waits.py``), for what waits longer than a moment.
"""

from __future__ import annotations

from typing import Final

from himalia.messages.telemetry import RunningCall
from himalia.names import HostId, PeerId, shorten
from himalia.plural import plural
from himalia.scheduler.explaining.store import explain_room
from himalia.scheduler.state import HostState, SchedulerState, SchedulerTask

SILENCE: Final = 5.0
"""Seconds without a heartbeat (there are two a second) after which a nanny is said to be silent."""


def explain_assigned(state: SchedulerState, task: SchedulerTask, host: HostState, name: str) -> str:
    """Say whether a task runs, for how long, or what it waits for at its host, and what stands still there."""
    running = next((call for call in host.metrics.running if call.key == task.key), None)
    missing = [dependency for dependency in task.dependencies if host not in dependency.holders]
    still = host.metrics.still
    if running is not None:
        seconds = seconds_of(state, host, running)
        text = f"{name} has been running on {running.worker} for {seconds:.1f} s (attempt {task.tries})"
        text = explain_wait(state, task, host, name) or text
        still = {running.worker: still[running.worker]} if running.worker in still else {}
    elif missing:
        text = explain_inputs(state, task, host, missing, name)
        still = {}
    else:
        text = explain_wait(state, task, host, name) or explain_line(state, task, host, name)
    silent = state.now - host.seen_at
    if silent > SILENCE:
        return (
            f"{text.removesuffix('.')}. But the nanny {host.label} (process {host.info.pid} on {host.info.hostname}) "
            f"hasn't been heard of for {silent:.0f} s: it was stopped, or its machine is out of breath. Lost, this "
            f"runs elsewhere."
        )
    return ". ".join([text.removesuffix("."), *(f"{worker} {how}" for worker, how in still.items())]) + "."


def explain_wait(state: SchedulerState, task: SchedulerTask, host: HostState, name: str) -> str:
    """Say for what room, or for which disk, a task waits at its host; nothing if it doesn't."""
    use = host.metrics.use
    wait = next((wait for wait in host.metrics.waits if wait.key == task.key and wait.kind != "fetched"), None)
    if wait is None:
        return explain_room(host, use.waiting[task.key], name) if task.key in use.waiting else ""
    seconds = wait.seconds + state.now - host.seen_at
    if wait.kind == "admitted":
        return (
            f"{name} waits at {host.label} for room for its inputs ({wait.nbytes:,} bytes) beside those of calls under "
            f"way ({use.calls:,}), for {seconds:.1f} s so far. It begins when enough of these calls have ended, at the "
            f"latest when all have."
        )
    if wait.nbytes:
        return explain_room(host, wait.nbytes, name, seconds, can_fail=wait.kind != "read")
    turn = f", after those of {plural(wait.more, 'call')} before it" if wait.more else ""
    return (
        f"{name} waits at {host.label} for its inputs, which are read back from disk{turn}, for {seconds:.1f} s so "
        f"far. It begins when they are in memory; what can't be read is computed again."
    )


def explain_inputs(
    state: SchedulerState, task: SchedulerTask, host: HostState, missing: list[SchedulerTask], name: str
) -> str:
    """Say which input a host fetches for a task, from whom, since when, and what follows if it doesn't come."""
    keys = {dependency.key: dependency for dependency in missing}
    fetches = [wait for wait in host.metrics.waits if wait.kind == "fetched"]
    wait = max([wait for wait in fetches if wait.key in keys], key=lambda wait: wait.seconds, default=None)
    input_ = missing[0] if wait is None else keys[wait.key]
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    text = f"{name} was sent to {host.label} (attempt {task.tries}) and waits there for its input "
    text += f"{shorten(input_.key)}{more}, which "
    if wait is None:
        holders = " or ".join([holder.label for holder in input_.holders]) or "another host"
        text += f"it fetches from {holders}, since a moment ago or after others"
        return f"{text}. {what_follows(input_, 0)}"
    seconds = wait.seconds + state.now - host.seen_at
    holder = state.hosts.get(HostId(PeerId(wait.host)))
    label = holder.label if holder is not None else wait.host
    if wait.nbytes:
        return explain_room(host, wait.nbytes, f"{text}has come from {label} and", seconds)
    text += f"{label} was asked for {seconds:.1f} s ago"
    if holder is not None and state.now - holder.seen_at > SILENCE:
        text += f"; {label} hasn't been heard of for {state.now - holder.seen_at:.0f} s"
    elif any(other.nbytes and other.host == wait.host for other in fetches):
        text += f"; what comes from {label} before it has no room here yet"
    return f"{text}. {what_follows(input_, wait.more)}"


def what_follows(missing: SchedulerTask, others: int) -> str:
    """Say what is done if an input doesn't come from the host that was asked."""
    if others:
        whom = "another holder is" if others == 1 else f"{others} other holders are"
        return f"If that fails, or the host is lost, {whom} asked."
    if missing.placed:
        return "If that fails, or the host is lost, the scheduler looks for another copy; without one this call fails."
    return "If that fails, or the host is lost, the scheduler finds another copy or has it computed again."


def explain_line(state: SchedulerState, task: SchedulerTask, host: HostState, name: str) -> str:
    """Say where a task is that runs, or could if it were its turn; nobody knows which while that is news."""
    where = task.worker.info.name if task.worker is not None else host.label
    load = f"{plural(len(host.assigned), 'call')} for {plural(host.nthreads, 'thread')}"
    text = f"{name} was sent to {where} (attempt {task.tries}); it runs there or is next in line ({load})"
    if not host.nthreads:
        return f"{text}. None of the workers there is up; the nanny starts those again that ended"
    if host.paused:
        return f"{text}. The store there is nearly full, so one call is begun at a time"
    quiet = quiet_for(state, host)
    if not quiet:
        return text
    calls = [call for call in host.metrics.running if task.worker is None or call.worker == where]
    longest = min(calls, key=lambda call: call.started, default=None)
    text += f". No call was begun or ended there for {quiet:.1f} s"
    if longest is None:
        return text
    return f"{text}: {describe_running(state, host, longest)}. The next one begins when one of those that run ends"


def explain_quiet(state: SchedulerState) -> str:
    """Say since when no call was begun or ended anywhere, and what has run longest; nothing if one was just now."""
    hosts = [host for host in state.hosts.values() if host.nthreads]
    seconds = min([quiet_for(state, host) for host in hosts], default=0.0)
    calls = [(call.started - host.metrics.time, host, call) for host in hosts for call in host.metrics.running]
    if not seconds or not calls:
        return ""
    _, host, call = min(calls, key=lambda found: found[0])
    return f" No call was begun or ended for {seconds:.1f} s: {describe_running(state, host, call)}."


def quiet_for(state: SchedulerState, host: HostState) -> float:
    """Return for how many seconds no call was begun or ended at a host; 0 for less than a moment."""
    return host.metrics.quiet + state.now - host.seen_at if host.metrics.quiet else 0.0


def describe_running(state: SchedulerState, host: HostState, call: RunningCall) -> str:
    """Say of a call where it runs, and for how long it has."""
    return f"{shorten(call.key)} has been running on {call.worker} for {seconds_of(state, host, call):.1f} s"


def seconds_of(state: SchedulerState, host: HostState, call: RunningCall) -> float:
    """Return for how long a call has been running."""
    return max(0.0, host.metrics.time - call.started) + state.now - host.seen_at


def explain_silent(state: SchedulerState, hosts: tuple[HostState, ...]) -> str:
    """Name the holders of a result that aren't heard of: whoever reads it waits for them."""
    silent = [host for host in hosts if state.now - host.seen_at > SILENCE]
    return "".join(
        f" The nanny {host.label} hasn't been heard of for {state.now - host.seen_at:.0f} s: reading it there waits "
        f"for that. Lost, it is computed again, if a call made it."
        for host in silent
    )
