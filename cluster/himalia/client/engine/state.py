"""What a client knows of the keys it holds futures of, and the events and instructions of its machine.

Decides which fields a record has in which status.  It never decides how a record changes: that is ``machine.py``.

A record's life::

    (submitted, scattered, held) ──> pending ──> finished ──> pending (its data were lost, it is computed again)
                                        │            └──────> lost
                                        ├──> error ──> pending (retried)
                                        ├──> lost         its data are gone, or the scheduler is
                                        └──> cancelled    for good: the record leaves the table

Several futures may share a record; ``refs`` counts them.  When it falls to zero the record leaves the table and the
scheduler is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from himalia.machine import Event, Instruction
from himalia.messages.client import CallOutput, ClientToScheduler, DataPlaced, KeyTaken, Telemetry
from himalia.messages.parts import TaskError, TaskSpec
from himalia.names import HostId, Key

PENDING: Final = "pending"
FINISHED: Final = "finished"
ERROR: Final = "error"
CANCELLED: Final = "cancelled"
LOST: Final = "lost"

STATUSES: Final = frozenset({PENDING, FINISHED, ERROR, CANCELLED, LOST})


class Record(msgspec.Struct, gc=False, eq=False):
    """One key that this client holds futures of.

    There may be millions, so the garbage collector doesn't look at them: what they refer to must not outlive a status
    (``watchers`` are let go as soon as the key settles, and all keys settle when the client closes).
    """

    key: Key
    status: str = PENDING
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


# Events of this side


class CallsSubmitted(Event):
    """The user submitted calls, dependencies before dependents; a wanted spec gets one future."""

    batch: int
    tasks: list[TaskSpec]
    last: bool = True
    """Whether the submission is complete with these."""
    span: str = ""
    """What it is counted under; see ``cells.py``."""
    at: float = 0.0
    """When, seconds of the shell's monotonic clock."""


class ValuePlaced(Event):
    """A value was stored at a host; with ``message.wanted`` and ``hold`` it gets one future."""

    message: DataPlaced
    data: bytes | None = None
    """Its packed value, if that is small."""
    hold: bool = True


class KeysHeld(Event):
    """Futures of these keys were made without a submission: unpickled, or asked for by name."""

    keys: list[Key]


class FuturesDropped(Event):
    """Futures were garbage collected or released; one entry for each."""

    records: list[Record]


class CancelAsked(Event):
    """The user cancelled these."""

    records: list[Record]
    force: bool = False
    reason: str = ""


class RetryAsked(Event):
    """The user wants these, which ended in an error, to be computed again."""

    records: list[Record]
    at: float = 0.0
    """When, seconds of the shell's monotonic clock."""


class ReadFailed(Event):
    """The value of a finished key could not be read from that host."""

    key: Key
    attempt: int
    host: HostId


class CallsRefused(Event):
    """These calls can't be sent, because their arguments could not be stored anywhere."""

    records: list[Record]
    error: TaskError


class RequestMade(Event):
    """The user asked the scheduler something; ``message.request`` came from :meth:`ClientMachine.next_request`."""

    message: Any


class MessageMade(Event):
    """The shell has a message without an answer for the scheduler (a function's body, telemetry to follow)."""

    message: ClientToScheduler


class Closed(Event):
    """The user closed the client."""

    reason: str


# Instructions


class Notify(Instruction):
    """Call these watchers: the record settled."""

    record: Record
    watchers: list[Watcher]


class Answer(Instruction):
    """A request was answered, or never will be: then ``error`` says why."""

    request: int
    value: object
    error: str


class Deliver(Instruction):
    """Hand a push of telemetry to those who follow it."""

    telemetry: Telemetry


class ShowOutput(Instruction):
    """Show the user what a call wrote."""

    output: CallOutput


class ReportKeyTaken(Instruction):
    """Tell the user that a key of his is in use for something else."""

    message: KeyTaken


class HostsKnown(Instruction):
    """Hosts are known now that weren't; the first time also if there are none."""


class ForgetHost(Instruction):
    """Close the data connection to a host that left."""

    host: HostId
