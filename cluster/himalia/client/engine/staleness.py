"""Which news of the scheduler are stale: of an earlier task that had the same key.

A future may be dropped and its key submitted again before the scheduler's news of the first task have arrived (they
crossed on the wire).  So keys that were released or cancelled are remembered until an answer of the scheduler proves
that everything it said before is here: sessions keep the order in both directions.  A key that is submitted again
within that time gets a *fence*, a request for nothing in front of the submission, and until its answer all news of the
key are of the earlier task.
"""

from __future__ import annotations

from collections.abc import Iterable

from himalia.client.engine.state import EngineState, Record, keys_of
from himalia.machine import Ticked
from himalia.messages.client import GetKeys, ReleaseKeys
from himalia.names import Key, PeerId


def remember(state: EngineState, keys: Iterable[Key]) -> None:
    """Note that these were let go of just now: news of them may be under way."""
    # In a dict, not a set, so that what is sent of them has the same order each time.
    state.released.update(dict.fromkeys(keys))


def is_recent(state: EngineState, key: Key) -> bool:
    """Whether news of an earlier task of this key may still come."""
    return key in state.released or key in state.releasing


def fence(state: EngineState, records: list[Record]) -> None:
    """Take all news of these for stale until the scheduler has answered a request that is sent now."""
    request = next(state.requests)
    state.fenced[request] = records
    for record in records:
        # In the place of an earlier one, whose answer lifts nothing then.
        record.fence = request
    state.send(GetKeys(request, []))


def answered(state: EngineState, request: int) -> None:
    """Take in that what the scheduler said before it answered a request is here."""
    if request == state.releasing_until:
        # Before they are forgotten: it looks at what was being released.
        if state.doubtful:
            release_again(state)
        state.releasing = {}
        state.releasing_until = 0
    for record in state.fenced.pop(request, ()):
        if record.fence == request:
            record.fence = 0


def unexpected(state: EngineState, key: Key, record: Record | None) -> None:
    """Do what is to be done about news that no record takes in: if nothing explains them, nobody here wants the key."""
    if record is not None or state.gone:
        return  # of the task before
    if is_recent(state, key):
        state.doubtful[key] = None  # mostly its release is on its way
    else:
        state.send(ReleaseKeys([key]))


def release_again(state: EngineState) -> None:
    """Let go of keys once more of which news came that their release didn't stop.

    Nearly always those were on their way before it; but another client may have cancelled the key for everybody while
    this one wanted it anew, and then the scheduler keeps a wish of which nobody here knows.
    """
    keys = [key for key in state.doubtful if key in state.releasing and key not in state.records]
    state.doubtful = {key: None for key in state.doubtful if key in state.released}
    for part in keys_of(keys):
        state.send(ReleaseKeys(part))


def ticked(state: EngineState, event: Ticked, source: PeerId) -> None:
    """Ask for an answer after which the keys that were let go of can be forgotten."""
    # One question at a time: what is let go of until its answer is a matter of the next.
    if not state.released or state.releasing_until or state.gone:
        return
    state.releasing, state.released = state.released, {}
    state.releasing_until = next(state.requests)
    state.send(GetKeys(state.releasing_until, []))
