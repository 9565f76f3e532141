"""Every message of the runtime's wire, defined once, grouped by direction.

A message is a fact or a wish, never a decision.  Tags are small integers, unique in this module and never reused; a
changed or removed field is a new ``PROTOCOL`` number.  User bytes (functions, calls, results) are opaque here.

Directions
----------
client → scheduler, scheduler → client, scheduler → nanny, nanny → scheduler ride on sessions (``himalia.comm``).
nanny ⇄ worker are datagrams on Unix sockets of one host.  The data plane (``himalia.comm.data``) has its own few.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from himalia.names import Digest, HostId, Key, WorkerName

PROTOCOL: Final = 2
"""Number of this wire; peers with different numbers refuse each other at the handshake."""


class Part(msgspec.Struct, array_like=True, gc=False):
    """Something that messages are made of; never changed once made."""


class Message(msgspec.Struct, array_like=True, gc=False):
    """Base of all that crosses a wire; never changed once made."""


# What messages are made of


class TaskOptions(Part):
    """What a user asked for one call, beyond calling it."""

    priority: float = 0.0
    """Higher runs earlier."""
    retries: int = 0
    """How often an exception is answered by another attempt."""
    workers: tuple[str, ...] = ()
    """Worker names, worker addresses, host names or nanny addresses it may run on; empty: any."""
    allow_other_workers: bool = False
    """Whether ``workers`` is a wish only."""
    resources: dict[str, float] = {}
    """What it occupies of a worker's declared resources while it runs."""
    origin: str = ""
    """What a name that the user chose stands for: two calls of one key are compared by it (``client/origin.py``)."""


class TaskSpec(Part):
    """One call, as its client describes it."""

    key: Key
    group: str
    """Name that tasks of one kind share: the function's name, or the layer of a collection."""
    function: bytes
    """Digest of the function, sent before as :class:`FunctionBody`; empty if ``call`` carries the function itself."""
    call: bytes
    """Packed pickle of ``(args, kwargs)``, or of ``(function, args, kwargs)``; empty if ``argument`` holds it."""
    dependencies: tuple[Key, ...]
    """Keys whose values ``call`` refers to (``argument`` included)."""
    order: int
    """Rank within its submission; lower runs earlier."""
    wanted: bool
    """Whether the client holds a future of it."""
    argument: str = ""
    """Key of placed data that holds the pickle of the call, where that is too large for a message."""
    options: TaskOptions | None = None


class Frame(Part):
    """One line of a traceback; the source line is looked up where it is shown."""

    filename: str
    line: int
    function: str
    first: int = 1
    """Line where the function begins: IPython counts from it."""


class TaskError(Part):
    """How a call ended that has no result."""

    kind: str
    """``exception`` (user code raised), ``killed`` (took its worker down), ``lost`` (data are gone), ``full`` (they
    can never be in a store together), ``refused``."""
    key: Key
    """The key that failed; dependents carry the error of their root cause."""
    text: str
    """One or a few lines for a person: what, where, why, what next."""
    exception: bytes = b""
    """Packed pickle of the exception; empty if it could not be pickled or there is none."""
    frames: tuple[Frame, ...] = ()
    """Traceback from the outermost user frame to where it was raised."""
    worker: str = ""
    attempts: int = 1


class Timing(Part):
    """Where the time of one call went; seconds, ``start`` in seconds since the epoch of the worker's clock."""

    start: float
    deserialize: float
    compute: float
    serialize: float
    thread: int = 0
    """Index of the worker's thread, from 0."""
    transfer: float = 0.0
    """Seconds its nanny waited for inputs of other hosts."""
    moved: int = 0
    """Bytes of inputs that were fetched from other hosts for it."""


class Dependency(Part):
    """An input of a call, and which hosts hold it."""

    key: Key
    attempt: int
    nbytes: int
    holders: tuple[HostId, ...]


class WorkerInfo(Part):
    """A worker process, as its nanny describes it."""

    name: WorkerName
    address: str
    pid: int
    nthreads: int
    memory_limit: int
    """Bytes of its own memory (results are not in it); 0: unlimited."""
    local_directory: str
    resources: dict[str, float] = {}


class HostInfo(Part):
    """A nanny and its host, as it describes itself."""

    host: HostId
    address: str
    """Where its data listener is: ``unix://…``, ``tcp://…`` or ``tls://…``."""
    hostname: str
    pid: int
    machine: str
    """Identity of the running machine and user; peers with the same one may map the arena."""
    arena: str
    """Path of the store's arena, to be opened by processes of the same machine and user."""
    memory_limit: int
    """Bytes the store may hold in memory."""
    local_directory: str
    fingerprint: str = ""
    """SHA-256 of the certificate of ``address``, hex, if that is ``tls://``."""
    name: str = ""
    """What the nanny was called by its user; workers are named after it."""
    versions: dict[str, str] = {}


class HeldData(Part):
    """A result in a nanny's store."""

    key: Key
    attempt: int
    nbytes: int


class RunningCall(Part):
    """A call that a worker has been running for a while; ``started`` is when its nanny first saw it, epoch seconds."""

    worker: str
    thread: int
    key: Key
    group: str
    started: float


class TransferSummary(Part):
    """What a nanny received from one other host since its last heartbeat."""

    source: HostId
    nbytes: int
    seconds: float
    """Sum over transfers, which may overlap."""
    count: int


class StoreMove(Part):
    """Results that a nanny moved between memory and disk; ``start`` in epoch seconds."""

    kind: str
    """``spill`` or ``unspill``."""
    start: float
    seconds: float
    nbytes: int


class ProcessMetrics(Part):
    """What a scheduler or nanny process uses; ``cpu`` is a fraction of one, ``memory`` bytes, network bytes/s."""

    cpu: float = 0.0
    memory: int = 0
    fds: int = 0
    loop_lag: float = 0.0
    """Seconds by which its timer was late."""
    received: float = 0.0
    """Bytes/s that its machine received (all interfaces but loopback); ``sent`` likewise."""
    sent: float = 0.0


class LogLine(Part):
    """A line of output; ``time`` in epoch seconds."""

    time: float
    source: str
    """``stdout``, ``stderr``, or the level of a log record: ``DEBUG`` … ``CRITICAL``."""
    text: str
    key: str = ""
    """The call that wrote it, if that is known."""


class ErrorSummary(Part):
    """Failed calls that have the same cause: the same exception raised at the same line, or the same kind of death."""

    id: str
    """Digest of what makes them the same."""
    error: TaskError
    """The newest of them."""
    group: str
    count: int
    inputs: tuple[Key, ...] = ()
    """Inputs of the newest; the first few."""
    workers: tuple[str, ...] = ()
    """Where it happened; the first few."""
    last: float = 0.0
    """When the newest arrived, seconds of the scheduler's clock."""


class ClusterEvent(Part):
    """Something that happens rarely: a worker came or died, data were lost, a call was taken back."""

    number: int
    time: float
    """Seconds of the scheduler's clock."""
    kind: str
    """Like ``worker-started``, ``worker-stopped``, ``worker-died``, ``host-joined``, ``host-left``, ``retried``."""
    subject: str
    """Name of a worker or host, or a key."""
    text: str


class TaskCounts(Part):
    """How many tasks are where: of a function, a cell or a cluster, in every view.

    A task is what was submitted once; it counts in one place, however often it was tried.  Values that clients placed
    are no tasks here.
    """

    waiting: int = 0
    """For inputs, or ready and held back."""
    assigned: int = 0
    """At a host: running, or next in line there."""
    done: int = 0
    """Its result was computed, whether or not somebody still holds it."""
    failed: int = 0
    """It ended by an error, its own or that of an input, and wasn't retried by hand since."""
    cancelled: int = 0
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

    clients: int = 0
    """Sessions of people; those that only look on (a cluster object, a widget, a dashboard) don't count."""
    tasks: int = 0
    queued: int = 0
    """Ready, and held back until a worker is free."""
    membership: int = 0
    """Changes with every coming or leaving of hosts and workers: ask :class:`GetInfo` again."""
    uptime: float = 0.0
    total: int = 0
    """Calls that ended so far, each attempt: as many as there are records."""
    process: ProcessMetrics = msgspec.field(default_factory=ProcessMetrics)
    counts: TaskCounts | None = None
    """All tasks that there ever were; None: whoever wrote this didn't count them."""


class HostMetrics(Part):
    """What a nanny measures at each heartbeat; bytes and fractions of one CPU."""

    store_bytes: int = 0
    spilled_bytes: int = 0
    host_memory: int = 0
    cpu: float = 0.0
    loop_lag: float = 0.0
    """Seconds by which the nanny's timer was late."""
    workers: dict[str, tuple[float, int, int]] = {}
    """Per worker: CPU (fraction of one), memory (bytes), calls running."""
    time: float = 0.0
    """When this was measured, epoch seconds of its clock; the lists below are of the time since the one before."""
    running: list[RunningCall] = []
    """Calls that have been running for at least one heartbeat; the longest ones if there are many."""
    transfers: list[TransferSummary] = []
    moves: list[StoreMove] = []
    process: ProcessMetrics = msgspec.field(default_factory=ProcessMetrics)
    """The nanny's own."""


class TaskRecord(Part):
    """Telemetry of one finished call (DESIGN §6)."""

    key: Key
    group: str
    host: HostId
    worker: str
    status: str
    """``ok`` or ``error``."""
    timing: Timing
    nbytes: int


class GroupSummary(Part):
    """Telemetry of all calls of a group so far."""

    name: str
    span: str = ""
    """What the calls were submitted under: a client's cell, or a client (see :class:`Submit`)."""
    waiting: int = 0
    """See :class:`TaskCounts`; as are ``assigned``, ``erred`` (failed there), ``done`` and ``cancelled``."""
    assigned: int = 0
    in_memory: int = 0
    """Tasks whose result is held now, those included that a client placed."""
    erred: int = 0
    finished: int = 0
    """Completions ever counted, recomputations included."""
    failed: int = 0
    """Attempts that raised, those included that were tried again."""
    compute: float = 0.0
    """Sum over completions, seconds; as are the three below."""
    transfer: float = 0.0
    deserialize: float = 0.0
    serialize: float = 0.0
    nbytes: int = 0
    """Sum of result sizes over completions."""
    memory: int = 0
    """Bytes of its results that are held now; copies on several hosts count once."""
    peak: int = 0
    """Most that ``memory`` ever was."""
    moved: int = 0
    """Bytes of inputs that were fetched from other hosts."""
    tasks: int = 0
    """Tasks that exist now."""
    done: int = -1
    """-1: whoever wrote this didn't count; then it is ``finished``."""
    cancelled: int = 0
    stopping: int = 0
    """Calls that nobody wants any more and that a host hasn't stopped yet."""
    wasted: float = 0.0
    """Seconds that worker threads were occupied by calls that failed or were stopped; never part of those above."""
    duration: float = -1.0
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
    body: bytes


class ForgetFunctions(Message, tag=2):
    """The sender will define these again before it names them again."""

    digests: list[Digest]


class Reply(Message, tag=3):
    """The answer to the request of that number: a value of plain builtins, or why there is none."""

    request: int
    value: Any = None
    error: str = ""


class HostsChanged(Message, tag=4):
    """Which hosts joined (or changed) and which left; sent to clients and nannies, all of them first."""

    joined: list[HostInfo]
    left: list[HostId]


class Close(Message, tag=5):
    """Please end: sent by a scheduler to nannies and clients, by a client to shut the cluster down."""

    reason: str


# Client → scheduler


class Submit(Message, tag=20):
    """Calls, dependencies before dependents.  ``batch`` numbers a user's submission, which may span messages."""

    batch: int
    tasks: list[TaskSpec]
    last: bool = True
    """Whether the submission ends here; until then nothing of it is forgotten for want of a dependent."""
    span: str = ""
    """What calls are counted under in telemetry: a cell (``client id/number``); empty: the client's own id."""


class DataPlaced(Message, tag=21):
    """The client stored a value at ``host`` (scatter, or a large argument) and the host acknowledged it."""

    key: Key
    group: str
    host: HostId
    nbytes: int
    type_name: str
    wanted: bool
    attempt: int = 0
    """Negative and drawn at random by the client for each value it places, the same on every host it places it at."""
    origin: str = ""
    """As in :class:`TaskOptions`."""


class WantKeys(Message, tag=22):
    """The client holds futures of these keys now; unknown ones are answered with ResultErred (``lost``)."""

    keys: list[Key]


class ReleaseKeys(Message, tag=23):
    """The client holds no future of these keys any more."""

    keys: list[Key]


class CancelKeys(Message, tag=24):
    """Stop these, and everything that depends on them; with ``force`` also what other clients want."""

    keys: list[Key]
    force: bool = False
    reason: str = ""


class RetryKeys(Message, tag=25):
    """Compute these erred keys again."""

    keys: list[Key]


class ReportMissing(Message, tag=26):
    """The client could not read this result from that host."""

    key: Key
    attempt: int
    host: HostId


class GetInfo(Message, tag=30):
    """Ask for the scheduler, its hosts and workers; see ``scheduler/overview.py`` for the answer."""

    request: int


class GetKeys(Message, tag=31):
    """Ask who holds what: ``{key: {"status", "nbytes", "holders", "attempt"}}``; ``keys=None``: all in memory."""

    request: int
    keys: list[Key] | None = None


class Explain(Message, tag=32):
    """Ask why a key is in the state it is in: one sentence."""

    request: int
    key: Key


class RunFunction(Message, tag=33):
    """Call a function beside the tasks on each of these workers (``None``: all); answer ``{address: packed reply}``.

    Also scheduler → nanny, where ``workers`` are that nanny's and the answer is ``{name: …}``.  A packed reply is
    ``["ok", bytes]`` or ``["error", TaskError]``.
    """

    request: int
    call: bytes
    """Packed pickle of ``(function, args, kwargs)``."""
    workers: list[str] | None = None


class Restart(Message, tag=34):
    """Forget every task and replace every worker process; answered when all are back.

    With names in ``workers`` only these are replaced and no task is forgotten: what they ran is run again.
    """

    request: int
    workers: list[str] | None = None


class Scale(Message, tag=35):
    """Let this host (or the only one) keep so many workers; results stay.  Also scheduler → nanny."""

    request: int
    workers: int
    host: HostId | None = None


class GetVersions(Message, tag=36):
    """Ask for ``{"scheduler": {package: version}, "nannies": {address: {…}}}``; workers answer :class:`RunFunction`."""

    request: int


class GetLogs(Message, tag=37):
    """Ask for the last lines of output: ``{name: [LogLine, …]}`` of workers and nannies.  Also scheduler → nanny."""

    request: int
    workers: list[str] | None = None
    key: str = ""
    """Only lines that this call wrote."""
    since: float = 0.0
    """Only lines written later, epoch seconds."""


class GetTelemetry(Message, tag=38):
    """Ask for group summaries and the ring of records that started at or after ``since`` (epoch seconds)."""

    request: int
    since: float = 0.0
    span: str = ""
    """Only the groups of this one, if any is named."""


class FollowTelemetry(Message, tag=39):
    """Push a :class:`Telemetry` at most every ``interval`` seconds; 0 ends it."""

    interval: float
    full: bool = False
    """Send every record, packed in ``blocks``, instead of a thinned list."""
    past: bool = False
    """Begin with the records that are remembered of before."""


class DescribeTask(Message, tag=40):
    """Ask for all that is known of a key: see ``scheduler/task_page.py`` for the answer."""

    request: int
    key: Key


class GetProfile(Message, tag=41):
    """Ask for samples of what user code did: ``{worker: [(time, stack, count), …]}``.  Also scheduler → nanny.

    A stack is ``function (file:line)`` joined by ``;``, the outermost user frame first.  Asking also keeps the
    sampling fast for ``settings.profile_lease`` seconds.
    """

    request: int
    since: float = 0.0
    workers: list[str] | None = None


class CancelSpan(Message, tag=42):
    """Stop all calls that the client submitted under this span and that haven't finished."""

    span: str
    reason: str = ""


class GetSpec(Message, tag=43):
    """Ask for a call so that it can be repeated by its client: ``{"function", "call", "argument", "dependencies"}``."""

    request: int
    key: Key


# Scheduler → client


class ResultReady(Message, tag=50):
    """A wanted key is in memory at these hosts; ``data`` is its packed value if that is small."""

    key: Key
    attempt: int
    nbytes: int
    type_name: str
    holders: tuple[HostId, ...]
    data: bytes | None = None


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
    reason: str


class KeyTaken(Message, tag=56):
    """A key that the client submitted is in use for something else, whose result it gets (``client/origin.py``)."""

    key: Key
    before: str
    """Origin of what it is in use for."""
    now: str
    """Origin of what was submitted."""


class Telemetry(Message, tag=54):
    """What changed since the last push; at most ``settings.telemetry_records`` records, evenly thinned."""

    time: float
    groups: list[GroupSummary]
    records: list[TaskRecord]
    skipped: int
    """Records that were thinned out."""
    hosts: dict[str, HostMetrics]
    """Those that changed."""
    blocks: list[bytes] = []
    """For a follower that wants all: MessagePack of ``list[TaskRecord]`` each, in order; ``records`` is empty then."""
    errors: list[ErrorSummary] = []
    """Those that changed; all of them in the first push."""
    events: list[ClusterEvent] = []
    status: SchedulerStatus = msgspec.field(default_factory=SchedulerStatus)


class CallOutput(Message, tag=55):
    """What a call of the client's wrote; rates are limited on the way, ``dropped`` lines are gone."""

    key: Key
    span: str
    worker: str
    lines: list[LogLine]
    dropped: int = 0


# Scheduler → nanny


class Compute(Message, tag=70):
    """Run this attempt of a call on any worker of the host, or on ``worker``."""

    key: Key
    attempt: int
    group: str
    function: bytes
    call: bytes
    argument: str
    dependencies: tuple[Dependency, ...]
    priority: tuple[float, int, int]
    """Lower runs earlier."""
    duration: float
    """Expected seconds, -1 if unknown."""
    wanted: bool
    """Whether a client waits for it, so that a small result should ride in the completion."""
    alone: bool = False
    """Run it with no other call in the same worker process (it was running when a worker died)."""
    worker: str = ""


class Withdraw(Message, tag=71):
    """Give this attempt back.  If it runs already: with ``interrupt`` stop it, else let it run on and say so."""

    key: Key
    attempt: int
    interrupt: bool


class FreeData(Message, tag=72):
    """These results are no longer needed here; an attempt that isn't the stored one frees nothing."""

    data: list[tuple[Key, int]]


class Replicate(Message, tag=73):
    """Fetch a copy of these results from their holders and keep it."""

    data: list[Dependency]


class RestartWorkers(Message, tag=74):
    """Drop every task and all data, replace every worker; answered when they are ready.

    With names in ``workers`` only these processes are replaced, and nothing is dropped.
    """

    request: int
    workers: list[str] | None = None


class ReportInventory(Message, tag=75):
    """Digests differ: say what you have."""


# Nanny → scheduler


class RegisterNanny(Message, tag=90):
    """First message of a nanny in every session: itself, and what it has from before."""

    info: HostInfo
    workers: list[WorkerInfo]
    data: list[HeldData]
    attempts: list[tuple[Key, int]]


class WorkerStarted(Message, tag=91):
    """A worker process is ready for calls; same name and another pid: it replaces one that died."""

    worker: WorkerInfo


class WorkerStopped(Message, tag=92):
    """A worker left as it was asked to; nothing was running on it."""

    name: WorkerName


class WorkerDied(Message, tag=93):
    """A worker process ended by itself; ``running`` are the attempts whose user code it had begun."""

    name: WorkerName
    exit: str
    """``signal SIGSEGV`` or ``exit code 1``, or why the nanny killed it."""
    running: list[tuple[Key, int]]
    blamed: bool
    """Whether the calls may have caused it (not for a restart, or a cancelled neighbour)."""
    log: list[str]
    """Its last lines."""


class TaskFinished(Message, tag=94):
    """An attempt has a result, now in this host's store."""

    key: Key
    attempt: int
    worker: WorkerName
    nbytes: int
    type_name: str
    timing: Timing
    data: bytes | None = None
    """Packed value, if it is small and wanted."""


class TaskFailed(Message, tag=95):
    """An attempt raised, or its inputs or result could not be (de)serialized."""

    key: Key
    attempt: int
    error: TaskError
    timing: Timing


class InputMissing(Message, tag=96):
    """An attempt was given back: these inputs could not be had from these hosts."""

    key: Key
    attempt: int
    missing: list[tuple[Key, int, HostId]]


class Withdrawn(Message, tag=97):
    """Answer to :class:`Withdraw`: ``started`` and not interrupted means that it runs on and will report."""

    key: Key
    attempt: int
    started: bool
    seconds: float = 0.0
    """How long it occupied a thread before it was stopped, as far as that is known."""


class DataAdded(Message, tag=98):
    """A copy of a result is now in this host's store too."""

    key: Key
    attempt: int
    nbytes: int


class DataLost(Message, tag=99):
    """A result is no longer readable here (disk error, checksum)."""

    key: Key
    attempt: int


class Heartbeat(Message, tag=100):
    """Sent every ``settings.heartbeat_interval`` seconds.

    ``attempts`` and ``data`` are (count, xor of crc32(key) ^ attempt) of what it has; ``seen`` is how many messages of
    the scheduler it had handled, so that the two sides compare digests only when nothing is under way.
    """

    metrics: HostMetrics
    attempts: tuple[int, int]
    data: tuple[int, int]
    seen: int
    paused: bool = False


class Inventory(Message, tag=101):
    """Answer to :class:`ReportInventory`; true at the point of the session where it stands."""

    data: list[HeldData]
    attempts: list[tuple[Key, int]]
    seen: int


class WorkerOutput(Message, tag=102):
    """Lines that an attempt's call wrote."""

    key: Key
    worker: WorkerName
    lines: list[LogLine]
    dropped: int = 0


# Nanny → worker


class Place(Part):
    """Where a value is: packed bytes, or frames that lie one after the other (each 64-byte aligned) in the arena."""

    inline: bytes | None
    offset: int = 0
    sizes: tuple[int, ...] = ()
    is_copied: bool = False
    """Whoever reads it has to copy it and not to map it: mappings of earlier calls keep enough of the store."""


class Run(Message, tag=110):
    """Run a call.  ``run`` numbers the nanny's dispatches from 1 and never repeats."""

    run: int
    key: Key
    function: bytes
    call: bytes
    argument: str
    inputs: list[tuple[Key, Place]]
    alone: bool = False


class GrantSpace(Message, tag=111):
    """The worker may write results to this range of the arena, until :class:`Returned` names parts of it."""

    request: int
    offset: int
    length: int
    """0: there is no room; ``error`` says why."""
    error: str = ""


class InterruptRun(Message, tag=112):
    """Raise in the thread that runs this, if it still does."""

    run: int


class CallFunction(Message, tag=113):
    """Call this beside the tasks (``client.run``)."""

    request: int
    call: bytes


class RetireWorker(Message, tag=114):
    """Take no more calls, finish those that run, exit with code 0."""


# Nanny ⇄ worker


class Stored(Message, tag=115):
    """A message too large for a datagram: its encoded bytes are the one frame at ``place``."""

    place: Place


# Worker → nanny


class WorkerReady(Message, tag=120):
    """The process is up and asks for calls."""

    pid: int
    versions: dict[str, str] = {}


class Returned(Message, tag=121):
    """A call returned; its value is ``place``."""

    run: int
    nbytes: int
    type_name: str
    place: Place
    timing: Timing


class Raised(Message, tag=122):
    """A call raised, or could not be read or its value not be written."""

    run: int
    error: TaskError
    timing: Timing


class NeedFunction(Message, tag=123):
    """Send the :class:`FunctionBody` of this digest."""

    digest: Digest


class NeedSpace(Message, tag=124):
    """Grant room for ``nbytes`` in the arena; answered by :class:`GrantSpace` with the same ``request``."""

    request: int
    nbytes: int
    """What the worker would like to have, for results to come."""
    least: int
    """What the result needs that it has now."""
    unused: list[tuple[int, int]] = []
    """Ranges (offset, length) of earlier grants that the worker hands back."""


class Unmapped(Message, tag=125):
    """The worker's mappings of these ranges' offsets are gone, one entry for each mapping."""

    offsets: list[int]


class CallReturned(Message, tag=126):
    """Answer to :class:`CallFunction`: ``["ok", bytes]`` or an error."""

    request: int
    value: bytes = b""
    error: TaskError | None = None


class Printed(Message, tag=127):
    """Lines that a call wrote, sent before its answer."""

    run: int
    lines: list[LogLine]
    dropped: int = 0


# Data plane: client or nanny → nanny, and back


class GetData(Message, tag=140):
    """Ask for results.  ``map``: their ranges, to be mapped by a process of the same machine; else their bytes.

    Each is named by key and attempt: a key alone may mean something else by now; see :func:`names.is_good_for`.
    """

    request: int
    data: list[tuple[Key, int]]
    map: bool = False


class DataFollows(Message, tag=141):
    """One of the asked-for results: inline, as a range to map, or as ``sizes`` raw bytes right after this message."""

    request: int
    key: Key
    attempt: int
    found: bool
    place: Place | None = None
    """For ``map``, or inline if small.  ``None`` with ``found``: raw bytes of ``sizes`` follow."""
    sizes: tuple[int, ...] = ()


class PutData(Message, tag=142):
    """Store a value: inline, or raw bytes of ``sizes`` that follow, or (``map``) written into a granted range."""

    request: int
    key: Key
    inline: bytes | None = None
    sizes: tuple[int, ...] = ()
    map: bool = False
    attempt: int = 0
    """As in :class:`DataPlaced`: which placing of the key this is, so that a late FreeData can't hit a newer one."""


class PutGranted(Message, tag=143):
    """Write the frames at ``offset`` of the arena, then send :class:`PutDone`."""

    request: int
    offset: int
    error: str = ""


class PutDone(Message, tag=144):
    """The frames are written."""

    request: int


class PutStored(Message, tag=145):
    """The value is in the store."""

    request: int
    nbytes: int
    error: str = ""


class UnmapData(Message, tag=146):
    """The peer's mappings of these ranges' offsets are gone, one entry for each mapping."""

    offsets: list[int]


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
WorkerToNanny = WorkerReady | Returned | Raised | NeedFunction | NeedSpace | Unmapped | CallReturned | Stored | Printed
DataRequest = GetData | PutData | PutDone | UnmapData
DataReply = DataFollows | PutGranted | PutStored
