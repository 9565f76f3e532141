"""What a task costs the scheduler's machine, from 10 to 10,000 workers: no sockets, no processes, only decisions.

The real machine gets the events of a whole cluster from this process.  Only the time inside ``handle`` counts, as CPU
time of this thread, so neither the made-up cluster nor other programs are measured.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from himalia.machine import PeerJoined, Send, Ticked
from himalia.messages.client import ReleaseKeys, ResultErred, ResultReady, Submit
from himalia.messages.nanny import Compute, Heartbeat, RegisterNanny, TaskFinished, Withdraw, Withdrawn
from himalia.messages.parts import FunctionBody, HostInfo, TaskSpec, Timing, WorkerInfo
from himalia.messages.telemetry import HostMetrics
from himalia.names import Digest, HostId, Key, PeerId, WorkerName
from himalia.scheduler.machine import SchedulerMachine

WORKERS: Final = (10, 100, 1_000, 10_000)
WORKERS_PER_HOST: Final = 10
TASKS: Final = int(os.environ.get("HIMALIA_BENCH_TASKS", "1000000"))
"""Tasks at each size; fewer for a quick look."""
BATCH: Final = 20_000
"""Tasks in a submission."""
IN_FLIGHT: Final = 60_000
"""Tasks that are submitted and not finished, at most: more than 10,000 workers and their short queues can hold."""
DURATION: Final = 0.1
"""Seconds a task takes on the made-up workers."""
FRAME: Final = 200
"""Events that are handled between two looks at the clock."""


class MadeUpCluster:
    """Hosts that finish every task they are sent, in order, and a client that lets go of each result."""

    def __init__(self, workers: int) -> None:
        self.machine = SchedulerMachine(me=PeerId("scheduler-0"))
        self.client = PeerId("client-0")
        self.workers = workers
        self.now = 0.0
        self.spent = 0.0
        self.assigned: deque[tuple[PeerId, Any]] = deque()
        self.withdrawn: set[tuple[Key, int]] = set()
        self.finished: list[Key] = []
        self.hosts = [HostId(PeerId(f"nanny-{number}")) for number in range(workers // WORKERS_PER_HOST)]
        self.feed([(PeerJoined(self.client, "client"), self.client)])
        for host in self.hosts:
            self.feed([(PeerJoined(host, "nanny"), host), self.registration(host)])
        self.spent = 0.0

    def registration(self, host: HostId) -> tuple[Any, PeerId]:
        """Return how a nanny introduces itself and its workers."""
        info = HostInfo(
            host=host,
            address=f"unix:///{host}",
            hostname=host,
            pid=1,
            machine=host,
            arena="",
            memory_limit=2**36,
            local_directory="/tmp",
        )
        crew: list[Any] = [
            WorkerInfo(
                name=WorkerName(f"{host}/{number}"),
                address=f"unix:///{host}/{number}",
                pid=1,
                nthreads=1,
                memory_limit=0,
                local_directory="",
            )
            for number in range(WORKERS_PER_HOST)
        ]
        return RegisterNanny(info, crew, [], []), host

    def feed(self, events: Iterable[tuple[Any, PeerId]]) -> None:
        """Let the machine handle events, and note what it wants."""
        handle, now = self.machine.handle, self.now
        prepared = list(events)
        started = time.thread_time()
        answers = [handle(event, now=now, source=source) for event, source in prepared]
        self.spent += time.thread_time() - started
        for answer in answers:
            for instruction in answer:
                self.perform(instruction)

    def perform(self, instruction: Any) -> None:
        """Do what the machine asks for, as far as this cluster is concerned."""
        if not isinstance(instruction, Send):
            return
        message = instruction.message
        match message:
            case Compute():
                self.assigned.append((instruction.peer, message))
            case Withdraw(key=key, attempt=attempt):
                self.withdrawn.add((key, attempt))
            case ResultReady(key=key):
                self.finished.append(key)
            case ResultErred(error=error):
                raise RuntimeError(error.text)

    def submit(self, first: int, number: int) -> None:
        """Submit independent no-ops as ``map`` does: the function once, the calls in messages of 1,000."""
        digest = Digest(b"0123456789abcdef")
        specs = [
            TaskSpec(Key(f"noop-{rank}"), "noop", digest, b"\x80\x05)}\x86.", (), rank, wanted=True)
            for rank in range(first, first + number)
        ]
        parts = [specs[i : i + 1_000] for i in range(0, number, 1_000)]
        calls = [Submit(first, part, last=part is parts[-1]) for part in parts]
        self.feed([(FunctionBody(digest, b"\x80\x05N."), self.client), *((call, self.client) for call in calls)])

    def finish_some(self) -> None:
        """Let the next tasks finish, and the client release what it got."""
        events: list[tuple[Any, PeerId]] = []
        while self.assigned and len(events) < FRAME:
            peer, task = self.assigned.popleft()
            attempt = (task.key, task.attempt)
            if attempt in self.withdrawn:
                self.withdrawn.discard(attempt)
                events.append((Withdrawn(*attempt, started=False), peer))
                continue
            timing = Timing(start=self.now, deserialize=1e-5, compute=DURATION, serialize=1e-5)
            worker = WorkerName(f"{peer}/{len(events) % WORKERS_PER_HOST}")
            done = TaskFinished(task.key, task.attempt, worker, 4, "NoneType", timing, b"\x80\x05N.")
            events.append((done, peer))
        if not events:
            raise RuntimeError("tasks are left, but no host was sent one")
        if self.finished:
            events.append((ReleaseKeys(self.finished), self.client))
            self.finished = []
        self.pass_time(len(events) * DURATION / self.workers)
        self.feed(events)

    def pass_time(self, seconds: float) -> None:
        """Advance the clock; heartbeats and ticks come as often as in a real cluster."""
        before, self.now = self.now, self.now + seconds
        settings = self.machine.state.settings
        if int(before / settings.tick_interval) != int(self.now / settings.tick_interval):
            self.feed([(Ticked(), PeerId(""))])
        if int(before / settings.heartbeat_interval) != int(self.now / settings.heartbeat_interval):
            beat = Heartbeat(HostMetrics(), (0, 0), (0, 0), seen=-1)
            self.feed([(beat, host) for host in self.hosts])

    def run(self, tasks: int) -> float:
        """Return the CPU seconds of the machine for so many tasks."""
        self.spent = 0.0
        submitted = done = 0
        while done < tasks:
            while submitted < tasks and submitted - done <= IN_FLIGHT - BATCH:
                number = min(BATCH, tasks - submitted)
                self.submit(submitted, number)
                submitted += number
            self.finish_some()
            done += len(self.finished)
        return self.spent


def scheduler_cost() -> list[float]:
    """Return the cost per task at 10,000 workers, relative to 10; the costs themselves go to stderr."""
    costs = []
    for workers in WORKERS:
        cluster = MadeUpCluster(workers)
        costs.append(cluster.run(TASKS) / TASKS)
        del cluster
        gc.collect()
    told = ", ".join(f"{cost * 1e6:.1f} µs with {workers:,}" for workers, cost in zip(WORKERS, costs, strict=True))
    print(f"per task, {TASKS:,} tasks: {told} workers", file=sys.stderr)
    return [costs[-1] / costs[0]]
