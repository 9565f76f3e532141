"""Stopping what somebody no longer wants, trying again what failed, and taking back what a host has not begun."""

from __future__ import annotations

from himalia.messages.client import CancelKeys, CancelSpan, ResultCancelled, ResultErred, ResultPending, RetryKeys
from himalia.messages.nanny import Withdraw, Withdrawn
from himalia.names import Key, PeerId
from himalia.scheduler.freeing import drop_inputs, settle, stop
from himalia.scheduler.placement import assign, bury, leave_host, refill
from himalia.scheduler.state import (
    ACTIVE,
    ASSIGNED,
    ERRED,
    FINISHED,
    RELEASED,
    WAITING,
    ClientState,
    SchedulerState,
    SchedulerTask,
    move,
)
from himalia.scheduler.transitions import need, start_again, tell_status, unknown_error, unwant, want


def cancel_keys(state: SchedulerState, message: CancelKeys, source: PeerId) -> None:
    """Stop what a client doesn't want any more; see :func:`cancel`."""
    cancel(state, state.client(source), message.keys, force=message.force, reason=message.reason or "cancelled")


def cancel(state: SchedulerState, client: ClientState, keys: list[Key], *, force: bool, reason: str) -> None:
    """Stop tasks and what depends on them; what another client wants is only let go by this one, unless forced."""
    # What depends on a cancelled task can never run, so it goes with it, as in distributed.
    family = with_dependents([state.tasks[key] for key in keys if key in state.tasks])
    # Another notebook may want the same key, or something computed from it; cancelling here only ends this client's
    # wish then.
    spared = {} if force else shared(family, client)
    for member in family:
        # All are told before anything is stopped, so that nobody hears first of an end that is a consequence.
        for other in (client,) if member in spared else member.wanted_by:
            if unwant(member, other):
                state.tell(other, member.key, ResultCancelled(member.key, reason))
    for member in family:
        # Stopped here and not by settle(): members have dependents in this family that are ACTIVE, which settle() takes
        # for a need.
        if member not in spared and member.status in ACTIVE:
            stop(state, member, interrupt=True)
            for dependency in drop_inputs(member):
                settle(state, dependency, interrupt=True)
    for member in reversed(family):  # from the ends of chains back: a task is forgotten once nothing depends on it
        settle(state, member, interrupt=True)


def cancel_span(state: SchedulerState, message: CancelSpan, source: PeerId) -> None:
    """Stop what a client submitted under a span and hasn't finished, also calls that it has let go of since."""
    client, span = state.client(source), message.span
    keys = [
        task.key
        for task in client.wants
        if task.group.span == span and task.group.client == client.id and task.status not in (FINISHED, ERRED)
    ]
    # Calls that the cell has let go of (an overwritten variable, say) run on as zombies; ctrl-C means them as well.
    for host in state.hosts.values():
        for attempt, zombie in host.zombies.items():
            if zombie.group.span == span and zombie.group.client == client.id:
                state.send(host, Withdraw(zombie.key, attempt, interrupt=True))
    cancel(state, client, keys, force=False, reason=message.reason or "cancelled")


def shared(family: list[SchedulerTask], client: ClientState) -> dict[SchedulerTask, None]:
    """Return those of a family that another client wants, and those that these need."""
    found = {
        member: None for member in family if member.wanted_by and any(other is not client for other in member.wanted_by)
    }
    # Their inputs, however deep: what another client's task needs has to go on.
    stack = list(found)
    while stack:
        for dependency in stack.pop().dependencies:
            if dependency not in found:
                found[dependency] = None
                stack.append(dependency)
    return found


def with_dependents(tasks: list[SchedulerTask]) -> list[SchedulerTask]:
    """Return tasks and everything that depends on them, each once: many keys of one chain are no quadratic walk."""
    found = dict.fromkeys(tasks)
    stack = list(found)
    while stack:
        for dependent in stack.pop().dependents or ():
            if dependent not in found:
                found[dependent] = None
                stack.append(dependent)
    return list(found)


def retry_keys(state: SchedulerState, message: RetryKeys, source: PeerId) -> None:
    """Compute erred tasks again, and the erred inputs that made them err; of others the client is told the status."""
    client = state.client(source)
    again = []
    for key in message.keys:
        task = state.tasks.get(key)
        if task is None:
            state.tell(client, key, ResultErred(key, unknown_error(key)))
            continue
        want(state, client, task)  # it holds a future, maybe one that was lost because the key was unknown then
        if task.status is RELEASED:
            again.append(task)
        elif task.status is not ERRED or task.placed:
            tell_status(state, client, task)
            continue
        stack = [task]
        while stack:
            member = stack.pop()
            # Only what erred: an input that is in memory needs no second try, and a placed value has no call.
            if member.status is not ERRED or member.placed:
                continue
            again.append(member)
            move(member, RELEASED)
            member.group.erred -= 1
            member.error = None
            member.strikes = 0
            # A person who asks for another try gets all that was promised at first.
            member.retries = member.options.retries if member.options is not None else 0
            for wanting in member.wanted_by:
                state.tell(wanting, member.key, ResultPending(member.key))
            stack.extend(member.dependencies)
    need(state, again)  # all of them: one may be wanted by somebody else, and what it was needed for here err at once


def withdrawn(state: SchedulerState, message: Withdrawn, source: PeerId) -> None:
    """Take in a host's answer to Withdraw: place a stolen call anew, or bury what nobody wants."""
    host, attempt = state.host(source), message.attempt
    zombie = host.zombies.get(attempt)
    if zombie is not None:
        # It goes on there; its end will bury it.
        if not message.started:
            zombie.group.wasted += message.seconds
            zombie.group.changed = True
            bury(state, host, attempt)
        return
    task = state.tasks.get(message.key)
    if message.started or task is None:
        return  # it runs on there and will report
    if task.attempt != attempt or task.status is not ASSIGNED or task.host is not host:
        return  # it never was there
    leave_host(state, task)
    # Any idle host, not the one that asked: that may have got work meanwhile.
    thief = next((other for other in state.idle if other is not host), None)
    if thief is not None and all(dependency.status is FINISHED for dependency in task.dependencies):
        move(task, WAITING)
        assign(state, task, thief, None)  # not placed anew: the data might pull it back to where it came from
    else:
        start_again(state, task)
    refill(state, host)
