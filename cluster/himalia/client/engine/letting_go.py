"""What happens to a record that the user lets go of or cancels, and what the scheduler is told of it.

Whether a result is freed then is decided by ``scheduler/freeing.py``.
"""

from __future__ import annotations

from himalia.client.engine.events import CancelAsked, FuturesDropped
from himalia.client.engine.settling import end_cancelled
from himalia.client.engine.staleness import remember
from himalia.client.engine.state import EngineState, keys_of
from himalia.messages.client import CancelKeys, ReleaseKeys
from himalia.names import PeerId


def dropped(state: EngineState, event: FuturesDropped, source: PeerId) -> None:
    """Count futures that are no more; with the last one of a key goes its record, and the scheduler is told."""
    released = []
    records = state.records
    for record in event.records:
        record.refs -= 1
        # A record that was cancelled is in no table, and its key may stand for another call by now.
        if record.refs <= 0 and records.get(record.key) is record:
            if record.watchers is not None:  # somebody waits without a future of his own
                end_cancelled(state, record, "it was released")
            else:
                del records[record.key]
            released.append(record.key)
    if released and not state.gone:
        remember(state, released)
        for part in keys_of(released):
            state.send(ReleaseKeys(part))


def cancel_asked(state: EngineState, event: CancelAsked, source: PeerId) -> None:
    """End records at once, whatever the scheduler makes of the wish."""
    keys = []
    for record in state.held_of(event.records):
        keys.append(record.key)
        end_cancelled(state, record, event.reason)
    if keys and not state.gone:
        # After their cancel, too, news of them may be under way, and the key be submitted again.
        remember(state, keys)
        for part in keys_of(keys):
            state.send(CancelKeys(part, event.force, event.reason))
