"""A scheduler machine on a stage: tests say what arrives, read what is sent; validate() follows every event."""

from __future__ import annotations

from typing import TypeVar

from himalia.machine import Event, Instruction, PeerJoined, PeerLeft, Send
from himalia.messages.client import Submit
from himalia.messages.nanny import DeathCause, RegisterNanny, TaskFailed, TaskFinished, WorkerDied, WorkerStarted
from himalia.messages.parts import FunctionBody, HostInfo, Message, TaskError, TaskOptions, TaskSpec, Timing, WorkerInfo
from himalia.names import Digest, HostId, Key, PeerId, WorkerName
from himalia.scheduler.machine import SchedulerMachine
from himalia.scheduler.state import SchedulerTask, TaskStatus
from himalia.settings import Settings

FUNCTION = Digest(b"f" * 16)
TIMING = Timing(start=1.0, deserialize=0.0, compute=0.5, serialize=0.0)
MessageType = TypeVar("MessageType", bound=Message)


def spec(
    key: str,
    *inputs: str,
    wanted: bool = True,
    order: int = 0,
    options: TaskOptions | None = None,
) -> TaskSpec:
    """A call of the function that every client of a stage has sent."""
    dependencies = tuple(Key(name) for name in inputs)
    return TaskSpec(Key(key), key.split("-")[0], FUNCTION, b"call", dependencies, order, wanted, options=options)


class SchedulerStage:
    """One scheduler; clients ``alice`` and ``bob``; hosts as the test adds them."""

    def __init__(self, *hosts: str, settings: Settings | None = None) -> None:
        self.machine = SchedulerMachine(settings=settings or Settings(), me=PeerId("scheduler-0"))
        self.now = 0.0
        self.sent: list[tuple[str, Message]] = []
        """What was sent since the last :meth:`take`."""
        for client in ("alice", "bob"):
            self.event(PeerJoined(PeerId(client), "client"))
            self.message(client, FunctionBody(FUNCTION, b"body"))
        for host in hosts:
            self.add_host(host)
        # What joining took is of no interest to a test.
        self.sent.clear()

    def add_host(self, name: str, *, workers: int = 1, nthreads: int = 1, called: str = "", **resources: float) -> None:
        """Register a nanny with its workers ``<name>-0`` and so on."""
        info = HostInfo(HostId(PeerId(name)), f"unix:///{name}", f"{name}.local", 1, "machine", "/arena", 10**9, "/tmp")
        info.name = called
        infos = [
            WorkerInfo(WorkerName(f"{name}-{i}"), f"unix:///{name}/{i}", 2 + i, nthreads, 0, "/tmp", dict(resources))
            for i in range(workers)
        ]
        self.message(name, RegisterNanny(info, infos, [], []))

    def event(self, event: Event) -> list[Instruction]:
        """Feed an event of the scheduler's own side."""
        return self._handle(event, PeerId(""))

    def message(self, source: str, message: Message) -> list[Instruction]:
        """Feed a message."""
        return self._handle(message, PeerId(source))

    def _handle(self, event: Event | Message, source: PeerId) -> list[Instruction]:
        instructions = self.machine.handle(event, now=self.now, source=source)
        self.sent += [(str(i.peer), i.message) for i in instructions if isinstance(i, Send)]
        self.machine.validate()
        return instructions

    def submit(self, client: str, *specs: TaskSpec, batch: int = 1, last: bool = True) -> None:
        """Feed a submission."""
        self.message(client, Submit(batch, list(specs), last))

    def leave(self, peer: str) -> None:
        """End the session with a peer."""
        self.event(PeerLeft(PeerId(peer), "test"))

    def take(self) -> list[tuple[str, Message]]:
        """What was sent since the last call."""
        sent, self.sent = self.sent, []
        return sent

    def taken(self, kind: type[MessageType]) -> list[tuple[str, MessageType]]:
        """Return the messages of a kind that were sent, and forget all that was."""
        return [(peer, message) for peer, message in self.take() if isinstance(message, kind)]

    def assigned(self) -> dict[str, str]:
        """Host by key of every assigned task."""
        tasks: dict[Key, SchedulerTask] = self.machine.tasks
        return {key: str(task.host.id) for key, task in tasks.items() if task.host is not None}

    def task(self, key: str) -> SchedulerTask:
        """A task."""
        task: SchedulerTask = self.machine.tasks[Key(key)]
        return task

    def status(self, key: str) -> TaskStatus | None:
        """A task's status, or None if it is unknown."""
        task = self.machine.tasks.get(Key(key))
        return None if task is None else task.status

    def finish(self, key: str, *, data: bytes | None = None, nbytes: int = 8) -> None:
        """Let the host that has a task finish it."""
        task = self.task(key)
        assert task.host is not None, f"{key} is at no host"
        worker = WorkerName(f"{task.host.id}-0")
        finished = TaskFinished(Key(key), task.attempt, worker, nbytes, "builtins.int", TIMING, data)
        self.message(str(task.host.id), finished)

    def fail(self, key: str) -> None:
        """Let the host that has a task report an exception."""
        task = self.task(key)
        assert task.host is not None, f"{key} is at no host"
        error = TaskError(kind="exception", key=Key(key), text="ValueError: no", worker="w")
        self.message(str(task.host.id), TaskFailed(Key(key), task.attempt, error, TIMING))

    def die(self, key: str, *, blamed: bool = True, cause: DeathCause = "crash") -> None:
        """Let the worker that runs a task die, and its replacement start."""
        task = self.task(key)
        host = task.host
        assert host is not None, f"{key} is at no host"
        # The scheduler doesn't know which worker of a host takes a call; any will do.
        worker = next(iter(host.workers.values())) if task.worker is None else task.worker
        running = [(Key(key), task.attempt)]
        died = WorkerDied(worker.info.name, "signal SIGKILL", running, blamed, ["last words"], cause)
        self.message(str(host.id), died)
        self.message(str(host.id), WorkerStarted(worker.info))
