"""A planned worker of a host: where its process is in its life, and what is bound to it.

The processes themselves are the shell's (``processes.py``); what is done about them is decided in ``workforce``.
"""

from __future__ import annotations

import enum
from typing import Final

from himalia.messages.nanny import DeathCause
from himalia.names import WorkerName
from himalia.nanny.tasks import NannyTask


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


class NannyWorker:
    """A planned worker, and its process if there is one."""

    __slots__ = (
        "alone", "began", "blamed", "cause", "deaths", "ends_itself", "index", "is_trimming", "memory", "name", "pid",
        "planned", "ready", "reason", "restart_at", "running", "status", "still", "still_for", "targeted", "trimmed",
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
        self.trimmed = 0
        """Its memory when it was last told to give back what it freed."""
        self.is_trimming = False
        """Whether it was told so at the last measurement."""
        self.still = ""
        """How its process stands still (``watchdog``); empty while it doesn't."""
        self.still_for = 0.0
        """Seconds since it was first seen to stand still in this way."""

    def __repr__(self) -> str:
        return f"<NannyWorker {self.name} {self.status.value}>"


def move_worker(worker: NannyWorker, status: WorkerStatus) -> None:
    """Change a worker's status; see :func:`move`."""
    assert status in WORKER_MOVES[worker.status], f"{worker!r} can't become {status.value}"
    worker.status = status
