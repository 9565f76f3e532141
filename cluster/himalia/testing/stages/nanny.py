"""A nanny machine on a stage: tests say what arrives and compare the whole list of instructions; validate() follows."""

from __future__ import annotations

from typing import Any

import msgspec

from himalia.machine import Event, Instruction, PeerJoined, Send, Ticked
from himalia.messages.nanny import Compute, TaskFinished, Withdrawn
from himalia.messages.parts import Message, TaskError, Timing
from himalia.messages.worker import Place, Raised, Returned, WorkerReady
from himalia.names import SCHEDULER, Key, PeerId, WorkerName
from himalia.nanny import events as e
from himalia.nanny.machine import NannyMachine
from himalia.settings import Settings
from himalia.testing.builders import make_host_info

FIRST = WorkerName("host-1-0")
SECOND = WorkerName("host-1-1")
TIMING = Timing(start=1.0, deserialize=0.0, compute=0.5, serialize=0.0)
"""Of calls that are long: none is dispatched ahead of a free thread."""


class NannyStage:
    """One nanny, registered, with its workers up; clears what that took."""

    def __init__(self, *, workers: int = 1, nthreads: int = 1, up: bool = True, **options: Any) -> None:
        info = make_host_info("nanny-1", memory_limit=options.pop("memory_limit", 1_000_000_000))
        settings = options.pop("settings", Settings(heartbeat_interval=1e6))  # heartbeats have tests of their own
        self.machine = NannyMachine(info, settings, nworkers=workers, nthreads=nthreads, **options)
        self.state = self.machine.state
        self.now = 0.0
        self.event(e.NannyStarted())
        # Kept, for tests of what a nanny says of itself; all others begin after it.
        self.registration = self.event(PeerJoined(SCHEDULER, "scheduler"), SCHEDULER)
        self.event(Ticked())
        if up:
            for index, name in enumerate(list(self.state.workers)):
                self.come_up(name, pid=100 + index)

    def event(self, event: Event | Message, source: str = "") -> list[Instruction]:
        """Feed an event, and check all invariants after it."""
        out = self.machine.handle(event, now=self.now, source=PeerId(source))
        self.machine.validate()
        return out

    def scheduler(self, message: Message) -> list[Instruction]:
        """Feed a message of the scheduler."""
        return self.event(message, SCHEDULER)

    def come_up(self, name: str = FIRST, pid: int = 100) -> list[Instruction]:
        """Let a worker say that it is ready."""
        return self.event(WorkerReady(pid), name)

    def returns(
        self, run: int, worker: str = FIRST, data: bytes = b"value", timing: Timing = TIMING
    ) -> list[Instruction]:
        """Let a worker return a small result."""
        return self.event(Returned(run, len(data), "bytes", Place(data), timing), worker)

    def raises(self, run: int, worker: str = FIRST, kind: str = "exception") -> list[Instruction]:
        """Let a worker answer with an error."""
        return self.event(Raised(run, TaskError(kind, Key("?"), "ValueError: no"), TIMING), worker)

    def slots(self, running: dict[str, list[int]] | None = None, head: int = 0) -> list[Instruction]:
        """Answer a ReadSlots."""
        return self.event(e.SlotsRead({WorkerName(name): runs for name, runs in (running or {}).items()}, head))

    def dies(self, name: str = FIRST, *running: int, exit: str = "signal SIGSEGV") -> list[Instruction]:
        """Let a worker process end."""
        pid = self.state.workers[WorkerName(name)].pid
        return self.event(e.WorkerExited(WorkerName(name), pid, exit, list(running), ["log"]))

    def tick(self, seconds: float) -> list[Instruction]:
        """Let time pass."""
        self.now += seconds
        return self.event(Ticked())


def sent(message: Message) -> Send:
    """The instruction to tell the scheduler something."""
    return Send(SCHEDULER, message)


def finished(compute: Compute, worker: str = FIRST, data: bytes | None = b"value", **timing: float) -> Send:
    """The report of a small result."""
    times = msgspec.structs.replace(TIMING, **timing)
    return sent(TaskFinished(compute.key, compute.attempt, WorkerName(worker), 5, "bytes", times, data))


def withdrawn(compute: Compute, *, started: bool = False, seconds: float = 0.0) -> Send:
    """The answer to a Withdraw."""
    return sent(Withdrawn(compute.key, compute.attempt, started, seconds))
