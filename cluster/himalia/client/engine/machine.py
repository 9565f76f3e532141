"""The client's machine: what a user's wishes and the scheduler's news do to the records.

Decides what the scheduler is told, which news are stale, and who is woken.  It never waits, pickles, or talks to a
host.

Stale news
----------
A future may be dropped and its key submitted again before the scheduler's news of the first
task have arrived (they crossed on the wire).  So keys that were released or cancelled are remembered until an answer
of the scheduler proves that everything it said before is here: sessions keep the order in both directions.  A key
that is submitted again within that time gets a *fence*, a request for nothing in front of the submission, and until
its answer all news of the key are of the earlier task.

Guarantees
----------
- A key is in the table if and only if the scheduler believes that this client wants it (once all is delivered).
- A wish about a future is a wish about its record: one that left the table says nothing of what its key stands for now.
- Every watcher is called exactly once, however the key ends, the scheduler's death and ``close()`` included.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from himalia.client.engine.state import (
    CANCELLED,
    ERROR,
    FINISHED,
    LOST,
    PENDING,
    STATUSES,
    Answer,
    CallsRefused,
    CallsSubmitted,
    CancelAsked,
    Closed,
    Deliver,
    ForgetHost,
    FuturesDropped,
    HostsKnown,
    KeysHeld,
    MessageMade,
    Notify,
    ReadFailed,
    Record,
    ReportKeyTaken,
    RequestMade,
    RetryAsked,
    ShowOutput,
    ValuePlaced,
    Watcher,
)
from himalia.errors import ClosedError
from himalia.machine import Instruction, PeerJoined, PeerLeft, Send, Ticked
from himalia.messages.answers import Reply
from himalia.messages.client import (
    CallOutput,
    CancelKeys,
    GetKeys,
    KeyTaken,
    ReleaseKeys,
    ReportMissing,
    ResultCancelled,
    ResultErred,
    ResultPending,
    ResultReady,
    RetryKeys,
    Submit,
    Telemetry,
    WantKeys,
)
from himalia.messages.parts import Close, HostInfo, HostsChanged, TaskError, TaskSpec
from himalia.names import SCHEDULER, HostId, Key, PeerId
from himalia.settings import DEFAULT, Settings

SUBMIT_TASKS = 1000
"""Tasks in one message at most, so that nobody's loop is busy with one for more than some milliseconds."""
SUBMIT_BYTES = 4 * 1024 * 1024
"""Bytes of calls in one message, after which the next one begins."""
KEYS = 10_000
"""Keys in one message at most: about half a megabyte."""


class ClientMachine:
    """Decider of a client; one caller at a time.

    Attributes
    ----------
    records : dict of Key to Record
        Every key that this client holds futures of.
    hosts : dict of HostId to HostInfo
        The hosts of the cluster.
    gone : str
        Why there is no scheduler any more; empty while there is one.
    """

    def __init__(self, settings: Settings = DEFAULT) -> None:
        self.settings = settings
        self.records: dict[Key, Record] = {}
        self.hosts: dict[HostId, HostInfo] = {}
        self.gone = ""
        self._requests = itertools.count(1)
        self._open: set[int] = set()
        self._batches = itertools.count(1)
        self._unfinished: set[int] = set()
        self._released: dict[Key, None] = {}
        self._releasing: dict[Key, None] = {}
        self._releasing_until = 0
        self._fenced: dict[int, list[Record]] = {}
        self._handlers: dict[type, Callable[[Any], list[Instruction]]] = {
            ResultReady: self._ready,
            CallsSubmitted: self._submitted,
            FuturesDropped: self._dropped,
            ResultErred: self._erred,
            ResultPending: self._pending_again,
            ResultCancelled: self._cancelled,
            Reply: self._replied,
            HostsChanged: self._hosts_changed,
            Telemetry: lambda event: [Deliver(event)],
            CallOutput: lambda event: [ShowOutput(event)],
            KeyTaken: lambda event: [ReportKeyTaken(event)],
            Ticked: self._ticked,
            ValuePlaced: self._placed,
            KeysHeld: self._held,
            CancelAsked: self._cancel,
            RetryAsked: self._retry,
            ReadFailed: self._read_failed,
            CallsRefused: self._refused,
            RequestMade: self._asked,
            MessageMade: lambda event: [Send(SCHEDULER, event.message)],
            PeerJoined: lambda event: [],
            PeerLeft: lambda event: self._lose_scheduler(f"The scheduler is gone: {event.reason}"),
            Close: lambda event: self._lose_scheduler(f"The scheduler ended: {event.reason}"),
            Closed: self._closed,
        }

    def handle(self, event: Any, *, now: float = 0.0, source: PeerId = SCHEDULER) -> list[Instruction]:
        """Return what to do about ``event``; see :class:`himalia.machine.Machine`."""
        return self._handlers[type(event)](event)

    def next_request(self) -> int:
        """Return a number that no other request of this client has; any thread."""
        return next(self._requests)

    def next_batch(self) -> int:
        """Return a number for a submission; later submissions have higher ones.  Any thread."""
        return next(self._batches)

    def watch(self, record: Record, watcher: Watcher) -> bool:
        """Have ``watcher`` called when the record settles; ``False`` (and nothing is done) if it has."""
        if record.status != PENDING:
            return False
        if record.watchers is None:
            record.watchers = [watcher]
        else:
            record.watchers.append(watcher)
        return True

    def unwatch(self, record: Record, watcher: Watcher) -> None:
        """Undo :meth:`watch`; somebody doesn't want to wait any longer."""
        if record.watchers is not None:
            record.watchers = [other for other in record.watchers if other is not watcher] or None

    # Wishes of the user

    def _submitted(self, event: CallsSubmitted) -> list[Instruction]:
        self._check_open()
        fresh = []
        records = self.records
        refenced = []
        new: dict[Key, Record] = {}
        at = event.at
        watch_stale = bool(self._released or self._releasing)
        for spec in event.tasks:
            key = spec.key
            record = records.get(key) or new.get(key)
            if record is None:
                if spec.wanted:
                    record = new[key] = Record(key, PENDING, 1, submitted=at)
                    if spec.options is not None:
                        record.origin = spec.options.origin
                    if watch_stale and self._is_recent(key):
                        refenced.append(record)
            elif record.status == LOST or record.is_asked_for:
                if record.is_asked_for:  # what is said to the question is from before this submission
                    record.is_asked_for = False
                    refenced.append(record)
                record.status, record.error, record.submitted = PENDING, None, at
                record.origin = "" if spec.options is None else spec.options.origin
                record.refs += spec.wanted
                if not spec.wanted:  # somebody here holds a future of it
                    spec = msgspec.structs.replace(spec, wanted=True)
            else:
                record.refs += spec.wanted
                continue
            fresh.append(spec)
        instructions = self._fence(refenced) if refenced else []
        placed = any([spec.argument for spec in event.tasks])
        instructions += self._submit(event, fresh, always=placed)
        records.update(new)
        return instructions

    def _submit(self, event: CallsSubmitted, tasks: list[TaskSpec], always: bool) -> list[Instruction]:
        """Send tasks in messages of a bounded size; only the last one of a submission says that it is complete.

        While a submission that spans several events is open, others that come between don't end it: the scheduler would
        forget its tasks that have no dependents yet.  With ``always`` the scheduler is told of the end even if nothing
        is new, so that it lets go of what was placed for the submission.
        """
        batch, span = event.batch, event.span
        if not event.last:
            self._unfinished.add(batch)
        elif batch in self._unfinished:
            self._unfinished.remove(batch)
            always = True
        closes = not self._unfinished
        if not tasks and closes and always:
            return [Send(SCHEDULER, Submit(batch, [], True, span))]
        if len(tasks) == 1:
            return [Send(SCHEDULER, Submit(batch, tasks, closes, span))]
        parts = list(_parts_of(tasks))
        return [
            Send(SCHEDULER, Submit(batch, part, closes and number == len(parts), span))
            for number, part in enumerate(parts, 1)
        ]

    def _placed(self, event: ValuePlaced) -> list[Instruction]:
        self._check_open()
        message = event.message
        instructions: list[Instruction] = []
        if message.wanted:
            record = self.records.get(message.key)
            if record is None:
                record = self.records[message.key] = Record(message.key, origin=message.origin)
                if self._is_recent(message.key):
                    instructions += self._fence([record])
            record.refs += event.hold
            record.is_asked_for = False
            if record.status in (PENDING, LOST):
                record.status, record.error, record.data = FINISHED, None, event.data
                record.nbytes, record.type_name, record.attempt = message.nbytes, message.type_name, message.attempt
                record.holders = ()
                instructions += self._settle(record)
            if record.status == FINISHED and message.host not in record.holders:
                record.holders += (message.host,)
        instructions.append(Send(SCHEDULER, message))
        return instructions

    def _held(self, event: KeysHeld) -> list[Instruction]:
        self._check_open()
        wanted, refenced = [], []
        for key in event.keys:
            record = self.records.get(key)
            if record is None:
                record = self.records[key] = Record(key, is_asked_for=True)
                wanted.append(key)
                if self._is_recent(key):
                    refenced.append(record)
            record.refs += 1
        instructions = self._fence(refenced) if refenced else []
        return instructions + [Send(SCHEDULER, WantKeys(part)) for part in _keys_of(wanted)]

    def _dropped(self, event: FuturesDropped) -> list[Instruction]:
        released = []
        instructions: list[Instruction] = []
        records = self.records
        for record in event.records:
            record.refs -= 1
            if record.refs <= 0 and records.get(record.key) is record:
                if record.watchers is not None:  # somebody waits without a future of his own
                    instructions += self._end_cancelled(record, "it was released")
                else:
                    del records[record.key]
                released.append(record.key)
        if not released or self.gone:
            return instructions
        self._released.update(dict.fromkeys(released))
        return instructions + [Send(SCHEDULER, ReleaseKeys(part)) for part in _keys_of(released)]

    def _cancel(self, event: CancelAsked) -> list[Instruction]:
        instructions: list[Instruction] = []
        keys = []
        for record in self._held_of(event.records):
            keys.append(record.key)
            instructions += self._end_cancelled(record, event.reason)
        if keys and not self.gone:
            self._released.update(dict.fromkeys(keys))
            instructions += [Send(SCHEDULER, CancelKeys(part, event.force, event.reason)) for part in _keys_of(keys)]
        return instructions

    def _retry(self, event: RetryAsked) -> list[Instruction]:
        self._check_open()
        keys = []
        for record in self._held_of(event.records):
            if record.status in (ERROR, LOST):
                record.status, record.error, record.submitted = PENDING, None, event.at
                keys.append(record.key)
        return [Send(SCHEDULER, RetryKeys(part)) for part in _keys_of(keys)]

    def _read_failed(self, event: ReadFailed) -> list[Instruction]:
        record = self.records.get(event.key)
        if record is None or record.status != FINISHED or record.attempt != event.attempt:
            return []  # newer news have come in the meantime
        if event.host not in record.holders:
            return []
        record.holders = tuple(host for host in record.holders if host != event.host)
        if not record.holders:
            record.status = PENDING
        if self.gone:
            return self._end_lost(record, self.gone) if record.status == PENDING else []
        return [Send(SCHEDULER, ReportMissing(event.key, event.attempt, event.host))]

    def _refused(self, event: CallsRefused) -> list[Instruction]:
        instructions: list[Instruction] = []
        for record in self._held_of(event.records):
            if record.status == PENDING:
                record.status, record.error = ERROR, event.error
                instructions += self._settle(record)
        return instructions

    def _asked(self, event: RequestMade) -> list[Instruction]:
        if self.gone:
            return [Answer(event.message.request, None, self.gone)]
        self._open.add(event.message.request)
        return [Send(SCHEDULER, event.message)]

    # News of the scheduler

    def _ready(self, message: ResultReady) -> list[Instruction]:
        record = self.records.get(message.key)
        if record is None or record.fence:
            return self._unexpected(message.key, record)
        record.status = FINISHED
        record.is_asked_for = False
        record.attempt = message.attempt
        record.nbytes = message.nbytes
        record.type_name = message.type_name
        record.holders = message.holders
        record.data = message.data
        record.error = None
        watchers = record.watchers
        if watchers is None:
            return []
        record.watchers = None
        return [Notify(record, watchers)]

    def _erred(self, message: ResultErred) -> list[Instruction]:
        record = self.records.get(message.key)
        if record is None or record.fence:
            return self._unexpected(message.key, record)
        if record.status == ERROR and record.error is not None and record.error.kind == "refused":
            return []  # what it was refused for here is the reason for what the scheduler found missing
        record.is_asked_for = False
        own_data_lost = message.error.kind == "lost" and message.error.key == record.key
        record.status = LOST if own_data_lost else ERROR
        record.error = message.error
        record.data, record.holders = None, ()
        return self._settle(record)

    def _pending_again(self, message: ResultPending) -> list[Instruction]:
        record = self.records.get(message.key)
        if record is None or record.fence:
            return self._unexpected(message.key, record)
        record.status = PENDING
        record.error = None
        record.data, record.holders = None, ()
        return []

    def _cancelled(self, message: ResultCancelled) -> list[Instruction]:
        record = self.records.get(message.key)
        if record is None or record.fence:
            return []  # the scheduler has dropped the wish itself
        return self._end_cancelled(record, message.reason)

    def _replied(self, message: Reply) -> list[Instruction]:
        if message.request == self._releasing_until:
            self._releasing = {}
            self._releasing_until = 0
        for record in self._fenced.pop(message.request, ()):
            if record.fence == message.request:
                record.fence = 0
        if message.request not in self._open:
            return []
        self._open.discard(message.request)
        return [Answer(message.request, message.value, message.error)]

    def _hosts_changed(self, message: HostsChanged) -> list[Instruction]:
        for info in message.joined:
            self.hosts[info.host] = info
        gone: list[Instruction] = [ForgetHost(host) for host in message.left if self.hosts.pop(host, None) is not None]
        return gone if message.left and not message.joined else [HostsKnown(), *gone]

    def _lose_scheduler(self, reason: str) -> list[Instruction]:
        if self.gone:
            return []
        self.gone = reason
        instructions: list[Instruction] = []
        for record in self.records.values():
            record.fence = 0
            if record.status == PENDING:
                instructions += self._end_lost(record, reason)
        instructions += [Answer(request, None, reason) for request in sorted(self._open)]
        self._open.clear()
        self._fenced.clear()
        self.hosts.clear()
        return instructions

    def _closed(self, event: Closed) -> list[Instruction]:
        instructions: list[Instruction] = []
        for record in list(self.records.values()):
            if record.status == PENDING:
                instructions += self._end_cancelled(record, event.reason)
        return instructions + self._lose_scheduler(event.reason)

    def _ticked(self, event: Ticked) -> list[Instruction]:
        if not self._released or self._releasing_until or self.gone:
            return []
        self._releasing, self._released = self._released, {}
        self._releasing_until = self.next_request()
        return [Send(SCHEDULER, GetKeys(self._releasing_until, []))]

    # What several of them do

    def _check_open(self) -> None:
        if self.gone:
            raise ClosedError(self.gone)

    def _held_of(self, records: Sequence[Record]) -> list[Record]:
        """Return those of these that still stand for their keys, each once."""
        once = {id(record): record for record in records}
        return [record for record in once.values() if self.records.get(record.key) is record]

    def _is_recent(self, key: Key) -> bool:
        return key in self._released or key in self._releasing

    def _fence(self, records: list[Record]) -> list[Instruction]:
        request = self.next_request()
        self._fenced[request] = records
        for record in records:
            record.fence = request
        return [Send(SCHEDULER, GetKeys(request, []))]

    def _unexpected(self, key: Key, record: Record | None) -> list[Instruction]:
        if record is not None or self.gone or self._is_recent(key):
            return []  # of the task before, or of one whose release is on its way
        return [Send(SCHEDULER, ReleaseKeys([key]))]

    def _settle(self, record: Record) -> list[Instruction]:
        watchers = record.watchers
        if watchers is None:
            return []
        record.watchers = None
        return [Notify(record, watchers)]

    def _end_cancelled(self, record: Record, reason: str) -> list[Instruction]:
        del self.records[record.key]
        record.status, record.reason = CANCELLED, reason
        record.error, record.data, record.holders = None, None, ()
        return self._settle(record)

    def _end_lost(self, record: Record, reason: str) -> list[Instruction]:
        record.status = LOST
        record.error = TaskError("lost", record.key, reason)
        return self._settle(record)

    def validate(self) -> None:
        """Raise AssertionError if the records contradict each other or the table of ``state.py``."""
        for key, record in self.records.items():
            assert record.key == key, f"{key} is kept under another key"
            assert record.status in STATUSES - {CANCELLED}, f"{key} is {record.status} and still in the table"
            assert record.refs > 0, f"{key} has no future"
            has_error = record.error is not None
            assert has_error == (record.status in (ERROR, LOST)), f"{key} is {record.status} with {record.error}"
            if record.status == FINISHED:
                assert record.data is not None or record.holders, f"{key} is finished, and nobody has it"
            if record.watchers is not None:
                assert record.status == PENDING, f"{key} is {record.status} and still watched"
            if record.fence:
                assert record in self._fenced.get(record.fence, ()), f"{key} waits for an answer that nobody will give"
        assert not (self.gone and self._open), "requests wait for a scheduler that is gone"


def _parts_of(tasks: list[TaskSpec]) -> Iterator[list[TaskSpec]]:
    """Yield tasks in lists that are fit for one message each."""
    start = size = 0
    for index, spec in enumerate(tasks):
        size += len(spec.call)
        if size > SUBMIT_BYTES or index - start >= SUBMIT_TASKS:
            if index > start:
                yield tasks[start:index]
            start, size = index, len(spec.call)
    if start < len(tasks):
        yield tasks[start:]


def _keys_of(keys: Sequence[Key]) -> Iterator[list[Key]]:
    """Yield keys in lists that are fit for one message each."""
    for start in range(0, len(keys), KEYS):
        yield list(keys[start : start + KEYS])
