"""What the user wants computed, kept, or tried again: which records that makes, and what the scheduler is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from himalia.client.engine.events import CallsSubmitted, KeysHeld, RetryAsked, ValuePlaced
from himalia.client.engine.settling import settle
from himalia.client.engine.staleness import fence, is_recent
from himalia.client.engine.state import ERROR, FINISHED, LOST, PENDING, EngineState, Record, keys_of, move
from himalia.messages.client import RetryKeys, Submit, WantKeys
from himalia.messages.parts import TaskSpec
from himalia.names import Key, PeerId

SUBMIT_TASKS: Final = 1000
"""Tasks in one message at most, so that nobody's loop is busy with one for more than some milliseconds."""
SUBMIT_BYTES: Final = 4 * 1024 * 1024
"""Bytes of calls in one message, after which the next one begins."""


def submitted(state: EngineState, event: CallsSubmitted, source: PeerId) -> None:
    """Make records of the calls that are new, and send these."""
    state.check_open()
    fresh = []
    records = state.records
    refenced = []
    new: dict[Key, Record] = {}
    at = event.at
    # Mostly nothing was let go of lately, and no key has to be looked up.
    watch_stale = bool(state.released or state.releasing)
    for spec in event.tasks:
        key = spec.key
        # A map of equal arguments has the same call many times.
        record = records.get(key) or new.get(key)
        if record is None:
            if spec.wanted:
                record = new[key] = Record(key, PENDING, 1, submitted=at)
                if spec.options is not None:
                    record.origin = spec.options.origin
                if watch_stale and is_recent(state, key):
                    refenced.append(record)
        # What is held by name alone may never have been submitted; taken for known, it would never run.
        elif record.status is LOST or record.is_asked_for:
            if record.is_asked_for:  # what is said to the question is from before this submission
                record.is_asked_for = False
                refenced.append(record)
            begin_again(record, at)
            record.origin = "" if spec.options is None else spec.options.origin
            record.refs += spec.wanted
            if not spec.wanted:  # somebody here holds a future of it
                spec = msgspec.structs.replace(spec, wanted=True)
        else:
            # What is held here is known there: it isn't sent again.
            record.refs += spec.wanted
            continue
        fresh.append(spec)
    if refenced:
        # In front of the calls: what comes before its answer is of the earlier tasks.
        fence(state, refenced)
    send_tasks(state, event, fresh, always=any([spec.argument for spec in event.tasks]))
    records.update(new)  # at the end: an interrupt of the user's thread before this leaves no record


def send_tasks(state: EngineState, event: CallsSubmitted, tasks: list[TaskSpec], always: bool) -> None:
    """Send tasks in messages of a bounded size; only the last one of a submission says that it is complete.

    While a submission that spans several events is open, others that come between don't end it: the scheduler would
    forget its tasks that have no dependents yet.  With ``always`` the scheduler is told of the end even if nothing
    is new, so that it lets go of what was placed for the submission.
    """
    batch, span = event.batch, event.span
    if not event.last:
        state.unfinished.add(batch)
    elif batch in state.unfinished:
        state.unfinished.remove(batch)
        always = True
    closes = not state.unfinished
    if not tasks and closes and always:
        state.send(Submit(batch, [], True, span))
    # Most submissions are one call; there is nothing to divide.
    elif len(tasks) == 1:
        state.send(Submit(batch, tasks, closes, span))
    else:
        # A list, since the last one has to be known.
        parts = list(parts_of(tasks))
        for number, part in enumerate(parts, 1):
            state.send(Submit(batch, part, closes and number == len(parts), span))


def placed(state: EngineState, event: ValuePlaced, source: PeerId) -> None:
    """Settle the record of a value that was stored at a host, and announce it."""
    state.check_open()
    message = event.message
    if message.wanted:
        record = state.records.get(message.key)
        if record is None:
            record = state.records[message.key] = Record(message.key, origin=message.origin)
            if is_recent(state, message.key):
                fence(state, [record])
        record.refs += event.hold
        record.is_asked_for = False
        if record.status in (PENDING, LOST):
            move(record, FINISHED)
            record.error, record.data = None, event.data
            record.nbytes, record.type_name, record.attempt = message.nbytes, message.type_name, message.attempt
            record.holders = ()
            settle(state, record)
        # Each copy of a value that goes to every host is announced by itself.
        if record.status is FINISHED and message.host not in record.holders:
            record.holders += (message.host,)
    state.send(message)


def held(state: EngineState, event: KeysHeld, source: PeerId) -> None:
    """Count futures of keys that were not submitted here, and ask for those that are new."""
    state.check_open()
    wanted, refenced = [], []
    for key in event.keys:
        record = state.records.get(key)
        if record is None:
            record = state.records[key] = Record(key, is_asked_for=True)
            wanted.append(key)
            if is_recent(state, key):
                refenced.append(record)
        record.refs += 1
    if refenced:
        fence(state, refenced)
    for part in keys_of(wanted):
        state.send(WantKeys(part))


def retry_asked(state: EngineState, event: RetryAsked, source: PeerId) -> None:
    """Have what failed or was lost computed again."""
    state.check_open()
    keys = []
    for record in state.held_of(event.records):
        if record.status in (ERROR, LOST):
            begin_again(record, event.at)
            keys.append(record.key)
    for part in keys_of(keys):
        state.send(RetryKeys(part))


def begin_again(record: Record, at: float) -> None:
    """Make a record wait, as of a submission at this time."""
    move(record, PENDING)
    record.error, record.submitted = None, at


def parts_of(tasks: list[TaskSpec]) -> Iterator[list[TaskSpec]]:
    """Yield tasks in lists that are fit for one message each."""
    start = size = 0
    for index, spec in enumerate(tasks):
        size += len(spec.call)
        if size > SUBMIT_BYTES or index - start >= SUBMIT_TASKS:
            # Else the first call is larger than a message should be, and goes alone, not after an empty one.
            if index > start:
                yield tasks[start:index]
            start, size = index, len(spec.call)
    if start < len(tasks):
        yield tasks[start:]
