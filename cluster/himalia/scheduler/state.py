"""What the scheduler remembers: tasks, hosts, workers, clients, functions.  It holds facts and decides nothing.

A task's life::

              need             inputs in memory          a host has room           TaskFinished
    RELEASED ──────► WAITING ──────────────────► QUEUED ─────────────────► ASSIGNED ───────────► FINISHED
       ▲                │                                                     │                     │
       │                └── an input erred ──► ERRED ◄── raised, no retries ──┘                     │
       └──────────────────────── nobody needs it, or its last holder is gone ───────────────────────┘

A task that nobody wants and nothing depends on is forgotten, whatever its status.  Every assignment takes a new number
from one counter, the *attempt*: it names the assignment in all messages, and a result is judged by it alone.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Mapping
from typing import Final

from himalia.errors import HimaliaError
from himalia.machine import Instruction, Send
from himalia.messages.client import ResultPending, ResultReady
from himalia.messages.parts import HostInfo, Message, TaskError, TaskOptions, WorkerInfo
from himalia.messages.telemetry import HostMetrics, TaskCounts
from himalia.names import ClientId, HostId, Key, PeerId, WorkerName
from himalia.scheduler.call_lines import CallLines
from himalia.scheduler.followers import Following
from himalia.scheduler.open_questions import OpenQuestions
from himalia.scheduler.queue import TaskQueue
from himalia.scheduler.window import MOST_HELD, SendWindow
from himalia.settings import Settings
from himalia.telemetry.errors import ErrorTable
from himalia.telemetry.events import EventLog
from himalia.telemetry.finished_calls import TelemetryLog
from himalia.telemetry.groups import MeanDuration, TaskGroup

GROUPS: Final = 1000
"""Groups beyond which those without a task are forgotten: a push with all of them has 110 KB, measured."""
MOST_GROUPS: Final = 2 * GROUPS
"""Groups beyond which tasks of other names are counted as one: to look at all costs 1 ms, ten times a second."""
OTHERS: Final = "(others)"
"""Name of that one; no function is called so."""


OUTSIDE_DEATHS: Final = 100
"""Deaths by signals from outside that are remembered at most."""


class TaskStatus(enum.IntEnum):
    """Where a task stands; the module's docstring draws the moves.  Also the index of its count in a group."""

    RELEASED = 0
    WAITING = 1
    QUEUED = 2
    ASSIGNED = 3
    FINISHED = 4
    ERRED = 5
    FORGOTTEN = 6

    @property
    def label(self) -> str:
        """The word for people."""
        return self.name.lower()


RELEASED: Final = TaskStatus.RELEASED
WAITING: Final = TaskStatus.WAITING
QUEUED: Final = TaskStatus.QUEUED
ASSIGNED: Final = TaskStatus.ASSIGNED
FINISHED: Final = TaskStatus.FINISHED
ERRED: Final = TaskStatus.ERRED
FORGOTTEN: Final = TaskStatus.FORGOTTEN

ACTIVE: Final = frozenset({WAITING, QUEUED, ASSIGNED})
"""A task in one of these needs its inputs (it is counted in their ``waiters``)."""

MOVES: Final[dict[TaskStatus, frozenset[TaskStatus]]] = {
    RELEASED: frozenset({WAITING, QUEUED, ASSIGNED, FINISHED, ERRED, FORGOTTEN}),
    WAITING: frozenset({QUEUED, ASSIGNED, ERRED, RELEASED}),
    QUEUED: frozenset({ASSIGNED, WAITING, ERRED, RELEASED}),
    ASSIGNED: frozenset({FINISHED, WAITING, ERRED, RELEASED}),
    FINISHED: frozenset({RELEASED}),
    ERRED: frozenset({RELEASED, FORGOTTEN}),
    FORGOTTEN: frozenset(),
}
"""Every legal move.  What waits for no input skips WAITING; RELEASED to FINISHED is data that a client placed."""

LEGAL: Final = [[after in MOVES[before] for after in TaskStatus] for before in TaskStatus]
"""The same, to be looked up by two indices: this is asked millions of times."""


class SchedulerTask:
    """One key: how to compute it, where it stands, who needs it.

    Millions of these may live at once, so every field counts (see ``tests/benchmarks``): rarely used ones are ``None``
    until needed.  Identity is the object; a key that was forgotten and submitted again is another task.
    """

    __slots__ = (
        "argument",
        "attempt",
        "call",
        "dependencies",
        "dependents",
        "digest",
        "error",
        "estimate",
        "function",
        "group",
        "holders",
        "host",
        "key",
        "nbytes",
        "options",
        "placed",
        "priority",
        "protected",
        "queued",
        "requirement",
        "retries",
        "status",
        "strikes",
        "tries",
        "type_name",
        "waiters",
        "waiting_on",
        "wanted_by",
        "withdrawing",
        "worker",
    )

    def __init__(self, key: Key, group: TaskGroup) -> None:
        # What is empty for most tasks is a shared constant ((), b"", None), never a container of its own: a list costs
        # 56 bytes, a million times.
        self.key = key
        self.group = group
        self.status = RELEASED
        self.function = b""
        self.call = b""
        self.argument = ""
        self.placed = False
        """A client placed its value: there is no call that could compute it again."""
        self.priority: tuple[float, int, int] = (0.0, 0, 0)
        self.options: TaskOptions | None = None
        self.requirement: Requirement | None = None
        """Which workers may run it; ``None``: any."""
        self.retries = 0
        """Exceptions that may still be answered by another attempt."""
        self.dependencies: tuple[SchedulerTask, ...] = ()
        self.dependents: dict[SchedulerTask, None] | None = None
        self.wanted_by: tuple[ClientState, ...] = ()
        self.protected = 0
        """Submissions that it is part of and that are still coming in: it isn't forgotten before their end."""
        self.waiting_on = 0
        """WAITING: inputs that are not FINISHED yet."""
        self.waiters = 0
        """Dependents in an ACTIVE status."""
        self.queued = 0
        """QUEUED: number of its entry in a queue, else 0; entries with another number are void."""
        self.attempt = 0
        """ASSIGNED: the current attempt; FINISHED: the attempt that made the result."""
        self.digest = 0
        """``digest(key, attempt)`` of the attempt above."""
        self.tries = 0
        """Assignments so far, for people."""
        self.host: HostState | None = None
        """ASSIGNED: where."""
        self.worker: WorkerState | None = None
        """ASSIGNED to one worker of the host only."""
        self.estimate = 0.0
        """ASSIGNED: seconds it was expected to take."""
        self.withdrawing = 0
        """The attempt that was asked back from its host (stolen), if any."""
        self.strikes = 0.0
        """Workers that died while running it, each by what it says of the call; see ``deaths.weigh``."""
        self.holders: tuple[HostState, ...] = ()
        """FINISHED: hosts that have its result, in the order they got it."""
        self.nbytes = -1
        self.type_name = ""
        self.error: TaskError | None = None
        """ERRED: why."""

    def __repr__(self) -> str:
        return f"<SchedulerTask {self.key!r} {self.status.label} attempt={self.attempt}>"


class Requirement:
    """What a class of tasks asks of a worker, and the queue of those that wait for one."""

    __slots__ = ("allow_other", "eligible", "queue", "resources", "tasks", "version", "workers")

    def __init__(self, workers: tuple[str, ...], allow_other: bool, resources: tuple[tuple[str, float], ...]) -> None:
        self.workers = workers
        self.allow_other = allow_other
        self.resources = resources
        self.queue = TaskQueue()
        self.eligible: dict[HostState, list[WorkerState]] = {}
        """Who can satisfy it, as of ``version`` of the membership."""
        self.version = -1
        self.tasks = 0
        """Tasks that have it."""


class WorkerState:
    """A worker process, as far as placement cares."""

    __slots__ = ("assigned", "host", "info", "used")

    def __init__(self, info: WorkerInfo, host: HostState) -> None:
        self.info = info
        self.host = host
        self.assigned = 0
        """Attempts that only this worker may run."""
        self.used: dict[str, float] = {}
        """Resources taken by them."""


class Zombie:
    """An attempt that nobody wants any more but that its host may still be running."""

    __slots__ = ("estimate", "group", "key", "resources", "worker")

    def __init__(
        self,
        key: Key,
        group: TaskGroup,
        worker: WorkerState | None,
        resources: tuple[tuple[str, float], ...],
        estimate: float,
    ) -> None:
        self.key = key
        self.group = group
        self.estimate = estimate
        self.worker = worker
        self.resources = resources


class HostState:
    """A nanny, its workers, what it was given and what it has."""

    __slots__ = (
        "assigned",
        "attempts_tally",
        "data_count",
        "data_tally",
        "functions",
        "held",
        "id",
        "info",
        "is_idle",
        "is_open",
        "metrics",
        "nthreads",
        "occupancy",
        "paused",
        "seen_at",
        "sent",
        "started_at",
        "workers",
        "zombies",
    )

    def __init__(self, info: HostInfo, now: float) -> None:
        self.id: HostId = info.host
        self.info = info
        self.workers: dict[WorkerName, WorkerState] = {}
        self.nthreads = 0
        self.assigned: dict[SchedulerTask, None] = {}
        """In the order of assignment."""
        self.zombies: dict[int, Zombie] = {}
        """By attempt."""
        self.held: dict[SchedulerTask, None] = {}
        self.occupancy = 0.0
        """Sum of the estimates of ``assigned`` and ``zombies``, seconds."""
        self.is_idle = False
        """In ``SchedulerState.idle``: fewer calls than threads."""
        self.is_open = False
        """In ``SchedulerState.open``: its queue ahead is not full."""
        self.paused = False
        self.functions: dict[bytes, None] = {}
        """Digests it was told, oldest first."""
        self.sent = 0
        """Messages sent to it in this session."""
        self.attempts_tally = 0
        """Xor of ``digest`` over assigned and zombies."""
        self.data_tally = 0
        """Xor of ``digest`` over held results that were computed; placed ones are announced out of order."""
        self.data_count = 0
        self.metrics = HostMetrics()
        self.seen_at = now
        self.started_at = now

    @property
    def label(self) -> str:
        """What people call it."""
        return self.info.name or self.info.hostname or str(self.id)

    def __repr__(self) -> str:
        return f"<HostState {self.id} assigned={len(self.assigned)} held={len(self.held)}>"


class ClientState:
    """A client: which futures it holds, which functions it told us."""

    __slots__ = (
        "batch",
        "functions",
        "generation",
        "groups",
        "id",
        "protected",
        "span",
        "wants",
        "window",
    )

    def __init__(self, id: ClientId, window: int) -> None:
        self.id = id
        self.window = SendWindow(window)
        """What it was sent and hasn't read yet."""
        self.wants: dict[SchedulerTask, None] = {}
        self.protected: dict[SchedulerTask, None] = {}
        """Unwanted tasks of its submission that is still coming in: their dependents may be under way."""
        self.functions: dict[bytes, None] = {}
        self.batch = -1
        """Number of its last submission, and the scheduler-wide generation that was given to it."""
        self.generation = 0
        self.span = str(id)
        """What it submits under at present."""
        self.groups: dict[str, TaskGroup] = {}
        """Groups of that span by name, as far as they were used."""


class FunctionState:
    """A function's pickle, kept while a client may name it or a task refers to it."""

    __slots__ = ("body", "clients", "tasks")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.clients = 0
        self.tasks = 0


STANDING: Final[frozenset[type[Message]]] = frozenset({ResultReady, ResultPending})
"""News that say how a task stands: it can be looked up, and isn't kept."""


class SchedulerState:
    """All of it, and the list of instructions under construction.

    Parameters
    ----------
    settings : Settings
    me : PeerId
        This scheduler's incarnation.
    address : str
        What it calls itself in answers.
    versions : mapping
        Package versions of its process, for ``get_versions``.
    idle_timeout : float
        Seconds without any task to do after which it ends; 0: never.
    started : float
        When, seconds of the shell's monotonic clock.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        me: PeerId,
        address: str = "",
        versions: Mapping[str, str] | None = None,
        idle_timeout: float = 0.0,
        started: float = 0.0,
    ) -> None:
        self.settings = settings
        self.me = me
        self.address = address
        self.versions = dict(versions or {})
        self.idle_timeout = idle_timeout
        self.started = started
        self.out: list[Instruction] = []
        """Instructions of the event that is being handled."""
        self.now = 0.0
        self.busy_at = started
        """When there was something to do last."""
        self.closing = False
        """Whether everybody was told that this ends."""
        self.logged = 0
        """``log.total`` at the last tick."""
        self.rested = True
        """Whether memory was given back since something happened."""
        self.tasks: dict[Key, SchedulerTask] = {}
        self.groups: dict[tuple[str, str], TaskGroup] = {}
        """By name and span."""
        self.counts = TaskCounts()
        """What groups that were dropped counted, and the others when :func:`count_all` looked last."""
        self.stopped: dict[SchedulerTask, None] = {}
        """Tasks that are counted as cancelled and may be needed again, because others depend on them."""
        self.paces: dict[str, MeanDuration] = {}
        self.functions: dict[bytes, FunctionState] = {}
        self.hosts: dict[HostId, HostState] = {}
        self.clients: dict[ClientId, ClientState] = {}
        self.workers: dict[WorkerName, WorkerState] = {}
        self.membership = 0
        """Rises with every change of hosts or workers."""
        self.scaled: dict[str, int] = {}
        """Workers that there shall be at the host of a name: a nanny that comes back under it is told again."""
        self.last_left: tuple[str, float, str] | None = None
        """The host that left last: its name, when, and why."""
        self.queue = TaskQueue()
        """Ready tasks that any worker may run and that no host has room for."""
        self.requirements: dict[tuple[tuple[str, ...], bool, tuple[tuple[str, float], ...]], Requirement] = {}
        self.idle: dict[HostState, None] = {}
        self.open: dict[HostState, None] = {}
        self.surplus: dict[HostState, None] = {}
        """Hosts with more work than their threads do at once: where to steal."""
        self.hopeless: dict[ClientId, None] = {}
        """Clients that read nothing and ask on: they are heard no more, and cut off at the next tick."""
        self.to_free: dict[HostState, list[tuple[Key, int]]] = {}
        """Results to be freed at the end of this event, so that each host is told once."""
        self.type_names: dict[str, str] = {}
        """One object for each type name, however many tasks share it."""
        self.next_attempt = 1
        self.next_queued = 1
        self.next_generation = 1
        self.log = TelemetryLog(settings.telemetry_ring)
        self.errors = ErrorTable()
        self.events = EventLog()
        self.outside_deaths: deque[tuple[float, frozenset[Key]]] = deque(maxlen=OUTSIDE_DEATHS)
        """Workers that died by signals from outside lately: when, and what they ran; see ``deaths.weigh``."""
        self.drift_repaired = 0
        """Differences that digests brought to light."""
        self.questions = OpenQuestions()
        """Questions that hosts owe an answer to."""
        self.lines = CallLines()
        """What calls wrote lately."""
        self.following = Following()
        """Who follows the telemetry."""

    def host(self, source: PeerId) -> HostState:
        """Return the host that sent a message.

        Raises
        ------
        HimaliaError
            If none did: it has not registered.
        """
        try:
            return self.hosts[HostId(source)]
        except KeyError:
            raise HimaliaError(f"{source} sent a message before it registered") from None

    def client(self, source: PeerId) -> ClientState:
        """Return the client that sent a message."""
        return self.clients[ClientId(source)]

    def rest(self) -> None:
        """Give back memory when there are no tasks: what released ones leave is small, but spread all over it."""
        # Rows are small objects between those of tasks; packed, they keep no page of the heap alive.
        self.log.pack()
        # Empty already, but a dict keeps the room it once needed until it is cleared.
        self.tasks.clear()
        for client in self.clients.values():
            client.wants.clear()
        for host in self.hosts.values():
            host.held.clear()
            host.assigned.clear()

    def send(self, peer: HostState | ClientState, message: Message) -> None:
        """Queue a message for a host or a client; see :meth:`tell` for news of a key."""
        # Not isinstance(): this runs for every message of a busy scheduler.
        if peer.__class__ is HostState:
            peer.sent += 1
        else:
            window = peer.window  # type: ignore[union-attr]  # the class was just looked at
            # It asks on and reads nothing: at some point its session has to go, or this process does.
            if window.under_way > window.hopeless:
                self.hopeless[peer.id] = None  # type: ignore[index]
                return
            window.add(message)
        self.out.append(Send(peer.id, message))

    def tell(self, client: ClientState, key: Key, news: Message) -> None:
        """Send news of a key that a client holds; without room they wait, as the last word on that key.

        What says how a task stands isn't kept: it is looked up when there is room (``transitions.status_message``).
        """
        window = client.window
        # Once something waits everything waits behind it: news of a key that overtook older news of it would be wrong
        # in the end.
        if not window.held and window.under_way < window.news:
            self.send(client, news)
            return
        window.held.pop(key, None)  # the order is that of the last news
        window.held[key] = None if news.__class__ in STANDING else news
        # News of keys that it holds are bounded by what it holds; others only it can make, by asking.
        if len(window.held) > len(client.wants) + MOST_HELD:
            self.hopeless[client.id] = None

    def group(self, client: ClientState, name: str) -> TaskGroup:
        """Return the group of that name for what a client submits now, made at its first use.

        Beyond ``MOST_GROUPS`` there are no new names: a graph whose keys all differ (``x0-5``, ``x1-5``) would make one
        for each task, and what looks at groups a few times a second would take all the time there is.
        """
        group = client.groups.get(name)
        if group is None:
            group = self.groups.get((name, client.span))
            # After the look into the table: a name that has a group keeps it, however many there are.
            if group is None and len(self.groups) >= MOST_GROUPS:
                return self.other_group(client)
            if group is None:
                group = self.make_group(client, name, client.span)
            client.groups[name] = group
        return group

    def other_group(self, client: ClientState) -> TaskGroup:
        """Return the group of tasks that get none of their own: of the client's span, or of all its spans."""
        # A notebook makes a span for each cell that is run; at last all of its rest is one group.
        span = client.span if len(self.groups) < 2 * MOST_GROUPS else str(client.id)
        return self.groups.get((OTHERS, span)) or self.make_group(client, OTHERS, span)

    def make_group(self, client: ClientState, name: str, span: str) -> TaskGroup:
        """Begin to count under a name and a span."""
        pace = self.paces.setdefault(name, MeanDuration())
        group = self.groups[name, span] = TaskGroup(name, span, client.id, pace, len(TaskStatus))
        return group

    def count_error(self, task: SchedulerTask, error: TaskError) -> None:
        """Remember that a call failed, by its cause."""
        self.errors.add(error, task.group.name, (dependency.key for dependency in task.dependencies), self.now)

    def forget_idle_groups(self) -> None:
        """Drop groups without a task, and their times; what they counted stays in the totals."""
        # First into the totals, or dropping a group would make calls unhappen.
        count_all(self)
        self.groups = {place: group for place, group in self.groups.items() if group.tasks}
        used = {group.name for group in self.groups.values()}
        self.paces = {name: pace for name, pace in self.paces.items() if name in used}
        for client in self.clients.values():
            client.groups.clear()


def count_tasks(group: TaskGroup) -> TaskCounts:
    """Return where all tasks of a group are that there ever were."""
    counts = group.counts
    waiting, assigned = counts[WAITING] + counts[QUEUED], counts[ASSIGNED]
    ever = group.tasks + counts[FORGOTTEN] - group.placed
    # Computed from what is left over, so that the five always add up to all: a bar that jumps back is worse than one
    # that is a call late.
    ended = ever - waiting - assigned - group.erred - group.cancelled
    # Of a submission that is still coming in, some aren't to be computed yet: these have no completion either.
    done = max(0, min(ended, group.finished))
    return TaskCounts(waiting, assigned, done, group.erred, group.cancelled)


def count_all(state: SchedulerState) -> TaskCounts:
    """Return where all tasks are that there ever were, those of groups included that were dropped since."""
    for group in state.groups.values():
        if group.changed:
            count_again(state, group)
    return state.counts


def count_again(state: SchedulerState, group: TaskGroup) -> None:
    """Bring the totals up to date with what a group counts now."""
    fresh, known = count_tasks(group), group.counted
    # The totals move by the difference: adding up a thousand groups at every look took 1 ms, ten times a second.
    if fresh != known:
        less = TaskCounts(-known.waiting, -known.assigned, -known.done, -known.failed, -known.cancelled)
        state.counts = state.counts + fresh + less
        group.counted = fresh


def move(task: SchedulerTask, status: TaskStatus) -> None:
    """Change a task's status, and the counts of its group with it.

    Raises
    ------
    AssertionError
        If ``MOVES`` has no such move: the caller is wrong, and nothing was changed.
    """
    old = task.status
    assert LEGAL[old][status], f"{task!r} can't become {status.label}"
    group = task.group
    counts = group.counts
    counts[old] -= 1
    counts[status] += 1
    group.changed = True
    task.status = status
    if old is QUEUED:
        # Makes its entry in the queue void, wherever that is.
        task.queued = 0
