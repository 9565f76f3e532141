"""What a nanny knows: the tables that its transitions read and write, and nothing that acts.

It is made of parts: tasks (``tasks``), planned workers (``workers``), what the store holds (``held``) and what calls
under way reserve of it (``reserved``), what happened since the last heartbeat (``activity``), lines on their way to the
scheduler (``output``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from himalia.machine import Instruction, Send
from himalia.messages.answers import CallReply, Restarted
from himalia.messages.parts import HostInfo, Message, WorkerInfo
from himalia.messages.telemetry import HostMetrics
from himalia.names import SCHEDULER, Digest, HostId, Key, WorkerName
from himalia.nanny.activity import Activity
from himalia.nanny.events import ReadSlots
from himalia.nanny.held import HeldResults
from himalia.nanny.output import OutgoingLines
from himalia.nanny.reserved import Reservations
from himalia.nanny.tasks import NannyGroup, NannyTask
from himalia.nanny.workers import NannyWorker, WorkerStatus
from himalia.settings import Settings

UNREAD: Final = 10_000
"""Messages that the scheduler hasn't acknowledged, beyond which it gets no lines and no heartbeats: it stands still, or
its line is slow.  Five ticks' worth: a busy host finishes some 2,000 calls between two."""
GROUPS: Final = 1000
"""Kinds of tasks whose durations are remembered; a job has tens.  So many take 120 kB, measured."""


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


class Watch:
    """What the watchdog remembers from one measurement to the next.

    Attributes
    ----------
    looked_at : float
        When the workers were measured last.
    calm_for : float
        Seconds since a worker last stood still.
    untaken : int
        The oldest run that no thread has begun though one could; 0: none.
    untaken_for : float
        Seconds since that run was first seen to be it.
    """

    __slots__ = ("calm_for", "looked_at", "untaken", "untaken_for")

    def __init__(self) -> None:
        self.looked_at = 0.0
        self.calm_for = 0.0
        self.untaken = 0
        self.untaken_for = 0.0


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
        self.out: list[Instruction] = []
        """Instructions of the event that is being handled."""

        # A run may outlive its task in here: withdrawn, answered, and still in the queue or in a thread.
        self.tasks: dict[Key, NannyTask] = {}
        """Assigned to this host and not answered; at most one attempt of a key."""
        self.tasks_tally = 0
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
        self.reserved = Reservations()
        """What calls under way take of the store for their inputs."""
        # In the order of dispatch, which is that of the shared queue: find_untaken() relies on it.
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
        self.watch = Watch()
        """What the watchdog remembers."""

        self.held = HeldResults()
        """What the store holds."""
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
        # Nothing is queued for later: what happened meanwhile is in the registration, and would be told twice.
        if self.registered:
            self.out.append(Send(SCHEDULER, message))

    def read_slots(self) -> None:
        """Ask for the slots, once for all reasons of one event."""
        # One reading answers all who ask in one event. It comes after their Recalls in any case, since they were
        # appended before.
        if not any(type(instruction) is ReadSlots for instruction in self.out):
            self.out.append(ReadSlots())

    def group(self, name: str) -> NannyGroup:
        """Return what is known of a kind of tasks."""
        group = self.groups.get(name)
        if group is None:
            # All at once: durations are learned again within a few calls, and an order of use to be kept would cost
            # each of them.
            if len(self.groups) >= GROUPS:
                self.groups.clear()
            group = self.groups[name] = NannyGroup(name)
        return group

    def add_task(self, task: NannyTask) -> None:
        """Count an attempt as assigned to this host."""
        self.tasks[task.key] = task
        self.tasks_tally ^= task.digest

    def remove_task(self, task: NannyTask) -> None:
        """Count it no longer; it may still have a run."""
        del self.tasks[task.key]
        self.tasks_tally ^= task.digest

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
