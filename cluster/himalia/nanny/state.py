"""What a nanny knows: the tables that its transitions read and write, and nothing that acts.

A *task* is an attempt that the scheduler assigned to this host; a *run* is one dispatch of it to a worker.  A task may
see several runs (a datagram can die with the worker that took it), a run belongs to one task.

::

    WAITING ──► READY ──► DISPATCHED ──► (finished, failed, died with its worker)
       │          │  ▲        │  ▲
       │          │  ├────────┤  └── LOADING, which begins where a dispatch finds inputs on disk
       │          │  └────────┤ refused, or lost before it began
       ▼          ▼           ▼
     (given back or withdrawn) WITHDRAWING ──► INTERRUPTING ──► (gone)
                                    └────────► RECALLED ──────► (gone)

WAITING: inputs are being fetched.  READY: in a heap.  LOADING: inputs are being read back from disk, or wait for room.
DISPATCHED: in a queue of the kernel, or running; nobody knows
which, and nobody needs to.  WITHDRAWING: the scheduler wants it back and the slots are being read to see whether it
runs.  INTERRUPTING: it runs, and its worker was told to stop it.  RECALLED: no worker had begun it, and whoever takes
it will refuse it; the scheduler has its answer already.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Final

from himalia.machine import Send
from himalia.messages.answers import CallReply, Restarted
from himalia.messages.nanny import Compute, DeathCause
from himalia.messages.parts import HeldData, HostInfo, Message, WorkerInfo
from himalia.messages.telemetry import HostMetrics
from himalia.names import SCHEDULER, Digest, HostId, Key, PeerId, WorkerName, digest, is_good_for
from himalia.nanny.activity import Activity
from himalia.nanny.events import ReadSlots
from himalia.nanny.output import OutgoingLines
from himalia.settings import Settings


class AttemptStatus(enum.IntEnum):
    """Where a task is; see the module's drawing."""

    WAITING = 0
    READY = 1
    LOADING = 2
    DISPATCHED = 3
    WITHDRAWING = 4
    INTERRUPTING = 5
    RECALLED = 6
    GONE = 7

    @property
    def label(self) -> str:
        """The word for people."""
        return self.name.lower()


WAITING: Final = AttemptStatus.WAITING
READY: Final = AttemptStatus.READY
LOADING: Final = AttemptStatus.LOADING
DISPATCHED: Final = AttemptStatus.DISPATCHED
WITHDRAWING: Final = AttemptStatus.WITHDRAWING
INTERRUPTING: Final = AttemptStatus.INTERRUPTING
RECALLED: Final = AttemptStatus.RECALLED
GONE: Final = AttemptStatus.GONE

HAVE_RUN: Final = frozenset({DISPATCHED, WITHDRAWING, INTERRUPTING, RECALLED})
"""Statuses of tasks that have a run."""

MOVES: Final[dict[AttemptStatus, frozenset[AttemptStatus]]] = {
    WAITING: frozenset({READY, GONE}),
    READY: frozenset({READY, WAITING, DISPATCHED, GONE}),
    LOADING: frozenset({READY, DISPATCHED, GONE}),
    DISPATCHED: frozenset({READY, LOADING, WITHDRAWING, GONE}),
    WITHDRAWING: frozenset({DISPATCHED, INTERRUPTING, RECALLED, GONE}),
    INTERRUPTING: frozenset({GONE}),
    RECALLED: frozenset({GONE}),
    GONE: frozenset(),
}
"""Every legal move.  A task is made READY; READY to READY is another heap."""

LEGAL: Final = [[after in MOVES[before] for after in AttemptStatus] for before in AttemptStatus]
"""The same, to be looked up by two indices: this is asked several times for each call."""


class WorkerStatus(enum.Enum):
    """Where a worker process is in its life."""

    STARTING = "starting"
    UP = "up"
    RETIRING = "retiring"
    """Told to finish what it runs and leave; not replaced."""
    STOPPING = "stopping"
    """Told to end, or killed; replaced if it is still planned."""
    BACKING_OFF = "backing off"
    """Gone; to be started again at ``restart_at``."""


WORKER_MOVES: Final[dict[WorkerStatus, frozenset[WorkerStatus]]] = {
    WorkerStatus.STARTING: frozenset({WorkerStatus.UP, WorkerStatus.STOPPING}),
    WorkerStatus.UP: frozenset({WorkerStatus.RETIRING, WorkerStatus.STOPPING}),
    WorkerStatus.RETIRING: frozenset({WorkerStatus.STOPPING}),
    WorkerStatus.STOPPING: frozenset({WorkerStatus.STOPPING, WorkerStatus.BACKING_OFF}),
    WorkerStatus.BACKING_OFF: frozenset({WorkerStatus.STARTING}),
}
"""Every legal move of a worker.  One that ends by itself is STOPPING while what follows from it is done."""


class NannyGroup:
    """What this host learned about tasks of one kind."""

    __slots__ = ("duration", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.duration = -1.0
        """Seconds of a worker's thread per call, moving average; -1: none ran yet."""


class NannyTask:
    """An attempt that the scheduler assigned to this host."""

    __slots__ = (
        "answered", "attempt", "claims", "compute", "digest", "group", "interrupt", "key", "kill_at", "missing",
        "moved", "run", "status", "transfer", "waiting_since", "worker",
    )  # fmt: skip

    def __init__(self, compute: Compute, group: NannyGroup) -> None:
        self.key = compute.key
        self.attempt = compute.attempt
        self.compute = compute
        self.group = group
        self.digest = digest(compute.key, compute.attempt)
        self.status: AttemptStatus = READY
        self.claims: list[Key] = []
        """LOADING and with a run only: inputs that have to stay in memory for it."""
        self.missing = 0
        """WAITING only: inputs that are not here yet."""
        self.waiting_since = 0.0
        """WAITING and LOADING: since when.  READY: since when it has been refused room for its inputs; 0: it wasn't."""
        self.transfer = 0.0
        """Seconds it waited for inputs."""
        self.moved = 0
        """Bytes of inputs that came from other hosts while it waited."""
        self.run = 0
        """Number of its run while it has one, else 0."""
        self.worker: WorkerName | None = None
        """The worker whose own queue its run went to; ``None`` for the shared one."""
        self.interrupt = False
        """WITHDRAWING only: whether to stop it if it runs."""
        self.kill_at = 0.0
        """INTERRUPTING only: when its worker is killed."""
        self.answered = False
        """With a run only: the scheduler knows already that it gets nothing of this attempt."""

    def __repr__(self) -> str:
        return f"<NannyTask {self.key!r}/{self.attempt} {self.status.label}>"


class NannyWorker:
    """A planned worker, and its process if there is one."""

    __slots__ = (
        "alone", "began", "blamed", "cause", "deaths", "ends_itself", "index", "memory", "name", "pid", "planned",
        "ready", "reason", "restart_at", "running", "status", "still", "still_for", "targeted",
    )  # fmt: skip

    def __init__(self, name: WorkerName, index: int) -> None:
        self.name = name
        self.index = index
        self.status = WorkerStatus.BACKING_OFF
        self.planned = True
        """Whether it is replaced when it dies."""
        self.pid = 0
        """0 until it said that it is ready."""
        self.began = 0.0
        """When it was started, or came up."""
        self.restart_at = 0.0
        self.deaths = 0
        """Unasked-for exits in a row, each soon after the last."""
        self.reason = ""
        """Why the nanny ended it; empty if it didn't."""
        self.blamed = False
        """STOPPING: whether that is the fault of what it runs."""
        self.cause: DeathCause = "crash"
        """STOPPING: what is known of its death."""
        self.ends_itself = False
        """Whether it said that it sends itself a signal."""
        self.ready: list[tuple[tuple[float, int, int], int, NannyTask]] = []
        """Heap of READY tasks that only it may run."""
        self.targeted = 0
        """Runs in its own queue."""
        self.alone: NannyTask | None = None
        """The run for which it keeps its other threads from starting anything."""
        self.running = 0
        self.memory = 0
        self.still = ""
        """How its process stands still (``watchdog``); empty while it doesn't."""
        self.still_for = 0.0
        """Seconds since it was first seen to stand still in this way."""

    def __repr__(self) -> str:
        return f"<NannyWorker {self.name} {self.status.value}>"


class NannyFetch:
    """A result on its way from another host."""

    __slots__ = ("asked_at", "attempt", "holders", "host", "key", "tried", "waiters")

    def __init__(self, key: Key, attempt: int) -> None:
        self.key = key
        self.attempt = attempt
        """Oldest attempt that will do."""
        self.holders: list[HostId] = []
        """Hosts not asked yet."""
        self.host: HostId | None = None
        """Host that was asked last."""
        self.asked_at = 0.0
        """When that was."""
        self.tried: list[HostId] = []
        """Hosts that did not have it, the current one excluded."""
        self.waiters: dict[Key, NannyTask] = {}


class NannyCall:
    """A ``client.run`` under way on some workers."""

    __slots__ = ("pending", "replies", "request")

    def __init__(self, request: int) -> None:
        self.request = request
        self.pending: dict[WorkerName, None] = {}
        self.replies: dict[str, CallReply] = {}


class NannyRestart:
    """Workers that are being replaced because somebody asked for it."""

    __slots__ = ("answer", "names")

    def __init__(self, names: list[WorkerName] | None, answer: Restarted) -> None:
        self.names = names
        """Who has to be back; ``None``: every planned worker."""
        self.answer = answer
        """What is replied then."""


class NannyState:
    """All that one nanny knows.

    Parameters
    ----------
    info : HostInfo
        This host, as the scheduler is told; ``info.host`` is who we are.
    settings : Settings
        The numbers.
    nthreads : int
        Threads of each worker.
    worker_memory : int
        Bytes that one worker may use by itself, 0 if unlimited.
    resources : dict
        What each worker declares to have.
    """

    def __init__(
        self, info: HostInfo, settings: Settings, *, nthreads: int, worker_memory: int, resources: dict[str, float]
    ) -> None:
        self.info = info
        self.settings = settings
        self.nthreads = nthreads
        self.worker_memory = worker_memory
        self.resources = resources
        self.now = 0.0
        self.out: list[object] = []
        """Instructions of the event that is being handled."""

        self.tasks: dict[Key, NannyTask] = {}
        """Assigned to this host and not answered; at most one attempt of a key."""
        self.tasks_digest = 0
        self.groups: dict[str, NannyGroup] = {}
        self.ready: list[tuple[tuple[float, int, int], int, NannyTask]] = []
        """Heap of tasks that any worker may run; an entry counts while its task is READY."""
        self.alone: list[tuple[tuple[float, int, int], int, NannyTask]] = []
        """Heap of tasks that have to run alone in a worker."""
        self.targeted = False
        """Whether some worker has a heap of its own that isn't empty."""
        self.serial = 0
        """Entries ever put on a heap: ties are broken by age."""
        self.loading: dict[Key, NannyTask] = {}
        """LOADING tasks."""
        self.claims: dict[Key, tuple[int, int]] = {}
        """Inputs that calls under way need in memory: how many calls, and bytes; see ``admission``."""
        self.claimed = 0
        """Bytes of them."""
        self.largest = 0
        """Bytes of the largest result ever held."""
        self.is_reserved = False
        """Whether a task that is bound to a worker waits for claims to end: no other may claim anything."""
        self.blocked: NannyTask | None = None
        """The task that waited last for claims to end; it waits still if it is READY."""
        self.runs: dict[int, NannyTask] = {}
        """Dispatches without an end so far."""
        self.last_run = 0
        self.withdrawing: dict[int, NannyTask] = {}
        """Runs to be judged at the next reading of the slots; the value is their WITHDRAWING task."""
        self.interrupting: dict[int, tuple[NannyTask, WorkerName]] = {}
        """Runs that a worker was told to stop, and which worker."""
        self.suspects: dict[int, int] = {}
        """Runs of the shared queue that a dead worker may have taken along, and how often they were not found."""

        self.recalled: dict[int, None] = {}
        """Runs that a stopped worker may have taken, which were dispatched again: it is to refuse them."""
        self.looked_at = 0.0
        """When the workers were measured last."""
        self.calm_for = 0.0
        """Seconds since a worker last stood still."""
        self.untaken = 0
        """The oldest run that no thread has begun though one could; 0: none."""
        self.untaken_for = 0.0
        """Seconds since that run was first seen to be it."""

        self.data: dict[Key, tuple[int, int, int]] = {}
        """What the store holds: attempt, bytes, digest."""
        self.shadowed: dict[Key, list[tuple[int, int, int]]] = {}
        """Other attempts of the same keys, which the store keeps as well until each is freed; the oldest first."""
        self.data_digest = 0
        self.data_count = 0
        """Computed results among them, which heartbeats tell of; placed ones are announced by clients, out of order."""
        self.placed: dict[tuple[Key, int], tuple[float, int, PeerId]] = {}
        """Placed data (key, attempt) that their client may not have announced yet: when they came, and their bytes."""
        self.fetches: dict[Key, NannyFetch] = {}
        self.fetch_batches: dict[HostId, list[Key]] = {}
        """Keys to ask for at the end of the event that is being handled."""
        self.hosts: dict[HostId, HostInfo] = {}

        self.workers: dict[WorkerName, NannyWorker] = {}
        self.threads = 0
        """Threads of workers that are UP."""
        self.ever_up = False
        self.functions: dict[bytes, bytes] = {}
        self.forgotten: dict[Digest, None] = {}
        """Functions to drop as soon as no task names them."""
        self.calls: dict[int, NannyCall] = {}
        self.last_call = 0
        self.restarts: dict[int, NannyRestart] = {}
        """Requests to be answered when their workers are up again."""

        self.registered = False
        self.seen = 0
        """Messages of the scheduler handled in this session."""
        self.metrics = HostMetrics()
        self.unwritten: dict[WorkerName, tuple[int, float]] = {}
        """Workers that waited for room for a result when that was measured: its bytes, and since when."""
        self.unread: dict[Key, tuple[int, float]] = {}
        """The same for inputs: of those that are fetched by their own key, of those on disk by their call's."""
        self.progress = (0, 0)
        """Runs ever begun, and those without an end, as of the last measurement."""
        self.progress_at = 0.0
        """When that was first measured."""
        self.activity = Activity()
        """What the next heartbeat tells beside the metrics."""
        self.output = OutgoingLines(self.send)
        """What calls wrote and the scheduler wasn't told yet."""
        self.scheduler_reads = True
        """Whether the scheduler had read most of what it was sent, as of the last tick."""
        self.paused = False
        self.next_heartbeat = 0.0
        self.closing: str | None = None
        """Why the nanny is ending; ``None`` while it isn't."""
        self.kill_at = 0.0
        """While closing: when what is left gets killed."""
        self.exit_code = 0
        self.exited = False

    def send(self, message: Message) -> None:
        """Queue a message for the scheduler; what happened while it wasn't there is in the registration."""
        if self.registered:
            self.out.append(Send(SCHEDULER, message))

    def read_slots(self) -> None:
        """Ask for the slots, once for all reasons of one event."""
        if not any(type(instruction) is ReadSlots for instruction in self.out):
            self.out.append(ReadSlots())

    def group(self, name: str) -> NannyGroup:
        """Return what is known of a kind of tasks."""
        group = self.groups.get(name)
        if group is None:
            if len(self.groups) >= GROUPS:
                self.groups.clear()
            group = self.groups[name] = NannyGroup(name)
        return group

    def add_task(self, task: NannyTask) -> None:
        """Count an attempt as assigned to this host."""
        self.tasks[task.key] = task
        self.tasks_digest ^= task.digest

    def remove_task(self, task: NannyTask) -> None:
        """Count it no longer; it may still have a run."""
        del self.tasks[task.key]
        self.tasks_digest ^= task.digest

    def add_data(self, key: Key, attempt: int, nbytes: int, digest: int) -> None:
        """Count a result as held, in front of other attempts of that key."""
        if key in self.data:
            self.shadowed.setdefault(key, []).append(self.data[key])
        self.data[key] = (attempt, nbytes, digest)
        if nbytes > self.largest:
            self.largest = nbytes
        if attempt >= 0:
            self.data_digest ^= digest
            self.data_count += 1

    def remove_data(self, key: Key, attempt: int) -> bool:
        """Count a result no longer; one that it shadowed is back.  Return whether there was one of that attempt."""
        held = self.data.get(key)
        others = self.shadowed.get(key, [])
        if held is not None and held[0] == attempt:
            del self.data[key]
            if others:
                self.data[key] = others.pop()
        else:
            held = next((other for other in others if other[0] == attempt), None)
            if held is None:
                return False
            others.remove(held)
        if not others:
            self.shadowed.pop(key, None)
        if attempt >= 0:
            self.data_digest ^= held[2]
            self.data_count -= 1
        else:
            self.placed.pop((key, attempt), None)
        return True

    def has_data(self, key: Key, attempt: int) -> bool:
        """Whether this attempt of a result is held."""
        held = self.data.get(key)
        if held is None or held[0] == attempt:
            return held is not None
        return any(attempt == other[0] for other in self.shadowed.get(key, ()))

    def attempts_held(self, key: Key) -> list[int]:
        """Return the attempts of a result that are held, the one in front first."""
        if key not in self.data:
            return []
        return [self.data[key][0], *(other[0] for other in reversed(self.shadowed.get(key, ())))]

    def find_good(self, key: Key, needed: int) -> int | None:
        """Return the attempt that is read for this one (:func:`~himalia.names.is_good_for`), as the store does."""
        return next((attempt for attempt in self.attempts_held(key) if is_good_for(attempt, needed)), None)

    def all_data(self) -> list[tuple[Key, int, int, int]]:
        """Return all that the store holds, shadowed results first: key, attempt, bytes, digest."""
        shadowed = [(key, *entry) for key, entries in self.shadowed.items() for entry in entries]
        return shadowed + [(key, *entry) for key, entry in self.data.items()]

    def held(self) -> list[HeldData]:
        """Return all that the store holds."""
        return [HeldData(key, attempt, nbytes) for key, attempt, nbytes, _ in self.all_data()]

    def attempts(self) -> list[tuple[Key, int]]:
        """Return all that the scheduler assigned and that isn't answered."""
        return [(task.key, task.attempt) for task in self.tasks.values()]

    def workers_up(self) -> Iterable[NannyWorker]:
        """Iterate over workers that take calls, oldest index first."""
        return [worker for worker in self.workers.values() if worker.status is WorkerStatus.UP]

    def worker_info(self, worker: NannyWorker) -> WorkerInfo:
        """Describe a worker to the scheduler."""
        return WorkerInfo(
            name=worker.name,
            address=f"{self.info.address}/{worker.index}",
            pid=worker.pid,
            nthreads=self.nthreads,
            memory_limit=self.worker_memory,
            local_directory=self.info.local_directory,
            resources=self.resources,
        )


def move(task: NannyTask, status: AttemptStatus) -> None:
    """Change a task's status.

    Raises
    ------
    AssertionError
        If ``MOVES`` has no such move: the caller is wrong, and nothing was changed.
    """
    assert LEGAL[task.status][status], f"{task!r} can't become {status.label}"
    task.status = status


def move_worker(worker: NannyWorker, status: WorkerStatus) -> None:
    """Change a worker's status; see :func:`move`."""
    assert status in WORKER_MOVES[worker.status], f"{worker!r} can't become {status.value}"
    worker.status = status


UNREAD: Final = 10_000
"""Messages that the scheduler hasn't acknowledged, beyond which it gets no lines and no heartbeats: it stands still, or
its line is slow.  Five ticks' worth: a busy host finishes some 2,000 calls between two."""
GROUPS: Final = 1000
"""Kinds of tasks whose durations are remembered; a job has tens.  So many take 120 kB, measured."""
