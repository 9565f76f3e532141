"""What can happen to a client besides messages, and what its machine can ask of its shell.

The scheduler's messages are events too.
"""

from __future__ import annotations

from typing import Any

from himalia.client.engine.state import Record, Watcher
from himalia.machine import Event, Instruction
from himalia.messages.client import CallOutput, ClientToScheduler, DataPlaced, KeyTaken, Telemetry
from himalia.messages.parts import TaskError, TaskSpec
from himalia.names import HostId, Key

# Events


class CallsSubmitted(Event):
    """The user submitted calls, dependencies before dependents; a wanted spec gets one future."""

    batch: int
    tasks: list[TaskSpec]
    last: bool = True
    """Whether the submission is complete with these."""
    span: str = ""
    """What it is counted under; see ``notebook_cells.py``."""
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
    """The shell has a message without an answer for the scheduler (telemetry to follow, a cell to cancel)."""

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
    value: Any
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
