"""Which keys a client holds futures of, beside what it submits: it begins to want one, or lets go of it."""

from __future__ import annotations

from himalia.messages.client import ReleaseKeys, ResultErred, WantKeys
from himalia.names import PeerId
from himalia.scheduler.state import RELEASED, SchedulerState
from himalia.scheduler.transitions import need, settle, tell_status, unknown_error, unwant, want


def want_keys(core: SchedulerState, message: WantKeys, source: PeerId) -> None:
    """Note that a client holds futures of keys that were submitted before; what isn't in memory is computed again."""
    client = core.client(source)
    for key in message.keys:
        task = core.tasks.get(key)
        if task is None:
            core.tell(client, key, ResultErred(key, unknown_error(key)))
            continue
        want(core, client, task)
        if task.status is RELEASED:
            need(core, [task])
        else:
            tell_status(core, client, task)


def release_keys(core: SchedulerState, message: ReleaseKeys, source: PeerId) -> None:
    """Note that a client let go of its last futures of keys."""
    client = core.client(source)
    for key in message.keys:
        task = core.tasks.get(key)
        if task is None:
            client.window.held.pop(key, None)
        elif unwant(task, client):
            settle(core, task)
