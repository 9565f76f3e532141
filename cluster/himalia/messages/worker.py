"""Nanny → worker and back: datagrams on Unix sockets of one host."""

from __future__ import annotations

from typing import Final

from himalia.bounds import Blob, Count, Few, Many, ManyOf, Name, Table, Text
from himalia.messages.parts import FunctionBody, Message, Part, TaskError, Timing
from himalia.messages.telemetry import LogLine
from himalia.names import Digest, Key

DATAGRAM_LIMIT: Final = 128 * 1024
"""Bytes of the largest datagram; what is larger is stored in the arena and named (:class:`Stored`)."""

# Nanny → worker


class Place(Part):
    """Where a value is: packed bytes, or frames that lie one after the other (each 64-byte aligned) in the arena."""

    inline: Blob | None
    offset: Count = 0
    sizes: ManyOf[Count] = ()
    is_copied: bool = False
    """Whoever reads it has to copy it and not to map it: mappings of earlier calls keep enough of the store."""


class Run(Message, tag=110):
    """Run a call.  ``run`` numbers the nanny's dispatches from 1 and never repeats."""

    # Not the attempt: the same one may be dispatched twice, if a datagram dies with the worker that took it.
    run: Count
    key: Key
    function: Blob
    call: Blob
    argument: Name
    inputs: Many[tuple[Key, Place]]
    alone: bool = False


class GrantSpace(Message, tag=111):
    """The worker may write results to this range of the arena, until :class:`Returned` names parts of it."""

    request: Count
    offset: Count
    # More than was needed: most results then need no question (a nursery).
    length: Count
    """0: there is no room; ``error`` says why."""
    error: Text = ""


class InterruptRun(Message, tag=112):
    """Raise in the thread that runs this, if it still does."""

    run: Count


class CallFunction(Message, tag=113):
    """Call this beside the tasks (``client.run``)."""

    request: Count
    call: Blob


class TrimHeap(Message, tag=116):
    """Give freed memory back to the system: this process is large."""


class RetireWorker(Message, tag=114):
    """Take no more calls, finish those that run, exit with code 0."""


# Nanny ⇄ worker


class EndsItself(Message, tag=128):
    """A call is about to send its own process a signal that may end it."""

    signal: Count


# One that doesn't fit is no error: calls with thousands of inputs name a place for each.
class Stored(Message, tag=115):
    """A message too large for a datagram: its encoded bytes are the one frame at ``place``."""

    place: Place


# Worker → nanny


class WorkerReady(Message, tag=120):
    """The process is up and asks for calls."""

    pid: Count
    versions: Table[Name, Text] = {}


class Returned(Message, tag=121):
    """A call returned; its value is ``place``."""

    run: Count
    nbytes: Count
    type_name: Name
    place: Place
    timing: Timing


class Raised(Message, tag=122):
    """A call raised, or could not be read or its value not be written."""

    run: Count
    error: TaskError
    timing: Timing


class NeedFunction(Message, tag=123):
    """Send the :class:`FunctionBody` of this digest."""

    digest: Digest


class NeedSpace(Message, tag=124):
    """Grant room for ``nbytes`` in the arena; answered by :class:`GrantSpace` with the same ``request``."""

    request: Count
    nbytes: Count
    """What the worker would like to have, for results to come."""
    # Two numbers: with little room a worker gets the one thing that it can't go on without.
    least: Count
    """What the result needs that it has now."""
    unused: Many[tuple[Count, Count]] = []
    """Ranges (offset, length) of earlier grants that the worker hands back."""


class Unmapped(Message, tag=125):
    """The worker's mappings of these ranges' offsets are gone, one entry for each mapping."""

    offsets: Many[Count]


class CallReturned(Message, tag=126):
    """Answer to :class:`CallFunction`: the packed pickle of what it returned, or the error in its place."""

    request: Count
    value: Blob = b""
    error: TaskError | None = None


class Printed(Message, tag=127):
    """Lines that a call wrote, sent before its answer."""

    run: Count
    # Before the answer on the same socket, so that output never comes after the result it belongs to.
    lines: Few[LogLine]
    dropped: Count = 0


NannyToWorker = Run | FunctionBody | GrantSpace | InterruptRun | CallFunction | TrimHeap | RetireWorker | Stored
WorkerToNanny = (
    WorkerReady | Returned | Raised | NeedFunction | NeedSpace | Unmapped | CallReturned | Stored | Printed | EndsItself
)  # fmt: skip
