"""Every message of the runtime's wire, defined once, grouped by direction.

A message is a fact or a wish, never a decision.  Tags are small integers, unique in this module and never reused; a
changed or removed field is a new ``PROTOCOL`` number.  User bytes (functions, calls, results) are opaque here.

Directions
----------
client → scheduler, scheduler → client, scheduler → nanny, nanny → scheduler ride on sessions (``himalia.comm``).
nanny ⇄ worker are datagrams on Unix sockets of one host.  The data plane (``himalia.comm.data``) has its own few.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from himalia.bounds import (
    Amount,
    Blob,
    Count,
    Crew,
    Difference,
    Few,
    FewOf,
    Interval,
    Many,
    ManyOf,
    Name,
    Serial,
    Sum,
    Table,
    Text,
)
from himalia.names import Digest, HostId, Key, WorkerName

PROTOCOL: Final = 3
"""Number of this wire; peers with different numbers refuse each other at the handshake."""


class Part(msgspec.Struct, array_like=True, gc=False):
    """Something that messages are made of; never changed once made."""


class Message(msgspec.Struct, array_like=True, gc=False):
    """Base of all that crosses a wire; never changed once made."""


# What messages are made of


class TaskOptions(Part):
    """What a user asked for one call, beyond calling it."""

    priority: Difference = 0.0
    """Higher runs earlier."""
    retries: Count = 0
    """How often an exception is answered by another attempt."""
    workers: FewOf[Name] = ()
    """Worker names, worker addresses, host names or nanny addresses it may run on; empty: any."""
    allow_other_workers: bool = False
    """Whether ``workers`` is a wish only."""
    resources: Table[Name, Amount] = {}
    """What it occupies of a worker's declared resources while it runs."""
    origin: Text = ""
    """What a name that the user chose stands for, by which calls of one key are compared (``packing/origin.py``)."""


class TaskSpec(Part):
    """One call, as its client describes it."""

    key: Key
    group: Name
    """Name that tasks of one kind share: the function's name, or the layer of a collection."""
    function: Blob
    """Digest of the function, sent before as :class:`FunctionBody`; empty if ``call`` carries the function itself."""
    call: Blob
    """Packed pickle of ``(args, kwargs)``, or of ``(function, args, kwargs)``; empty if ``argument`` holds it."""
    dependencies: ManyOf[Key]
    """Keys whose values ``call`` refers to (``argument`` included)."""
    order: Serial
    """Rank within its submission; lower runs earlier."""
    wanted: bool
    """Whether the client holds a future of it."""
    argument: Name = ""
    """Key of placed data that holds the pickle of the call, where that is too large for a message."""
    options: TaskOptions | None = None


class Frame(Part):
    """One line of a traceback; the source line is looked up where it is shown."""

    filename: Text
    line: Count
    function: Text
    first: Count = 1
    """Line where the function begins: IPython counts from it."""


class TaskError(Part):
    """How a call ended that has no result."""

    kind: Name
    """``exception`` (user code raised), ``killed`` (took its worker down), ``lost`` (data are gone), ``full`` (they
    can never be in a store together), ``refused``."""
    key: Key
    """The key that failed; dependents carry the error of their root cause."""
    text: Text
    """One or a few lines for a person: what, where, why, what next."""
    exception: Blob = b""
    """Packed pickle of the exception; empty if it could not be pickled or there is none."""
    frames: FewOf[Frame] = ()
    """Traceback from the outermost user frame to where it was raised."""
    worker: Name = ""
    attempts: Count = 1


class Timing(Part):
    """Where the time of one call went; seconds, ``start`` in seconds since the epoch of the worker's clock."""

    start: Difference
    deserialize: Amount
    compute: Amount
    serialize: Amount
    thread: Count = 0
    """Index of the worker's thread, from 0."""
    transfer: Amount = 0.0
    """Seconds its nanny waited for inputs of other hosts."""
    moved: Count = 0
    """Bytes of inputs that were fetched from other hosts for it."""


class Dependency(Part):
    """An input of a call, and which hosts hold it."""

    key: Key
    attempt: Serial
    nbytes: Count
    holders: FewOf[HostId]


class WorkerInfo(Part):
    """A worker process, as its nanny describes it."""

    name: WorkerName
    address: Text
    pid: Count
    nthreads: Count
    memory_limit: Count
    """Bytes of its own memory (results are not in it); 0: unlimited."""
    local_directory: Text
    resources: Table[Name, Amount] = {}


class HostInfo(Part):
    """A nanny and its host, as it describes itself."""

    host: HostId
    address: Text
    """Where its data listener is: ``unix://…``, ``tcp://…`` or ``tls://…``."""
    hostname: Name
    pid: Count
    machine: Name
    """Identity of the running machine and user; peers with the same one may map the arena."""
    arena: Text
    """Path of the store's arena, to be opened by processes of the same machine and user."""
    memory_limit: Count
    """Bytes the store may hold in memory."""
    local_directory: Text
    fingerprint: Name = ""
    """SHA-256 of the certificate of ``address``, hex, if that is ``tls://``."""
    name: Name = ""
    """What the nanny was called by its user; workers are named after it."""
    versions: Table[Name, Text] = {}
    directory: Text = ""
    """Where its workers begin, and with which ``sys_path``, as their creator said; empty: nobody did."""
    sys_path: Few[Text] = []


class HeldData(Part):
    """A result in a nanny's store."""

    key: Key
    attempt: Serial
    nbytes: Count


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
    """Telemetry of one finished call (DESIGN §6)."""

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
        done = self.done if self.done >= 0 else self.finished
        return TaskCounts(self.waiting, self.assigned, done, self.erred, self.cancelled)

    @property
    def occupied(self) -> float:
        """Seconds that its calls occupied threads of workers: thread-seconds, not CPU time."""
        return self.deserialize + self.compute + self.serialize + self.wasted


# Both ways


class FunctionBody(Message, tag=1):
    """A function's pickle, sent once to a peer and named by its digest from then on."""

    digest: Digest
    body: Blob


class ForgetFunctions(Message, tag=2):
    """The sender will define these again before it names them again."""

    digests: Few[Digest]


class Reply(Message, tag=3):
    """The answer to the request of that number: a value of plain builtins, or why there is none."""

    request: Count
    value: Any = None
    error: Text = ""


class HostsChanged(Message, tag=4):
    """Which hosts joined (or changed) and which left; sent to clients and nannies, all of them first."""

    joined: Few[HostInfo]
    left: Few[HostId]


class Close(Message, tag=5):
    """Please end: sent by a scheduler to nannies and clients, by a client to shut the cluster down."""

    reason: Text


# Client → scheduler


class Submit(Message, tag=20):
    """Calls, dependencies before dependents.  ``batch`` numbers a user's submission, which may span messages."""

    batch: Serial
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
    reason: Text = ""


class RetryKeys(Message, tag=25):
    """Compute these erred keys again."""

    keys: Few[Key]


class ReportMissing(Message, tag=26):
    """The client could not read this result from that host."""

    key: Key
    attempt: Serial
    host: HostId


class GetInfo(Message, tag=30):
    """Ask for the scheduler, its hosts and workers; see ``scheduler/overview.py`` for the answer."""

    request: Count


class GetKeys(Message, tag=31):
    """Ask who holds what: ``{key: {"status", "nbytes", "holders", "attempt"}}``; ``keys=None``: what is in memory."""

    request: Count
    keys: Few[Key] | None = None
    skip: Count = 0
    """Of what is in memory, leave out so many: an answer has ``bounds.FEW`` entries at most."""


class Explain(Message, tag=32):
    """Ask why a key is in the state it is in: one sentence."""

    request: Count
    key: Key


class RunFunction(Message, tag=33):
    """Call a function beside the tasks on each of these workers (``None``: all); answer ``{address: packed reply}``.

    Also scheduler → nanny, where ``workers`` are that nanny's and the answer is ``{name: …}``.  A packed reply is
    ``["ok", bytes]`` or ``["error", TaskError]``.
    """

    request: Count
    call: Blob
    """Packed pickle of ``(function, args, kwargs)``."""
    workers: Few[Name] | None = None


class Restart(Message, tag=34):
    """Forget every task and replace every worker process; answered when all are back.

    With names in ``workers`` only these are replaced and no task is forgotten: what they ran is run again.
    """

    request: Count
    workers: Few[Name] | None = None


class Scale(Message, tag=35):
    """Let this host (or the only one) keep so many workers; results stay.  Also scheduler → nanny."""

    request: Count
    workers: Crew
    host: HostId | None = None


class GetVersions(Message, tag=36):
    """Ask for ``{"scheduler": {package: version}, "nannies": {address: {…}}}``; workers answer :class:`RunFunction`."""

    request: Count


class GetLogs(Message, tag=37):
    """Ask for the last lines of output: ``{name: [LogLine, …]}`` of workers and nannies.  Also scheduler → nanny."""

    request: Count
    workers: Few[Name] | None = None
    key: Name = ""
    """Only lines that this call wrote."""
    since: Difference = 0.0
    """Only lines written later, epoch seconds."""


class GetTelemetry(Message, tag=38):
    """Ask for group summaries and the ring of records that started at or after ``since`` (epoch seconds)."""

    request: Count
    since: Difference = 0.0
    span: Name = ""
    """Only the groups of this one, if any is named."""


class FollowTelemetry(Message, tag=39):
    """Push a :class:`Telemetry` at most every ``interval`` seconds; 0 ends it."""

    interval: Interval
    full: bool = False
    """Send every record, packed in ``blocks``, instead of a thinned list."""
    past: bool = False
    """Begin with the records that are remembered of before."""


class DescribeTask(Message, tag=40):
    """Ask for all that is known of a key: see ``scheduler/task_page.py`` for the answer."""

    request: Count
    key: Key


class GetProfile(Message, tag=41):
    """Ask for samples of what user code did: ``{worker: [(time, stack, count), …]}``.  Also scheduler → nanny.

    A stack is ``function (file:line)`` joined by ``;``, the outermost user frame first.  Asking also keeps the
    sampling fast for ``settings.profile_lease`` seconds.
    """

    request: Count
    since: Difference = 0.0
    workers: Few[Name] | None = None


class CancelSpan(Message, tag=42):
    """Stop all calls that the client submitted under this span and that haven't finished."""

    span: Name
    reason: Text = ""


class GetSpec(Message, tag=43):
    """Ask for a call so that it can be repeated by its client: ``{"function", "call", "argument", "dependencies"}``."""

    request: Count
    key: Key


# Scheduler → client


class ResultReady(Message, tag=50):
    """A wanted key is in memory at these hosts; ``data`` is its packed value if that is small."""

    key: Key
    attempt: Serial
    nbytes: Count
    type_name: Name
    holders: FewOf[HostId]
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


# Scheduler → nanny


class Compute(Message, tag=70):
    """Run this attempt of a call on any worker of the host, or on ``worker``."""

    key: Key
    attempt: Serial
    group: Name
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
    interrupt: bool


class FreeData(Message, tag=72):
    """These results are no longer needed here; an attempt that isn't the stored one frees nothing."""

    data: Many[tuple[Key, Serial]]


class Replicate(Message, tag=73):
    """Fetch a copy of these results from their holders and keep it."""

    data: Many[Dependency]


class RestartWorkers(Message, tag=74):
    """Drop every task and all data, replace every worker; answered when they are ready.

    With names in ``workers`` only these processes are replaced, and nothing is dropped.
    """

    request: Count
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
    blamed: bool
    """Whether the calls may have caused it (not for a restart, or a cancelled neighbour)."""
    log: Few[Text]
    """Its last lines."""
    cause: DeathCause = "crash"


class TaskFinished(Message, tag=94):
    """An attempt has a result, now in this host's store."""

    key: Key
    attempt: Serial
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


class RetireWorker(Message, tag=114):
    """Take no more calls, finish those that run, exit with code 0."""


# Nanny ⇄ worker


class EndsItself(Message, tag=128):
    """A call is about to send its own process a signal that may end it."""

    signal: Count


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
    least: Count
    """What the result needs that it has now."""
    unused: Many[tuple[Count, Count]] = []
    """Ranges (offset, length) of earlier grants that the worker hands back."""


class Unmapped(Message, tag=125):
    """The worker's mappings of these ranges' offsets are gone, one entry for each mapping."""

    offsets: Many[Count]


class CallReturned(Message, tag=126):
    """Answer to :class:`CallFunction`: ``["ok", bytes]`` or an error."""

    request: Count
    value: Blob = b""
    error: TaskError | None = None


class Printed(Message, tag=127):
    """Lines that a call wrote, sent before its answer."""

    run: Count
    lines: Few[LogLine]
    dropped: Count = 0


# Data plane: client or nanny → nanny, and back


class GetData(Message, tag=140):
    """Ask for results.  ``map``: their ranges, to be mapped by a process of the same machine; else their bytes.

    Each is named by key and attempt: a key alone may mean something else by now; see :func:`names.is_good_for`.
    """

    request: Count
    data: Many[tuple[Key, Serial]]
    map: bool = False


class DataFollows(Message, tag=141):
    """One of the asked-for results: inline, as a range to map, or as ``sizes`` raw bytes right after this message."""

    request: Count
    key: Key
    attempt: Serial
    found: bool
    place: Place | None = None
    """For ``map``, or inline if small.  ``None`` with ``found``: raw bytes of ``sizes`` follow."""
    sizes: ManyOf[Count] = ()


class PutData(Message, tag=142):
    """Store a value: inline, or raw bytes of ``sizes`` that follow, or (``map``) written into a granted range."""

    request: Count
    key: Key
    inline: Blob | None = None
    sizes: ManyOf[Count] = ()
    map: bool = False
    attempt: Serial = 0
    """As in :class:`DataPlaced`: which placing of the key this is, so that a late FreeData can't hit a newer one."""


class PutGranted(Message, tag=143):
    """Write the frames at ``offset`` of the arena, then send :class:`PutDone`."""

    request: Count
    offset: Count
    error: Text = ""


class PutDone(Message, tag=144):
    """The frames are written."""

    request: Count


class PutStored(Message, tag=145):
    """The value is in the store."""

    request: Count
    nbytes: Count
    error: Text = ""


class UnmapData(Message, tag=146):
    """The peer's mappings of these ranges' offsets are gone, one entry for each mapping."""

    offsets: Many[Count]


ClientToScheduler = (
    FunctionBody | ForgetFunctions | Close | Submit | DataPlaced | WantKeys | ReleaseKeys | CancelKeys | RetryKeys
    | ReportMissing | GetInfo | GetKeys | Explain | RunFunction | Restart | Scale | GetVersions | GetLogs
    | GetTelemetry | FollowTelemetry | DescribeTask | GetProfile | CancelSpan | GetSpec
)  # fmt: skip
SchedulerToClient = (
    Reply | HostsChanged | Close | ResultReady | ResultErred | ResultPending | ResultCancelled | Telemetry | CallOutput
    | KeyTaken
)  # fmt: skip
SchedulerToNanny = (
    FunctionBody | ForgetFunctions | HostsChanged | Close | Compute | Withdraw | FreeData | Replicate | RestartWorkers
    | ReportInventory | RunFunction | Scale | GetLogs | GetProfile
)  # fmt: skip
NannyToScheduler = (
    Reply | RegisterNanny | WorkerStarted | WorkerStopped | WorkerDied | TaskFinished | TaskFailed | InputMissing
    | Withdrawn | DataAdded | DataLost | Heartbeat | Inventory | WorkerOutput
)  # fmt: skip
NannyToWorker = Run | FunctionBody | GrantSpace | InterruptRun | CallFunction | RetireWorker | Stored
WorkerToNanny = (
    WorkerReady | Returned | Raised | NeedFunction | NeedSpace | Unmapped | CallReturned | Stored | Printed | EndsItself
)  # fmt: skip
DataRequest = GetData | PutData | PutDone | UnmapData
DataReply = DataFollows | PutGranted | PutStored
