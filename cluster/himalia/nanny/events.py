"""What can happen to a nanny besides messages, and what its machine can ask of its shell.

Messages of the scheduler and of the workers are events too: a worker's carry its name as their ``source``.  Nothing is
decided here.  For each instruction the docstring says what a shell (or a simulator) owes the machine in return.
"""

from __future__ import annotations

from himalia.machine import Event, Instruction
from himalia.messages.nanny import Compute
from himalia.messages.parts import HeldData, HostInfo
from himalia.messages.telemetry import HostMetrics, LogLine, StoreMove
from himalia.messages.worker import NannyToWorker
from himalia.names import HostId, Key, PeerId, WorkerName

# Events


class NannyStarted(Event):
    """The shell is ready to start workers; comes once, before anything else."""


class WorkerExited(Event):
    """A worker process is gone, or could not be started (``pid`` 0).

    Everything it had sent was handled before.  ``running`` are the runs in its slots.
    """

    name: WorkerName
    pid: int
    exit: str
    """``signal SIGSEGV``, ``exit code 1``, or why it could not be started."""
    running: list[int]
    log: list[str]
    out_of_memory: bool | None = None
    """Whether the kernel killed something for want of memory meanwhile; ``None`` where it doesn't tell."""


class SlotsRead(Event):
    """Answer to :class:`ReadSlots`: the runs that live workers had begun, and the oldest one that none took yet."""

    running: dict[WorkerName, list[int]]
    head: int
    """Run at the head of the shared queue; 0 if the queue is empty."""


class Measured(Event):
    """What the shell measured, about every ``settings.tick_interval``."""

    metrics: HostMetrics
    slots: dict[WorkerName, list[int]] = {}
    """The run in each thread of each worker; 0: none."""
    moves: list[StoreMove] = []
    """What went between memory and disk since the last measurement."""
    unwritten: dict[WorkerName, tuple[int, float]] = {}
    """Workers that wait for room for a result: its bytes, and since when (the machine's clock)."""
    states: dict[WorkerName, str] = {}
    """The letter of each worker process's state (``man proc``), where the system tells."""
    unread: dict[Key, tuple[int, float]] = {}
    """Inputs that wait for room: bytes, and since when; those that are fetched by their own key, those on disk by their
    call's."""


class Transferred(Event):
    """A :class:`Fetch` brought results from another host; what became of each key is in :class:`DataFetched`."""

    host: HostId
    nbytes: int
    seconds: float
    count: int


class DataFetched(Event):
    """One key of a :class:`Fetch` arrived in the store, or could not be had (``held`` is ``None``)."""

    key: Key
    host: HostId
    held: HeldData | None
    reason: str = ""
    is_full: bool = False
    """Whether the host has it and there will be no room for it here: ``reason`` says why."""


class DataStored(Event):
    """A client put a value into the store (scatter)."""

    held: HeldData
    writer: PeerId = PeerId("")


class WriterGone(Event):
    """A client that put values into the store has no connection here any more."""

    writer: PeerId


class DataUnreadable(Event):
    """The store could not keep a result, or can't read it any more."""

    key: Key
    attempt: int
    reason: str


class DispatchFailed(Event):
    """A dispatch came to nothing because these inputs could not be read from the store, or (none) for ``reason``."""

    run: int
    unreadable: list[Key]
    reason: str


class DispatchDelayed(Event):
    """A dispatch was not made because inputs have to be read back from disk first."""

    run: int


class InputsLoaded(Event):
    """Answer to :class:`LoadInputs`: they are in memory and stay there, but for those that can't be read.

    ``problem``: why there will never be room for them.
    """

    key: Key
    attempt: int
    unreadable: list[Key]
    problem: str = ""


# Instructions: workers


class StartWorker(Instruction):
    """Start a worker process.  Owed: its ``WorkerReady``, and one :class:`WorkerExited` whatever happens."""

    name: WorkerName
    index: int
    """Its page in the slots; free again after its exit."""


class StopWorker(Instruction):
    """Ask a worker's process group to end (SIGTERM)."""

    name: WorkerName


class KillWorker(Instruction):
    """End a worker's process group (SIGKILL).  Owed: :class:`WorkerExited`."""

    name: WorkerName


class SendToWorker(Instruction):
    """Send a message to one worker; dropped if that is gone."""

    worker: WorkerName
    message: NannyToWorker


class Dispatch(Instruction):
    """Put a run into the queue that all workers share, or give it to one worker, which it is bound to or which is idle.

    Owed: one ``Returned`` or ``Raised``, or a :class:`WorkerExited`, or :class:`DispatchFailed`, or
    :class:`DispatchDelayed`.
    """

    run: int
    compute: Compute
    worker: WorkerName | None


class Recall(Instruction):
    """Let workers refuse this run from now on: whoever takes it answers ``Raised`` with a ``refused`` error."""

    run: int


class Unrecall(Instruction):
    """End a :class:`Recall`."""

    run: int


class RunLost(Instruction):
    """No worker has this run, and none will take it: nobody maps its inputs for it."""

    run: int


class ReadSlots(Instruction):
    """Owed: :class:`SlotsRead`, at once or later."""


# Instructions: data


class StoreInline(Instruction):
    """Keep a small result.  Owed only if that fails: :class:`DataUnreadable`."""

    key: Key
    attempt: int
    data: bytes


class AdoptResult(Instruction):
    """Keep a result that lies in a worker's grant.  Owed only if that fails: :class:`DataUnreadable`."""

    key: Key
    attempt: int
    worker: WorkerName
    offset: int
    sizes: tuple[int, ...]


class HandBack(Instruction):
    """Free the part of a worker's grant that holds a result nobody wants."""

    worker: WorkerName
    offset: int
    sizes: tuple[int, ...]


class LoadInputs(Instruction):
    """Read inputs of a call back from disk, as soon as there is room, and keep them in memory until :class:`Unload`.

    Owed: :class:`InputsLoaded`, unless it is unloaded before.
    """

    key: Key
    attempt: int
    inputs: list[tuple[Key, int]]
    """Key, and the attempt that they have to be good for."""


class Unload(Instruction):
    """End a :class:`LoadInputs`, done or not; inputs may move to disk again, or are mapped by now."""

    key: Key
    attempt: int


class FreeFromStore(Instruction):
    """Free a result."""

    key: Key
    attempt: int


class Fetch(Instruction):
    """Fetch these results (key, attempt) into the store.  Owed: one :class:`DataFetched` per key."""

    host: HostInfo
    data: list[tuple[Key, int]]


# Instructions: the rest


class KeepLines(Instruction):
    """Remember lines of a worker, for ``GetLogs``; ``dropped`` more of the same call were lost."""

    worker: WorkerName
    key: Key
    lines: list[LogLine]
    dropped: int


class AnswerLogs(Instruction):
    """Reply to the scheduler's ``GetLogs`` of that number with the lines of these workers (``None``: all).

    Only those that the call ``key`` wrote, if one is named, after ``since``, epoch seconds.
    """

    request: int
    workers: list[str] | None
    key: str = ""
    since: float = 0.0


class AnswerProfile(Instruction):
    """Reply to the scheduler's ``GetProfile`` of that number, and look closely at running calls for a while."""

    request: int
    since: float
    workers: list[str] | None


class Exit(Instruction):
    """End the nanny; every worker is gone."""

    reason: str
    code: int = 0
