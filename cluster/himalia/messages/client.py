"""Client → scheduler and back, on a session (``comm/session.py``)."""

from __future__ import annotations

import msgspec

from himalia.bounds import Blob, Count, Crew, Difference, Few, FewOf, Interval, Many, Name, Serial, Table, Text
from himalia.messages.answers import (
    CallReplies,
    CallSpec,
    CaughtUp,
    ClusterInfo,
    Explanation,
    KeyTable,
    PackageVersions,
    ProcessLogs,
    ProfileSamples,
    Question,
    Reply,
    Restarted,
    Scaled,
    TaskView,
    TelemetryReport,
)
from himalia.messages.parts import (
    Close,
    ForgetFunctions,
    FunctionBody,
    HostsChanged,
    Message,
    TaskError,
    TaskSpec,
)
from himalia.messages.telemetry import (
    ClusterEvent,
    ErrorSummary,
    GroupSummary,
    HostMetrics,
    LogLine,
    SchedulerStatus,
    TaskRecord,
)
from himalia.names import HostId, Key

# Client → scheduler


class Submit(Message, tag=20):
    """Calls, dependencies before dependents.  ``batch`` numbers a user's submission, which may span messages."""

    batch: Serial
    # A longer submission spans several messages: every list has a bound.
    tasks: Few[TaskSpec]
    last: bool = True
    """Whether the submission ends here; until then nothing of it is forgotten for want of a dependent."""
    span: Name = ""
    """What calls are counted under in telemetry: a cell (``client id/number``); empty: the client's own id."""


class DataPlaced(Message, tag=21):
    """The client stored a value at ``host`` (scatter, or a large argument) and the host acknowledged it."""

    key: Key
    group: Name
    host: HostId
    nbytes: Count
    type_name: Name
    wanted: bool
    # Random, since a key may be let go of and placed anew by several clients, none of which knows the others.
    attempt: Serial = 0
    """Negative and drawn at random by the client for each value it places, the same on every host it places it at."""
    origin: Text = ""
    """As in :class:`TaskOptions`."""


class WantKeys(Message, tag=22):
    """The client holds futures of these keys now; unknown ones are answered with ResultErred (``lost``)."""

    keys: Few[Key]


class ReleaseKeys(Message, tag=23):
    """The client holds no future of these keys any more."""

    keys: Few[Key]


class CancelKeys(Message, tag=24):
    """Stop these, and everything that depends on them; with ``force`` also what other clients want."""

    keys: Few[Key]
    force: bool = False
    # Whoever else waits for these is told this.
    reason: Text = ""


class RetryKeys(Message, tag=25):
    """Compute these erred keys again."""

    keys: Few[Key]


class ReportMissing(Message, tag=26):
    """The client could not read this result from that host."""

    key: Key
    # A complaint about an older result says nothing of the one that is there now.
    attempt: Serial
    host: HostId


class GetInfo(Question[ClusterInfo], tag=30):
    """Ask for the scheduler, its hosts and workers."""


class GetKeys(Question[KeyTable], tag=31):
    """Ask who holds what; ``keys=None``: all that is in memory."""

    keys: Few[Key] | None = None
    skip: Count = 0
    """Of what is in memory, leave out so many: an answer has ``bounds.FEW`` entries at most."""


class Explain(Question[Explanation], tag=32):
    """Ask why a key is in the state it is in: one sentence."""

    key: Key


class RunFunction(Question[CallReplies], tag=33):
    """Call a function beside the tasks on each of these workers (``None``: all).

    Also scheduler → nanny, where ``workers`` are that nanny's, and the answer has them by name.
    """

    call: Blob
    """Packed pickle of ``(function, args, kwargs)``."""
    workers: Few[Name] | None = None


class Restart(Question[Restarted], tag=34):
    """Forget every task and replace every worker process; answered when all are back.

    With names in ``workers`` only these are replaced and no task is forgotten: what they ran is run again.
    """

    workers: Few[Name] | None = None


class Scale(Question[Scaled], tag=35):
    """Let this host (or the only one) keep so many workers; results stay.  Also scheduler → nanny."""

    workers: Crew
    host: HostId | None = None


class GetVersions(Question[PackageVersions], tag=36):
    """Ask which packages scheduler and nannies have; workers answer :class:`RunFunction`."""


class GetLogs(Question[ProcessLogs], tag=37):
    """Ask for the last lines of output of workers and nannies.  Also scheduler → nanny."""

    workers: Few[Name] | None = None
    key: Name = ""
    """Only lines that this call wrote."""
    since: Difference = 0.0
    """Only lines written later, epoch seconds."""


class GetTelemetry(Question[TelemetryReport], tag=38):
    """Ask for group summaries and the ring of records that started at or after ``since`` (epoch seconds)."""

    since: Difference = 0.0
    span: Name = ""
    """Only the groups of this one, if any is named."""


class FollowTelemetry(Message, tag=39):
    """Push a :class:`Telemetry` at most every ``interval`` seconds; 0 ends it."""

    interval: Interval
    # Few want all: a view of some hundred pixels shows no more than a sample.
    full: bool = False
    """Send every record, packed in ``blocks``, instead of a thinned list."""
    past: bool = False
    """Begin with the records that are remembered of before."""


class CatchUp(Question[CaughtUp], tag=44):
    """Ask for what changed to be pushed now, whatever the interval; answered after that push.

    So whoever stops following, and asks first, has missed nothing.
    """


class DescribeTask(Question[TaskView], tag=40):
    """Ask for all that is known of a key."""

    key: Key


class GetProfile(Question[ProfileSamples], tag=41):
    """Ask for samples of what user code did.  Also scheduler → nanny.

    A stack is ``function (file:line)`` joined by ``;``, the outermost user frame first.  Asking also keeps the
    sampling fast for ``settings.profile_lease`` seconds.
    """

    since: Difference = 0.0
    workers: Few[Name] | None = None


class CancelSpan(Message, tag=42):
    """Stop all calls that the client submitted under this span and that haven't finished."""

    span: Name
    reason: Text = ""


class GetSpec(Question[CallSpec], tag=43):
    """Ask for a call so that it can be repeated by its client."""

    key: Key


# Scheduler → client


class ResultReady(Message, tag=50):
    """A wanted key is in memory at these hosts; ``data`` is its packed value if that is small."""

    key: Key
    attempt: Serial
    nbytes: Count
    type_name: Name
    holders: FewOf[HostId]
    # Left out, too, for a client that reads slowly (scheduler/window.py): holders have it.
    data: Blob | None = None


class ResultErred(Message, tag=51):
    """A wanted key ended without a result."""

    key: Key
    error: TaskError


class ResultPending(Message, tag=52):
    """A wanted key that was in memory, erred or unknown is being computed (again)."""

    key: Key


class ResultCancelled(Message, tag=53):
    """A wanted key was cancelled; the client's wish for it is gone."""

    key: Key
    reason: Text


# Told, since nobody would find out: two notebooks that use a name for different things both get a result.
class KeyTaken(Message, tag=56):
    """A key that the client submitted is in use for something else, whose result it gets (``packing/origin.py``)."""

    key: Key
    before: Text
    """Origin of what it is in use for."""
    now: Text
    """Origin of what was submitted."""


class Telemetry(Message, tag=54):
    """What changed since the last push; at most ``settings.telemetry_records`` records, evenly thinned."""

    time: Difference
    groups: Few[GroupSummary]
    records: Many[TaskRecord]
    skipped: Count
    """Records that were thinned out."""
    hosts: Table[Name, HostMetrics]
    """Those that changed."""
    # Bytes and not records: packed once, copied to every follower.
    blocks: Few[Blob] = []
    """For a follower that wants all: MessagePack of ``list[TaskRecord]`` each, in order; ``records`` is empty then."""
    errors: Few[ErrorSummary] = []
    """Those that changed; all of them in the first push."""
    events: Few[ClusterEvent] = []
    status: SchedulerStatus = msgspec.field(default_factory=SchedulerStatus)


class CallOutput(Message, tag=55):
    """What a call of the client's wrote; rates are limited on the way, ``dropped`` lines are gone."""

    key: Key
    span: Name
    worker: Name
    lines: Few[LogLine]
    dropped: Count = 0


# What a decoder of that side takes; everything else ends the session.
ClientToScheduler = (
    FunctionBody | ForgetFunctions | Close | Submit | DataPlaced | WantKeys | ReleaseKeys | CancelKeys | RetryKeys
    | ReportMissing | GetInfo | GetKeys | Explain | RunFunction | Restart | Scale | GetVersions | GetLogs
    | GetTelemetry | FollowTelemetry | DescribeTask | GetProfile | CancelSpan | GetSpec
    | CatchUp
)  # fmt: skip
SchedulerToClient = (
    Reply | HostsChanged | Close | ResultReady | ResultErred | ResultPending | ResultCancelled | Telemetry | CallOutput
    | KeyTaken
)  # fmt: skip
