"""A simulated nanny process: the real machine, with a simulated store, data plane and workers.

It performs what ``nanny/events.py`` defines and owes the machine exactly what is written there; it decides nothing
else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from himalia.machine import Send
from himalia.messages import HeldData, HostInfo, HostMetrics, LogLine, Place, Printed, Raised, Reply, Returned
from himalia.names import SCHEDULER, HostId, Key, PeerId, WorkerName
from himalia.nanny import events as e
from himalia.nanny.machine import NannyMachine
from himalia.testing import calls
from himalia.testing.process import Process
from himalia.testing.store import SimulatedStore, Stored
from himalia.testing.workers import REPLY, Queue, SimulatedWorker, make_run

if TYPE_CHECKING:
    from himalia.testing.cluster import Cluster


WORKER_MEMORY = 100_000_000
"""Bytes a simulated worker may use by itself."""


class NannyProcess(Process):
    """A nanny and its host.

    Parameters
    ----------
    cluster : Cluster
    number : int
        Its host's number in the plan.
    me : PeerId
    """

    machine: NannyMachine

    def __init__(self, cluster: Cluster, number: int, me: PeerId) -> None:
        plan = cluster.plan.hosts[number]
        self.number = number
        self.behaviour = cluster.plan.behaviour
        self.info = HostInfo(
            host=HostId(me),
            address=f"tcp://10.0.0.{number}:{4000 + cluster.started}",
            hostname=f"machine-{number if plan.machine < 0 else f'm{plan.machine}'}",
            pid=cluster.started,
            machine=f"machine-{number if plan.machine < 0 else f'm{plan.machine}'}",
            arena="",
            memory_limit=1_000_000_000,
            local_directory="/tmp",
            name=f"host-{number}",
        )
        self.store = SimulatedStore()
        self.arena: dict[int, tuple[WorkerName, bytes]] = {}
        self.next_offset = 0
        self.next_pid = 100
        self.queue = Queue()
        self.workers: dict[WorkerName, SimulatedWorker] = {}
        self.recalled: set[int] = set()
        self.pressed_until = 0.0
        machine = NannyMachine(
            self.info,
            cluster.settings,
            nworkers=plan.workers,
            nthreads=plan.threads,
            worker_memory=WORKER_MEMORY,
            resources=plan.resources,
        )
        super().__init__(cluster, me, "nanny", machine)
        self.perform |= {
            e.StartWorker: self._start_worker,
            e.StopWorker: self._stop_worker,
            e.KillWorker: self._kill_worker,
            e.SendToWorker: self._send_to_worker,
            e.Dispatch: self._dispatch,
            e.Recall: lambda instruction: self.recalled.add(instruction.run),
            e.Unrecall: lambda instruction: self.recalled.discard(instruction.run),
            e.ReadSlots: lambda instruction: self.after(self.random.random() * 1e-4, self._read_slots),
            e.StoreInline: self._store_inline,
            e.AdoptResult: self._adopt,
            e.HandBack: lambda instruction: self._give_back(instruction.offset),
            e.FreeFromStore: self._free,
            e.Fetch: self._fetch,
            e.KeepLines: lambda instruction: None,
            e.AnswerLogs: self._answer_logs,
            e.AnswerProfile: lambda instruction: self._send(Send(SCHEDULER, Reply(instruction.request, {}))),
            e.Exit: lambda instruction: self.end(instruction.reason),
        }
        self.feed(e.NannyStarted())
        cluster.network.connect(self, cluster.scheduler, SCHEDULER, cluster.settings.host_lease)
        self._measure()

    def kill(self) -> None:
        """End the nanny and, as the kernel does for it, its workers."""
        if self.is_alive:
            for worker in self.workers.values():
                worker.is_alive = False
            super().kill()
            self.cluster.nanny_died(self)

    def end(self, reason: str) -> None:
        """End after the last worker, as the machine said."""
        if self.is_alive:
            super().end(reason)
            self.cluster.nanny_died(self)

    def _answer_logs(self, instruction: e.AnswerLogs) -> None:
        logs = {str(name): [LogLine(0.0, "stdout", "a line")] for name in self.workers}
        self._send(Send(SCHEDULER, Reply(instruction.request, logs)))

    # Workers

    def _start_worker(self, instruction: e.StartWorker) -> None:
        self.next_pid += 1
        nthreads = self.cluster.plan.hosts[self.number].threads
        if self.random.random() < self.behaviour.failed_start:
            self.after(0.01, self.feed, e.WorkerExited(instruction.name, 0, "could not be started", [], []))
        else:
            self.workers[instruction.name] = SimulatedWorker(self, instruction.name, self.next_pid, nthreads)

    def _stop_worker(self, instruction: e.StopWorker) -> None:
        worker = self.workers.get(instruction.name)
        if worker is not None and self.random.random() < 0.8:  # others mask SIGTERM
            worker.after(self.random.uniform(0.0, 0.1), worker.exit, "signal SIGTERM")

    def _kill_worker(self, instruction: e.KillWorker) -> None:
        worker = self.workers.get(instruction.name)
        if worker is not None:
            worker.exit("signal SIGKILL")

    def _send_to_worker(self, instruction: e.SendToWorker) -> None:
        worker = self.workers.get(instruction.worker)
        if worker is not None:
            worker.after(REPLY, worker.receive, instruction.message)

    def worker_said(self, worker: SimulatedWorker, message: Any) -> None:
        """Take a worker's datagram; each call has printed a line before it is answered."""
        if isinstance(message, Returned | Raised):
            self.feed(Printed(message.run, [LogLine(self.world.now, "stdout", "a line")]), PeerId(worker.name))
        self.feed(message, PeerId(worker.name))

    def worker_gone(self, worker: SimulatedWorker, how: str, begun: list[int]) -> None:
        """Reap a worker process."""
        if self.workers.get(worker.name) is worker:
            del self.workers[worker.name]
        for offset in [offset for offset, (owner, _) in self.arena.items() if owner == worker.name]:
            del self.arena[offset]
        self.feed(e.WorkerExited(worker.name, worker.pid, how, begun, ["its last line"]))

    def queue_lost(self, worker: SimulatedWorker) -> None:
        """Lose the call that a dying worker may have taken and not yet begun."""
        if self.queue.runs and self.random.random() < self.behaviour.lost_datagram:
            self.queue.runs.popleft()

    def _dispatch(self, instruction: e.Dispatch) -> None:
        compute = instruction.compute
        inputs, bad = [], []
        for dependency in compute.dependencies:
            stored = self.store.get(dependency.key, dependency.attempt)
            if stored is None or stored.is_spoiled:
                bad.append(dependency.key)
            else:
                inputs.append((dependency.key, Place(stored.data)))
        if bad:
            self.after(0.0, self.feed, e.DispatchFailed(instruction.run, bad, "can't be read"))
            return
        self.after(REPLY, self._enqueue, make_run(instruction.run, compute, inputs), instruction.worker)

    def _enqueue(self, run: Any, name: WorkerName | None) -> None:
        """Put a call into a kernel's queue; free threads race for it."""
        if name is not None:
            worker = self.workers.get(name)
            if worker is not None:
                worker.own.runs.append(run)
                worker.look()
            return
        self.queue.runs.append(run)
        workers = list(self.workers.values())
        self.random.shuffle(workers)
        for worker in workers:
            worker.look()

    def _read_slots(self) -> None:
        running = {
            name: [number for number, running in worker.running.items() if running.has_begun]
            for name, worker in self.workers.items()
            if worker.is_alive
        }
        head = self.queue.runs[0].run if self.queue.runs else 0
        self.feed(e.SlotsRead(running, head))

    def _measure(self) -> None:
        """Feed what a shell measures."""
        self.after(self.cluster.settings.tick_interval, self._measure)
        limit = self.info.memory_limit
        held = min(limit // 2, sum(stored.nbytes for stored in self.store.values()))  # the rest is on disk
        if self.world.now < self.pressed_until:
            held = int(0.9 * limit)
        self._report(held, {})

    def bloat(self, worker: SimulatedWorker) -> None:
        """Measure that a worker has grown over its limit."""
        self._report(0, {worker.name: 2 * WORKER_MEMORY})

    def _report(self, held: int, memory: dict[WorkerName, int]) -> None:
        workers = {
            str(name): (0.0 if worker.is_stopped else 0.5, memory.get(name, WORKER_MEMORY // 2), len(worker.running))
            for name, worker in self.workers.items()
        }
        slots = {
            name: [number for number, running in worker.running.items() if running.has_begun]
            for name, worker in self.workers.items()
        }
        states = {name: "T" for name, worker in self.workers.items() if worker.is_stopped}
        metrics = HostMetrics(store_bytes=held, workers=workers, time=self.world.now)
        self.feed(e.Measured(metrics, slots, states=states))

    # The store

    def _store_inline(self, instruction: e.StoreInline) -> None:
        self.store.put(instruction.key, Stored(instruction.attempt, len(instruction.data), instruction.data))

    def _adopt(self, instruction: e.AdoptResult) -> None:
        _, data = self.arena.pop(instruction.offset)
        self.store.put(instruction.key, Stored(instruction.attempt, sum(instruction.sizes), data))

    def _give_back(self, offset: int) -> None:
        self.arena.pop(offset)

    def _free(self, instruction: e.FreeFromStore) -> None:
        self.store.free(instruction.key, instruction.attempt)

    def write(self, worker: WorkerName, data: bytes) -> int:
        """Let a worker write a result into its part of the arena."""
        self.next_offset += 4096
        self.arena[self.next_offset] = (worker, data)
        return self.next_offset

    def read(self, key: Key, attempt: int) -> Stored | None:
        """Return a result to a reader of another process; one that turns out to be unreadable is gone."""
        stored = self.store.get(key, attempt)
        if stored is not None and stored.is_spoiled:
            self.store.free(key, stored.attempt)
            self.feed(e.DataUnreadable(key, stored.attempt, "its checksum is wrong"))
            return None
        return stored

    def put(self, key: Key, attempt: int, nbytes: int) -> None:
        """Let a client place a value."""
        data = calls.write_value(calls.scattered_value(key), nbytes)
        self.store.put(key, Stored(attempt, nbytes, data))
        self.feed(e.DataStored(HeldData(key, attempt, nbytes)))

    def leftovers(self) -> dict[str, Any]:
        """Return what must be empty when nobody wants anything."""
        state = self.machine.state
        names = (
            "tasks",
            "ready",
            "alone",
            "runs",
            "withdrawing",
            "interrupting",
            "suspects",
            "data",
            "shadowed",
            "fetches",
            "calls",
        )
        left: dict[str, Any] = {name: list(getattr(state, name)) for name in names}
        return left | {"store": list(self.store), "arena": list(self.arena), "queue": list(self.queue.runs)}

    # Between hosts

    def _fetch(self, instruction: e.Fetch) -> None:
        delay = self.cluster.fetch_delay(self.random)
        for key, attempt in instruction.data:
            delay += self.random.random() * self.behaviour.fetch
            self.after(delay / 2, self._fetch_one, instruction.host, key, attempt, delay / 2)

    def _fetch_one(self, host: HostInfo, key: Key, attempt: int, delay: float) -> None:
        """Read a result over there; it arrives later."""
        other = self.cluster.reach(self, host.host)
        if other is None or self.random.random() < self.behaviour.failed_fetch:
            self.cluster.witness.data_endangered([key])  # the scheduler has to take it for lost
            self.after(delay, self.feed, e.DataFetched(key, host.host, None, "it can't be reached"))
            return
        stored = other.read(key, attempt)
        if stored is None:
            self.after(delay, self.feed, e.DataFetched(key, host.host, None, "it isn't there"))
            return
        self.after(delay, self._fetched, host, key, msgspec.structs.replace(stored), 2 * delay)

    def _fetched(self, host: HostInfo, key: Key, stored: Stored, seconds: float) -> None:
        self.store.put(key, stored)
        self.feed(e.Transferred(host.host, stored.nbytes, seconds, 1))
        self.feed(e.DataFetched(key, host.host, HeldData(key, stored.attempt, stored.nbytes)))
