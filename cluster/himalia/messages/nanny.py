"""Scheduler → nanny and back, on a session (``comm/session.py``)."""

from __future__ import annotations

from typing import Literal

from himalia.bounds import Amount, Blob, Count, Difference, Few, Many, ManyOf, Name, Serial, Text
from himalia.messages.answers import Question, Reply, Restarted
from himalia.messages.client import GetLogs, GetProfile, RunFunction, Scale
from himalia.messages.parts import (
    Close,
    Dependency,
    ForgetFunctions,
    FunctionBody,
    HeldData,
    HostInfo,
    HostsChanged,
    Message,
    TaskError,
    Timing,
    WorkerInfo,
)
from himalia.messages.telemetry import HostMetrics, LogLine
from himalia.names import HostId, Key, WorkerName

# Scheduler → nanny


class Compute(Message, tag=70):
    """Run this attempt of a call on any worker of the host, or on ``worker``."""

    key: Key
    # The number that its result is judged by; the key alone may mean a later assignment by then.
    attempt: Serial
    group: Name
    # Bytes as they came from the client, here and below: nobody on the way reads them.
    function: Blob
    call: Blob
    argument: Name
    dependencies: ManyOf[Dependency]
    priority: tuple[Difference, Count, Serial]
    """Lower runs earlier."""
    duration: Difference
    """Expected seconds, -1 if unknown."""
    wanted: bool
    """Whether a client waits for it, so that a small result should ride in the completion."""
    alone: bool = False
    """Run it with no other call in the same worker process (it was running when a worker died)."""
    worker: Name = ""


class Withdraw(Message, tag=71):
    """Give this attempt back.  If it runs already: with ``interrupt`` stop it, else let it run on and say so."""

    key: Key
    attempt: Serial
    # Without it (stealing) what runs already is left to finish where it is.
    interrupt: bool


class FreeData(Message, tag=72):
    """These results are no longer needed here; an attempt that isn't the stored one frees nothing."""

    # With attempts: the message may cross a newer result of the same key.
    data: Many[tuple[Key, Serial]]


# Tag 73 was Replicate's, which nobody sent; tags aren't used again.
class RestartWorkers(Question[Restarted], tag=74):
    """Drop every task and all data, replace every worker; answered when they are ready.

    With names in ``workers`` only these processes are replaced, and nothing is dropped.
    """

    workers: Few[Name] | None = None


class ReportInventory(Message, tag=75):
    """Digests differ: say what you have."""


# Nanny → scheduler


class RegisterNanny(Message, tag=90):
    """First message of a nanny in every session: itself, and what it has from before."""

    info: HostInfo
    workers: Few[WorkerInfo]
    data: Many[HeldData]
    attempts: Many[tuple[Key, Serial]]


class WorkerStarted(Message, tag=91):
    """A worker process is ready for calls; same name and another pid: it replaces one that died."""

    worker: WorkerInfo


class WorkerStopped(Message, tag=92):
    """A worker left as it was asked to; nothing was running on it."""

    name: WorkerName


DeathCause = Literal["crash", "memory", "outside"]
"""What is known of a worker's death; see ``nanny/evidence.py``."""


class WorkerDied(Message, tag=93):
    """A worker process ended by itself; ``running`` are the attempts whose user code it had begun."""

    name: WorkerName
    exit: Text
    """``signal SIGSEGV`` or ``exit code 1``, or why the nanny killed it."""
    running: Few[tuple[Key, Serial]]
    # Judged by the nanny, which alone knows what it did itself.
    blamed: bool
    """Whether the calls may have caused it (not for a restart, or a cancelled neighbour)."""
    log: Few[Text]
    """Its last lines."""
    cause: DeathCause = "crash"


class TaskFinished(Message, tag=94):
    """An attempt has a result, now in this host's store."""

    key: Key
    attempt: Serial
    # By name: a worker that is replaced passes it on, and telemetry has one row for both.
    worker: WorkerName
    nbytes: Count
    type_name: Name
    timing: Timing
    data: Blob | None = None
    """Packed value, if it is small and wanted."""


class TaskFailed(Message, tag=95):
    """An attempt raised, or its inputs or result could not be (de)serialized."""

    key: Key
    attempt: Serial
    error: TaskError
    timing: Timing


class InputMissing(Message, tag=96):
    """An attempt was given back: these inputs could not be had from these hosts."""

    key: Key
    attempt: Serial
    # Each with the host that was asked, so that exactly those copies are doubted.
    missing: Many[tuple[Key, Serial, HostId]]


class Withdrawn(Message, tag=97):
    """Answer to :class:`Withdraw`: ``started`` and not interrupted means that it runs on and will report."""

    key: Key
    attempt: Serial
    started: bool
    seconds: Amount = 0.0
    """How long it occupied a thread before it was stopped, as far as that is known."""


class DataAdded(Message, tag=98):
    """A copy of a result is now in this host's store too."""

    key: Key
    attempt: Serial
    nbytes: Count


class DataLost(Message, tag=99):
    """A result is no longer readable here (disk error, checksum)."""

    key: Key
    attempt: Serial


class Heartbeat(Message, tag=100):
    """Sent every ``settings.heartbeat_interval`` seconds.

    ``attempts`` and ``data`` are (count, xor of crc32(key) ^ attempt) of what it has; ``seen`` is how many messages of
    the scheduler it had handled, so that the two sides compare digests only when nothing is under way.
    """

    metrics: HostMetrics
    # A count and a sum, not a list: they say whether the books agree, however long those are.
    attempts: tuple[Count, Serial]
    data: tuple[Count, Serial]
    seen: Count
    paused: bool = False


class Inventory(Message, tag=101):
    """Answer to :class:`ReportInventory`; true at the point of the session where it stands."""

    data: Many[HeldData]
    attempts: Many[tuple[Key, Serial]]
    seen: Count


class WorkerOutput(Message, tag=102):
    """Lines that an attempt's call wrote."""

    key: Key
    worker: WorkerName
    lines: Few[LogLine]
    dropped: Count = 0


SchedulerToNanny = (
    FunctionBody | ForgetFunctions | HostsChanged | Close | Compute | Withdraw | FreeData | RestartWorkers
    | ReportInventory | RunFunction | Scale | GetLogs | GetProfile
)  # fmt: skip
NannyToScheduler = (
    Reply | RegisterNanny | WorkerStarted | WorkerStopped | WorkerDied | TaskFinished | TaskFailed | InputMissing
    | Withdrawn | DataAdded | DataLost | Heartbeat | Inventory | WorkerOutput
)  # fmt: skip
