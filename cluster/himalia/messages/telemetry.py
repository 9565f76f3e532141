"""What the runtime says of itself: measurements, records of calls, counts of groups."""

from __future__ import annotations

from typing import Literal

import msgspec

from himalia.bounds import Amount, Count, Difference, Few, FewOf, Name, Serial, Sum, Table, Text
from himalia.messages.parts import Part, TaskError, Timing
from himalia.names import HostId, Key


class RunningCall(Part):
    """A call that a worker has been running for a while; ``started`` is when its nanny first saw it, epoch seconds."""

    worker: Name
    thread: Count
    key: Key
    group: Name
    started: Difference


class TransferSummary(Part):
    """What a nanny received from one other host since its last heartbeat."""

    source: HostId
    nbytes: Count
    # So nbytes / seconds is the rate of one transfer, not of the host.
    seconds: Amount
    """Sum over transfers, which may overlap."""
    count: Count


class StoreMove(Part):
    """Results that a nanny moved between memory and disk; ``start`` in epoch seconds."""

    kind: Name
    """``spill`` or ``unspill``."""
    start: Difference
    seconds: Amount
    nbytes: Count


class ProcessMetrics(Part):
    """What a scheduler or nanny process uses; ``cpu`` is a fraction of one, ``memory`` bytes, network bytes/s."""

    # Rates are differences of two readings, and a counter that wrapped, or a clock that was set, makes one negative.
    cpu: Difference = 0.0
    memory: Count = 0
    fds: Count = 0
    loop_lag: Difference = 0.0
    """Seconds by which its timer was late."""
    received: Difference = 0.0
    """Bytes/s that its machine received (all interfaces but loopback); ``sent`` likewise."""
    sent: Difference = 0.0


class LogLine(Part):
    """A line of output; ``time`` in epoch seconds."""

    time: Difference
    source: Name
    """``stdout``, ``stderr``, or the level of a log record: ``DEBUG`` … ``CRITICAL``."""
    text: Text
    key: Name = ""
    """The call that wrote it, if that is known."""


class ErrorSummary(Part):
    """Failed calls that have the same cause: the same exception raised at the same line, or the same kind of death."""

    id: Name
    """Digest of what makes them the same."""
    # Without its pickle: what is shown is text.
    error: TaskError
    """The newest of them."""
    group: Name
    count: Count
    inputs: FewOf[Key] = ()
    """Inputs of the newest; the first few."""
    workers: FewOf[Name] = ()
    """Where it happened; the first few."""
    last: Difference = 0.0
    """When the newest arrived, seconds of the scheduler's clock."""


class ClusterEvent(Part):
    """Something that happens rarely: a worker came or died, data were lost, a call was taken back."""

    number: Count
    time: Difference
    """Seconds of the scheduler's clock."""
    kind: Name
    """Like ``worker-started``, ``worker-stopped``, ``worker-died``, ``host-joined``, ``host-left``, ``retried``."""
    subject: Name
    """Name of a worker or host, or a key."""
    text: Text


class TaskCounts(Part):
    """How many tasks are where: of a function, a cell or a cluster, in every view.

    A task is what was submitted once; it counts in one place, however often it was tried.  Values that clients placed
    are no tasks here.
    """

    # Serial and not Count, here and in what is summed below: a number of one peer that is wrong must not end the
    # session of whoever is shown the sum (``bounds.py``).
    waiting: Serial = 0
    """For inputs, or ready and held back."""
    assigned: Serial = 0
    """At a host: running, or next in line there."""
    done: Serial = 0
    """Its result was computed, whether or not somebody still holds it."""
    failed: Serial = 0
    """It ended by an error, its own or that of an input, and wasn't retried by hand since."""
    cancelled: Serial = 0
    """Nobody wanted it any more before it had ended: cancelled, interrupted or let go of."""

    @property
    def left(self) -> int:
        """Tasks that have not ended."""
        return self.waiting + self.assigned

    @property
    def ended(self) -> int:
        """Tasks that came to an end of their own: what "7 of 12" counts."""
        # Without the cancelled ones: nobody waits for those.
        return self.done + self.failed

    @property
    def total(self) -> int:
        """All: the 12 of "7 of 12"."""
        return self.left + self.ended + self.cancelled

    def __add__(self, other: TaskCounts) -> TaskCounts:
        return TaskCounts(
            self.waiting + other.waiting,
            self.assigned + other.assigned,
            self.done + other.done,
            self.failed + other.failed,
            self.cancelled + other.cancelled,
        )


class SchedulerStatus(Part):
    """How the scheduler is doing."""

    clients: Serial = 0
    """Sessions of people; those that only look on (a cluster object, a widget, a dashboard) don't count."""
    tasks: Serial = 0
    queued: Serial = 0
    """Ready, and held back until a worker is free."""
    # A number, not the list: followers ask when it changes, and otherwise a push stays small.
    membership: Serial = 0
    """Changes with every coming or leaving of hosts and workers: ask :class:`GetInfo` again."""
    uptime: Difference = 0.0
    total: Serial = 0
    """Calls that ended so far, each attempt: as many as there are records."""
    process: ProcessMetrics = msgspec.field(default_factory=ProcessMetrics)
    counts: TaskCounts | None = None
    """All tasks that there ever were; None: whoever wrote this didn't count them."""


class StoreUse(Part):
    """Why a host's store has little room: who keeps what in memory, and who waits; bytes."""

    free: Count = 0
    """What could be granted without moving anything to disk."""
    calls: Count = 0
    """Inputs of calls under way."""
    clients: Table[Name, Count] = {}
    """What each client maps, by its id; of many those that map most."""
    workers: Table[Name, Count] = {}
    """What user code of each worker keeps mapped of inputs whose calls are over, by its name."""
    waiting: Table[Key, Count] = {}
    """Calls that wait for room, and what each needs: for its inputs or for its result."""
    disk: Text = ""
    """Why nothing can move to disk; empty if it can."""


WaitKind = Literal["fetched", "read", "admitted", "written"]
"""What something waits to be: an input that is on its way from another host; a call's inputs that are read back from
disk; a call that isn't begun before there is room for its inputs; a result that has no room yet."""


class HostWait(Part):
    """Something that has waited at a host for longer than a moment (``nanny/waits.py``)."""

    kind: WaitKind
    key: Key
    """Of the input that is fetched, else of the call."""
    seconds: Amount
    """How long, as of the heartbeat."""
    nbytes: Count = 0
    """Bytes for which there is no room in the store; 0: it doesn't wait for room."""
    host: Name = ""
    """Fetched: the host that was asked, by its id."""
    more: Count = 0
    """Fetched: other holders that can be asked if that one fails.  Read: calls whose turn comes before."""


class HostMetrics(Part):
    """What a nanny measures at each heartbeat; bytes and fractions of one CPU."""

    store_bytes: Count = 0
    spilled_bytes: Count = 0
    host_memory: Count = 0
    cpu: Difference = 0.0
    loop_lag: Difference = 0.0
    """Seconds by which the nanny's timer was late."""
    workers: Table[Name, tuple[Difference, Count, Count]] = {}
    """Per worker: CPU (fraction of one), memory (bytes), calls running."""
    # By its own clock, so that what the host says of moments below fits together.
    time: Difference = 0.0
    """When this was measured, epoch seconds of its clock; the lists below are of the time since the one before."""
    running: Few[RunningCall] = []
    """Calls that have been running for at least one heartbeat; the longest ones if there are many."""
    transfers: Few[TransferSummary] = []
    moves: Few[StoreMove] = []
    process: ProcessMetrics = msgspec.field(default_factory=ProcessMetrics)
    """The nanny's own."""
    use: StoreUse = msgspec.field(default_factory=StoreUse)
    """Of the store's memory."""
    still: Table[Name, Text] = {}
    """Workers that stand still: how, since when, and what will be done (``nanny/watchdog.py``)."""
    waits: Few[HostWait] = []
    """What waits for longer than a moment; of many of a kind the oldest."""
    quiet: Amount = 0.0
    """Seconds for which no call was begun or ended here though some were assigned; 0 for less than a moment."""


class TaskRecord(Part):
    """Telemetry of one finished call (docs/design.md, Telemetry)."""

    # The order of these is that of the scheduler's rows (telemetry/finished_calls.py), which are packed as they are.
    key: Key
    group: Name
    host: HostId
    worker: Name
    status: Name
    """``ok`` or ``error``."""
    timing: Timing
    nbytes: Count


class GroupSummary(Part):
    """Telemetry of all calls of a group so far."""

    name: Name
    span: Name = ""
    """What the calls were submitted under: a client's cell, or a client (see :class:`Submit`)."""
    waiting: Serial = 0
    """See :class:`TaskCounts`; as are ``assigned``, ``erred`` (failed there), ``done`` and ``cancelled``."""
    assigned: Serial = 0
    in_memory: Serial = 0
    """Tasks whose result is held now, those included that a client placed."""
    erred: Serial = 0
    finished: Serial = 0
    """Completions ever counted, recomputations included."""
    failed: Serial = 0
    """Attempts that raised, those included that were tried again."""
    compute: Sum = 0.0
    """Sum over completions, seconds; as are the three below."""
    transfer: Sum = 0.0
    deserialize: Sum = 0.0
    serialize: Sum = 0.0
    nbytes: Serial = 0
    """Sum of result sizes over completions."""
    memory: Serial = 0
    """Bytes of its results that are held now; copies on several hosts count once."""
    peak: Serial = 0
    """Most that ``memory`` ever was."""
    moved: Serial = 0
    """Bytes of inputs that were fetched from other hosts."""
    tasks: Serial = 0
    """Tasks that exist now."""
    # Not 0, which is a count: an old recording lacks this field.
    done: Serial = -1
    """-1: whoever wrote this didn't count; then it is ``finished``."""
    cancelled: Serial = 0
    stopping: Serial = 0
    """Calls that nobody wants any more and that a host hasn't stopped yet."""
    wasted: Sum = 0.0
    """Seconds that worker threads were occupied by calls that failed or were stopped; never part of those above."""
    duration: Sum = -1.0
    """Seconds that a call of this name occupies its thread, moving average; -1: none ended yet."""

    @property
    def counts(self) -> TaskCounts:
        """Where its tasks are."""
        # An old recording counted completions only, recomputations included.
        done = self.done if self.done >= 0 else self.finished
        return TaskCounts(self.waiting, self.assigned, done, self.erred, self.cancelled)

    @property
    def occupied(self) -> float:
        """Seconds that its calls occupied threads of workers: thread-seconds, not CPU time."""
        return self.deserialize + self.compute + self.serialize + self.wasted
