"""A task at its host, and what can become of it.

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
from typing import Final

from himalia.messages.nanny import Compute
from himalia.names import Key, WorkerName, digest


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
        "answered", "attempt", "compute", "digest", "group", "interrupt", "key", "kill_at", "missing", "moved",
        "reserved", "run", "status", "transfer", "waiting_since", "worker",
    )  # fmt: skip

    def __init__(self, compute: Compute, group: NannyGroup) -> None:
        self.key = compute.key
        self.attempt = compute.attempt
        # The message itself is kept: its fields are what a Run is made of, and copying them would double the memory of
        # a waiting task.
        self.compute = compute
        self.group = group
        # Computed once: it goes into the tally now, out of it at the end, and into that of the results.
        self.digest = digest(compute.key, compute.attempt)
        self.status: AttemptStatus = READY
        self.reserved: list[Key] = []
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


def move(task: NannyTask, status: AttemptStatus) -> None:
    """Change a task's status.

    Raises
    ------
    AssertionError
        If ``MOVES`` has no such move: the caller is wrong, and nothing was changed.
    """
    assert LEGAL[task.status][status], f"{task!r} can't become {status.label}"
    task.status = status
