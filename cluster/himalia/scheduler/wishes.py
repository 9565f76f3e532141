"""Which keys a client holds futures of, beside what it submits: it begins to want one, or lets go of it."""

from __future__ import annotations

from himalia.messages.client import ReleaseKeys, ResultErred, WantKeys
from himalia.names import PeerId
from himalia.scheduler.freeing import settle
from himalia.scheduler.state import RELEASED, SchedulerState
from himalia.scheduler.transitions import need, tell_status, unknown_error, unwant, want


def want_keys(state: SchedulerState, message: WantKeys, source: PeerId) -> None:
    """Note that a client holds futures of keys that were submitted before; what isn't in memory is computed again."""
    client = state.client(source)
    for key in message.keys:
        task = state.tasks.get(key)
        if task is None:
            state.tell(client, key, ResultErred(key, unknown_error(key)))
            continue
        want(state, client, task)
        if task.status is RELEASED:
            need(state, [task])
        else:
            tell_status(state, client, task)


def release_keys(state: SchedulerState, message: ReleaseKeys, source: PeerId) -> None:
    """Note that a client let go of its last futures of keys."""
    client = state.client(source)
    for key in message.keys:
        task = state.tasks.get(key)
        if task is None:
            client.window.held.pop(key, None)
        elif unwant(task, client):
            settle(state, task)
