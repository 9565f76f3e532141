"""What answers a request: one struct for each kind of it, which the request's class names (``Question[ClusterInfo]``).

An answer is decoded, and its bounds are checked, with the :class:`Reply` that carries it, so that whoever asks gets the
struct and nobody reads texts as keys.  The dicts that users see are made of these at the last step (``show/plain.py``).
"""

from __future__ import annotations

from typing import Generic, TypeVar, cast, get_args

from himalia.bounds import (
    Amount,
    Blob,
    Count,
    Difference,
    Few,
    FewOf,
    LongTable,
    Many,
    ManyOf,
    Name,
    Serial,
    Table,
    Text,
)
from himalia.errors import HimaliaError
from himalia.messages.parts import Message, Part, TaskError
from himalia.messages.telemetry import GroupSummary, LogLine, TaskCounts, TaskRecord
from himalia.names import HostId, Key

A = TypeVar("A", bound=Part)


class Question(Message, Generic[A]):
    """Something that is answered by an ``A``, in the :class:`Reply` of the same number."""

    request: Count
    """Number that whoever asks gave it."""


class HostView(Part):
    """A nanny and its host, as the scheduler knows it."""

    address: Text
    """Where its data listener is; who holds what is told by these."""
    # From here on with defaults: a dict in an old recording may lack any of these (old_recording.py).
    name: Name = ""
    """What the nanny was called by its user; empty: nothing."""
    hostname: Name = ""
    machine: Name = ""
    """Identity of the running machine and user."""
    pid: Count = 0
    memory_limit: Count = 0
    """Bytes the store may hold in memory."""
    local_directory: Text = ""
    nthreads: Count = 0
    """Of all its workers."""
    assigned: Count = 0
    """Tasks that it was given and that haven't ended."""
    held: Count = 0
    """Results that it holds."""
    store_bytes: Count = 0
    """Bytes of results in memory."""
    spilled_bytes: Count = 0
    """Bytes of results on disk."""
    store_clients: Table[Name, Count] = {}
    """See :class:`StoreUse`."""
    store_workers: Table[Name, Count] = {}
    paused: bool = False
    """Whether it takes no new work because its memory is nearly full."""
    last_seen: Difference = 0.0
    """Seconds since it was heard of."""
    versions: Table[Name, Text] = {}
    """Of packages in the nanny's process."""


class WorkerView(Part):
    """A worker process, as the scheduler knows it."""

    name: Name
    host_id: HostId
    host: Name = ""
    """Name of its machine."""
    nanny: Text = ""
    """Address of its nanny."""
    pid: Count = 0
    nthreads: Count = 0
    memory_limit: Count = 0
    """Bytes of its own memory (results are not in it); 0: unlimited."""
    local_directory: Text = ""
    resources: Table[Name, Amount] = {}
    metrics: tuple[Difference, Count, Count] = (0.0, 0, 0)
    """CPU (fraction of one), memory (bytes), calls running."""


class ClusterInfo(Part, tag=200):
    """The scheduler, its hosts and its workers."""

    id: Name = ""
    """Incarnation of the scheduler."""
    address: Text = ""
    """What it calls itself."""
    started: Difference = 0.0
    """Seconds ago."""
    clients: Count = 0
    """Sessions of people; those that only look on don't count."""
    tasks: Count = 0
    """Tasks that exist now."""
    queued: Count = 0
    """Ready, and held back until a worker is free."""
    hosts: Table[HostId, HostView] = {}
    workers: LongTable[Text, WorkerView] = {}
    """By address."""
    # None and not zeros, which would be drawn as "nothing ran".
    counts: TaskCounts | None = None
    """All tasks that there ever were; None: whoever wrote this (an old recording) didn't count them."""
    drift_repaired: Count = 0
    """How often the books of scheduler and a nanny differed, and were put right."""
    # Not the scheduler's to say: it can't see from where somebody looks.
    here: Name = ""
    """Identity of the machine and user that follow the cluster, as in ``HostView.machine``; filled in there."""


class KeyView(Part):
    """Where a result is."""

    status: Name
    # Serial, and not Count, for the -1.
    nbytes: Serial
    """Size of the result; -1 before there is one."""
    attempt: Serial
    type_name: Name
    holders: FewOf[Text]
    """Addresses of nannies."""


class KeyTable(Part, tag=201):
    """Who holds what, by key."""

    keys: Table[Key, KeyView]


class Explanation(Part, tag=202):
    """Why something is as it is, in a sentence."""

    text: Text


class CallReply(Part):
    """What a worker answered to a function that was called beside its tasks: a value, or the error in its place."""

    value: Blob = b""
    """Packed pickle."""
    error: TaskError | None = None


class CallReplies(Part, tag=203):
    """What workers answered: by address to a client, by name to the scheduler."""

    replies: LongTable[Text, CallReply]


class Restarted(Part, tag=204):
    """Worker processes were replaced."""

    workers: LongTable[Text, Text] = {}
    """``OK`` by the name that was asked for, or why that one can't be; empty if all were meant.  A nanny that can't
    is told of by its address."""


class Scaled(Part, tag=205):
    """A host keeps these workers from now on; some may still be starting."""

    workers: Few[Name] = []
    problems: LongTable[Text, Text] = {}
    """By nanny address: why it doesn't."""


class PackageVersions(Part, tag=206):
    """Versions of packages by name."""

    scheduler: Table[Name, Text]
    nannies: LongTable[Text, Table[Name, Text]]
    """By address."""


class ProcessLogs(Part, tag=207):
    """The last lines of output of workers and nannies."""

    lines: LongTable[Name, Many[LogLine]]
    """By name of the process."""
    # An answer in parts: one host that is deaf must not cost the lines of all others.
    problems: LongTable[Text, Text] = {}
    """By nanny address: why there are none of it."""


class TelemetryReport(Part, tag=208):
    """Measurements of a cluster up to now.

    Attributes
    ----------
    groups : list of GroupSummary
        Counts and times of calls by the name that they share, for each span (client or cell) they were submitted from.
    records : list of TaskRecord
        Single calls, in the order in which they ended.
    total : int
        Calls that ended so far, of which ``records`` are the latest.
    counts : TaskCounts or None
        All tasks that there ever were; None if whoever answers doesn't count them.
    """

    groups: Many[GroupSummary]
    records: Many[TaskRecord]
    total: Serial = 0
    counts: TaskCounts | None = None


class ProfileSamples(Part, tag=209):
    """What calls did when they were looked at from outside."""

    samples: LongTable[Name, Many[tuple[Difference, Text, Count]]]
    """By worker: time (epoch seconds), stack (see :class:`GetProfile`), how often in a row."""
    problems: LongTable[Text, Text] = {}
    """By nanny address: why its workers can't be looked at."""


class ErrorView(Part):
    """How a task failed; see :class:`TaskError`."""

    key: Key
    kind: Name
    text: Text
    worker: Name
    attempts: Count


class TaskView(Part, tag=210):
    """All that is known of one key; None stands for what whoever answers doesn't know (a recording knows little)."""

    key: Key
    group: Name | None = None
    span: Name | None = None
    """What it was submitted under."""
    # Never an error: whoever looks at a page may click a key that was just forgotten.
    status: Name = "unknown"
    """``unknown``: there is no such task (any more)."""
    why: Text = ""
    """Why it is in that state, in a sentence."""
    priority: tuple[Difference, Serial, Serial] | None = None
    """Lower runs earlier."""
    attempt: Serial | None = None
    tries: Count | None = None
    """Attempts so far."""
    retries: Serial | None = None
    """Attempts that it still has if it raises."""
    strikes: Amount | None = None
    """Workers that died while they ran it."""
    nbytes: Serial | None = None
    """Size of the result; -1 before there is one."""
    type_name: Name | None = None
    host: Name | None = None
    """Where it is assigned to; empty: nowhere."""
    worker: Name | None = None
    holders: Few[Name] | None = None
    """Hosts that hold its result."""
    placed: bool | None = None
    """Whether a client placed it, so that there is no call."""
    workers: Few[Name] | None = None
    """What it asks for; see :class:`TaskOptions`."""
    resources: Table[Name, Amount] | None = None
    dependencies: Few[tuple[Key, Name]] | None = None
    """The first few, with their status; of ``ndependencies``."""
    ndependencies: Count | None = None
    dependents: Few[tuple[Key, Name]] | None = None
    ndependents: Count | None = None
    error: ErrorView | None = None
    """None: it hasn't failed."""
    events: Few[tuple[Difference, Name, Text]] = []
    """Of what happened out of the ordinary: seconds since, kind, text."""


class CallSpec(Part, tag=211):
    """A call, so that it can be repeated by its client; bytes are opaque here."""

    function: Blob
    """Pickle; empty if ``call`` carries the function itself."""
    call: Blob
    argument: Name
    """Key of placed data that holds the pickle of the call; empty: ``call`` does."""
    dependencies: ManyOf[Key]


class CaughtUp(Part, tag=212):
    """All that was known when it was asked for was pushed."""

    total: Serial = 0
    """Calls that had ended."""


# Told apart by their tags, which go from 200 on so that they never meet those of messages.
AnyAnswer = (
    ClusterInfo | KeyTable | Explanation | CallReplies | Restarted | Scaled | PackageVersions | ProcessLogs
    | TelemetryReport | ProfileSamples | TaskView | CallSpec | CaughtUp
)  # fmt: skip


class Reply(Message, tag=3):
    """The answer to the request of that number, or why there is none."""

    request: Count
    value: AnyAnswer | None = None
    error: Text = ""


def answer_of(question: type[Question[A]]) -> type[A]:
    """Return the kind of answer that a kind of request asks for."""
    # Python keeps the parameter of Question[...] there: so the kind of answer is written once, at the class.
    (base,) = question.__orig_bases__  # type: ignore[attr-defined]
    return cast("type[A]", get_args(base)[0])


def read_answer(question: Question[A], value: object) -> A:
    """Return the value of the reply to a request.

    Raises
    ------
    HimaliaError
        If it answers something else.
    """
    kind = answer_of(type(question))
    # Bounds were checked when it was decoded; only whether it is what was asked for is left.
    if not isinstance(value, kind):
        raise HimaliaError(
            f"The answer to {type(question).__name__} is a {type(value).__name__}, not a {kind.__name__}; "
            f"is that scheduler of another version?"
        )
    return value
