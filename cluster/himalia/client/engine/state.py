"""What a client knows: a record for each key that it holds futures of, and what it needs to tell news from stale news.

Decides which fields a record has in which status, and which moves there are.  A record's life::

    (submitted, scattered, held) ──> pending ──> finished ──> pending (its data were lost, it is computed again)
                                        │            └──────> lost
                                        ├──> error ──> pending (retried)
                                        ├──> lost         its data are gone, or the scheduler is
                                        └──> cancelled    for good: the record leaves the table

Several futures may share a record; ``refs`` counts them.  When it falls to zero the record leaves the table and the
scheduler is told.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from himalia.errors import ClosedError
from himalia.machine import Instruction, Send
from himalia.messages.client import ClientToScheduler
from himalia.messages.parts import HostInfo, TaskError
from himalia.names import SCHEDULER, HostId, Key

KEYS: Final = 10_000
"""Keys in one message at most: about half a megabyte."""


class RecordStatus(enum.StrEnum):
    """How a key stands, as far as this client knows; its value is Dask's word for it, and equal to it."""

    PENDING = "pending"
    FINISHED = "finished"
    ERROR = "error"
    LOST = "lost"
    CANCELLED = "cancelled"


PENDING: Final = RecordStatus.PENDING
FINISHED: Final = RecordStatus.FINISHED
ERROR: Final = RecordStatus.ERROR
LOST: Final = RecordStatus.LOST
CANCELLED: Final = RecordStatus.CANCELLED

MOVES: Final[dict[RecordStatus, frozenset[RecordStatus]]] = {
    PENDING: frozenset({PENDING, FINISHED, ERROR, LOST, CANCELLED}),
    FINISHED: frozenset({FINISHED, PENDING, ERROR, LOST, CANCELLED}),
    ERROR: frozenset({ERROR, PENDING, FINISHED, LOST, CANCELLED}),
    LOST: frozenset({LOST, PENDING, FINISHED, ERROR, CANCELLED}),
    CANCELLED: frozenset(),
}
"""Every legal move.  News may repeat what is known; and a client that reads slowly is told only the last word on a key
(``scheduler/window.py``), so what failed may be finished next, though it was pending in between."""


# Compared by identity: two records with one key are of different times.
class Record(msgspec.Struct, gc=False, eq=False):
    """One key that this client holds futures of.

    There may be millions, so the garbage collector doesn't look at them: what they refer to must not outlive a status
    (``watchers`` are let go as soon as the key settles, and all keys settle when the client closes).
    """

    key: Key
    status: RecordStatus = PENDING
    refs: int = 0
    """Futures of it in this process."""
    attempt: int = 0
    nbytes: int = 0
    type_name: str = ""
    holders: tuple[HostId, ...] = ()
    data: bytes | None = None
    """Packed value, if it is small."""
    error: TaskError | None = None
    """Only of ``error`` and ``lost``."""
    reason: str = ""
    """Only of ``cancelled``: why, if somebody said."""
    fence: int = 0
    """Number of the request whose answer ends the time in which news of this key are of an earlier task."""
    watchers: list[Watcher] | None = None
    """Told once when the key settles; only of ``pending``."""
    origin: str = ""
    """What its key stands for, if the user chose that; see ``origin.py``."""
    submitted: float = 0.0
    """When it was submitted or retried here, seconds of the shell's monotonic clock; 0: it wasn't."""
    is_asked_for: bool = False
    """Whether it is held by name alone, and no news have said yet that there is such a task."""


Watcher = Callable[[Record], None]
"""Something that waits.  It is called under the shell's lock: it is quick, takes no lock, never raises."""


class EngineState:
    """All that one client knows, and the list of instructions under construction."""

    def __init__(self) -> None:
        self.out: list[Instruction] = []
        """Instructions of the event that is being handled."""
        self.records: dict[Key, Record] = {}
        """Every key that this client holds futures of."""
        self.hosts: dict[HostId, HostInfo] = {}
        """The hosts of the cluster."""
        self.gone = ""
        """Why there is no scheduler any more; empty while there is one."""
        # From 1, since 0 stands for none; next() of a count is one step, so any thread may take a number.
        self.requests = itertools.count(1)
        self.open: set[int] = set()
        """Requests of the user that weren't answered yet."""
        self.batches = itertools.count(1)
        self.unfinished: set[int] = set()
        """Submissions that span several events and aren't complete."""
        # Two generations: what is let go of after the question was sent is not proven by its answer.
        self.released: dict[Key, None] = {}
        """Keys that were let go of since the last tick at which an answer was asked for."""
        self.releasing: dict[Key, None] = {}
        """Keys that were let go of before: until ``releasing_until`` is answered, news of them may still come."""
        self.doubtful: dict[Key, None] = {}
        """Those of both of which news came: of the task before, or of a wish that crossed another client's cancel."""
        self.releasing_until = 0
        """Number of the request whose answer shows that; 0: none is under way."""
        self.fenced: dict[int, list[Record]] = {}
        """Records whose news are stale until this request is answered."""

    def send(self, message: ClientToScheduler) -> None:
        """Queue a message for the scheduler."""
        self.out.append(Send(SCHEDULER, message))

    def check_open(self) -> None:
        """Raise ClosedError if nothing can be asked of a scheduler any more."""
        if self.gone:
            raise ClosedError(self.gone)

    def held_of(self, records: Sequence[Record]) -> list[Record]:
        """Return those of these that still stand for their keys, each once."""
        # A user may name a future twice, and no record can leave the table twice.
        once = {id(record): record for record in records}
        return [record for record in once.values() if self.records.get(record.key) is record]


def move(record: Record, status: RecordStatus) -> None:
    """Change a record's status.

    Raises
    ------
    AssertionError
        If ``MOVES`` has no such move: the caller is wrong, and nothing was changed.
    """
    assert status in MOVES[record.status], f"{record.key} is {record.status} and can't become {status}"
    record.status = status


def keys_of(keys: Sequence[Key]) -> Iterator[list[Key]]:
    """Yield keys in lists that are fit for one message each."""
    for start in range(0, len(keys), KEYS):
        yield list(keys[start : start + KEYS])
