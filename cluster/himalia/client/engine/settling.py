"""How a record settles: by the scheduler's news of its key, or by what goes wrong here; and who is woken by it."""

from __future__ import annotations

from himalia.client.engine.events import CallsRefused, Notify, ReadFailed
from himalia.client.engine.staleness import unexpected
from himalia.client.engine.state import (
    CANCELLED,
    ERROR,
    FINISHED,
    LOST,
    PENDING,
    EngineState,
    Record,
    move,
)
from himalia.messages.client import ReportMissing, ResultCancelled, ResultErred, ResultPending, ResultReady
from himalia.messages.parts import TaskError
from himalia.names import PeerId


def ready(state: EngineState, message: ResultReady, source: PeerId) -> None:
    """Take in that a key is in memory, and where."""
    record = state.records.get(message.key)
    # With a fence, news are of the task that had this key before (staleness.py).
    if record is None or record.fence:
        unexpected(state, message.key, record)
        return
    move(record, FINISHED)
    # So there is such a task.
    record.is_asked_for = False
    record.attempt = message.attempt
    record.nbytes = message.nbytes
    record.type_name = message.type_name
    record.holders = message.holders
    record.data = message.data
    record.error = None
    watchers = record.watchers
    if watchers is not None:  # as `settle` does; there are millions of these
        record.watchers = None
        state.out.append(Notify(record, watchers))


def erred(state: EngineState, message: ResultErred, source: PeerId) -> None:
    """Take in that a key failed, or that its data are gone."""
    record = state.records.get(message.key)
    if record is None or record.fence:
        unexpected(state, message.key, record)
        return
    if record.status is ERROR and record.error is not None and record.error.kind == "refused":
        return  # what it was refused for here is the reason for what the scheduler found missing
    record.is_asked_for = False
    # An input whose data are lost is an error of this call; only a key without data of its own is lost itself.
    own_data_lost = message.error.kind == "lost" and message.error.key == record.key
    move(record, LOST if own_data_lost else ERROR)
    record.error = message.error
    record.data, record.holders = None, ()
    settle(state, record)


def pending_again(state: EngineState, message: ResultPending, source: PeerId) -> None:
    """Take in that a key is being computed again."""
    record = state.records.get(message.key)
    if record is None or record.fence:
        unexpected(state, message.key, record)
        return
    # Who was told that it had settled isn't told this: whoever needs the value waits again.
    move(record, PENDING)
    record.error = None
    record.data, record.holders = None, ()


def cancelled(state: EngineState, message: ResultCancelled, source: PeerId) -> None:
    """Take in that somebody cancelled a key; the scheduler has dropped the wish itself."""
    record = state.records.get(message.key)
    # Unknown keys need no release, as they do after other news: the wish is gone with the cancel.
    if record is not None and not record.fence:
        end_cancelled(state, record, message.reason)


def refused(state: EngineState, event: CallsRefused, source: PeerId) -> None:
    """End calls with the reason why they can't be sent."""
    for record in state.held_of(event.records):
        if record.status is PENDING:
            move(record, ERROR)
            record.error = event.error
            settle(state, record)


def read_failed(state: EngineState, event: ReadFailed, source: PeerId) -> None:
    """Strike a host that couldn't deliver a value, and complain about it to the scheduler."""
    record = state.records.get(event.key)
    if record is None or record.status is not FINISHED or record.attempt != event.attempt:
        return  # newer news have come in the meantime
    # Several reads of one record may fail at the same host.
    if event.host not in record.holders:
        return
    record.holders = tuple(host for host in record.holders if host != event.host)
    if not record.holders:
        move(record, PENDING)
        if state.gone:
            end_lost(state, record, state.gone)
    if not state.gone:
        state.send(ReportMissing(event.key, event.attempt, event.host))


def settle(state: EngineState, record: Record) -> None:
    """Have whoever waits for a record called, once."""
    watchers = record.watchers
    if watchers is not None:
        record.watchers = None
        state.out.append(Notify(record, watchers))


def end_cancelled(state: EngineState, record: Record, reason: str) -> None:
    """End a record for good: it leaves the table."""
    del state.records[record.key]
    move(record, CANCELLED)
    record.reason = reason
    record.error, record.data, record.holders = None, None, ()
    settle(state, record)


def end_lost(state: EngineState, record: Record, reason: str) -> None:
    """Settle a record that nobody will send news of any more."""
    move(record, LOST)
    record.error = TaskError("lost", record.key, reason)
    settle(state, record)
