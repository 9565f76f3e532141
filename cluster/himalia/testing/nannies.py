"""A simulated nanny process: the real machine, store, room and exchange, with simulated memory, peers and workers.

It performs what ``nanny/events.py`` defines and owes the machine exactly what is written there, as ``nanny/shell.py``
does; it answers readers as ``comm/data/server.py`` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from himalia.comm.data.layout import PAGE, range_length
from himalia.errors import StoreDamagedError, StoreFullError
from himalia.machine import Send
from himalia.messages.answers import ProcessLogs, ProfileSamples, Reply
from himalia.messages.nanny import Withdraw
from himalia.messages.parts import HeldData, HostInfo
from himalia.messages.telemetry import HostMetrics, LogLine
from himalia.messages.worker import Place
from himalia.names import SCHEDULER, HostId, Key, PeerId, WorkerName
from himalia.nanny import events as e
from himalia.nanny.exchange import Exchange
from himalia.nanny.machine import NannyMachine
from himalia.nanny.store.readers import WORKERS
from himalia.nanny.store.room import Request
from himalia.nanny.store.store import Store
from himalia.testing.memory import SimulatedArena, SimulatedDisk
from himalia.testing.pool import SimulatedPool
from himalia.testing.process import Process
from himalia.testing.workers import SimulatedWorker
from himalia.testing.world import SimulationError

if TYPE_CHECKING:
    from himalia.testing.cluster import SimulatedCluster


WORKER_MEMORY: Final = 100_000_000
"""Bytes a simulated worker may use by itself."""
TURN: Final = 0.002
"""Seconds at most until the loop's next turn: a busy nanny's are that long."""
WRITING: Final = 0.01
"""Seconds at most that a client writes to its range: as long as a frame of its own may be delayed, so
that either comes first."""
PRESENCE: Final = 1.0
"""Seconds at most until a nanny sees that a reader is gone."""
SILENT: Final = 0.3
"""Probability that whoever reads from a dead host is never told: a stopped process whose connections stay up."""
STOPPED_WITHIN: Final = 2.5
"""Seconds within which a call has to be gone from the workers, once its nanny knows that nobody wants it: 2 s are
promised, and a look may be late."""

Answer = Callable[["Value | None"], None]


class Value:
    """What a reader was given: an attempt's bytes, and their offset if it maps them."""

    __slots__ = ("attempt", "memory", "offset")

    def __init__(self, attempt: int, memory: bytes | memoryview, offset: int = -1) -> None:
        self.attempt = attempt
        self.memory = memory
        self.offset = offset


class NannyProcess(Process):
    """A nanny and its host.

    Parameters
    ----------
    cluster : SimulatedCluster
    number : int
        Its host's number in the plan.
    me : PeerId
    """

    machine: NannyMachine

    def __init__(self, cluster: SimulatedCluster, number: int, me: PeerId) -> None:
        plan = cluster.plan.hosts[number]
        self.number = number
        self.behaviour = cluster.plan.behaviour
        limit = self.behaviour.memory
        self.memory = SimulatedArena(limit, lambda reader: cluster.maps_something(reader, me))
        self.disk = SimulatedDisk(self.behaviour.disk, cluster.witness.disk_is_full)
        self.store = Store(
            directory="",
            limit=limit,
            settings=cluster.settings,
            arena=self.memory,
            disk=self.disk,
            clock=lambda: cluster.world.now,
        )
        self.exchange = Exchange(
            self.store,
            # A turn takes its time: what comes between two steps is what goes wrong.
            lambda function: self.after(TURN * self.random.random(), function),
            # Monotonic clocks of two processes have nothing to do with each other.
            lambda: cluster.world.now + self.skew,
        )
        # In the place of driver.py: it feeds the machine as that does.
        self.exchange.driver = self
        machine = f"machine-{number if plan.machine < 0 else f'm{plan.machine}'}"
        self.info = HostInfo(
            host=HostId(me),
            # Each start has another one, as real ports are: who keeps an old address meets nobody.
            address=f"tcp://10.0.0.{number}:{4000 + cluster.started}",
            hostname=machine,
            pid=cluster.started,
            machine=machine,
            arena="",
            memory_limit=limit,
            local_directory="/tmp",
            name=f"host-{number}",
        )
        self.pool = self.exchange.pool = SimulatedPool(self)
        self.placing: dict[PeerId, list[_Placing]] = {}
        """Values that clients write or wait to write."""
        self.streams: list[Callable[[], None]] = []
        """What ends each transfer under way."""
        self.withdrawn: dict[tuple[Key, int], float] = {}
        """Attempts that nobody wants any more, and since when."""
        self.attempts: dict[int, tuple[Key, int]] = {}
        """Run → key and attempt."""
        super().__init__(
            cluster,
            me,
            "nanny",
            NannyMachine(
                self.info,
                cluster.settings,
                nworkers=plan.workers,
                nthreads=plan.threads,
                worker_memory=WORKER_MEMORY,
                resources=plan.resources,
            ),
        )
        pool, exchange = self.pool, self.exchange
        self.perform |= {
            e.StartWorker: pool.start,
            e.StopWorker: pool.stop,
            e.KillWorker: lambda instruction: pool.kill(instruction.name),
            e.SendToWorker: lambda instruction: exchange.send(instruction.worker, instruction.message),
            e.Dispatch: self._dispatch,
            e.Recall: lambda instruction: pool.recalled.add(instruction.run),
            e.Unrecall: lambda instruction: pool.recalled.discard(instruction.run),
            e.RunLost: exchange.run_lost,
            # Not at once: calls may begin or end between the question and the look.
            e.ReadSlots: lambda instruction: self.after(self.random.random() * 1e-4, exchange.read_slots, instruction),
            e.StoreInline: self._store_inline,
            e.AdoptResult: self._adopt,
            e.HandBack: self._hand_back,
            e.FreeFromStore: self._free,
            e.LoadInputs: exchange.loader.load,
            e.Unload: exchange.loader.unload,
            e.Fetch: self._fetch,
            e.KeepLines: lambda instruction: None,
            e.AnswerLogs: self._answer_logs,
            e.AnswerProfile: self._answer_profile,
            e.Exit: lambda instruction: self.end(instruction.reason),
        }
        self.feed(e.NannyStarted())
        self.comm.connect(SCHEDULER, cluster.settings.host_lease)
        self._measure()

    @property
    def workers(self) -> dict[WorkerName, SimulatedWorker]:
        """The processes there are."""
        return self.pool.workers

    def kill(self) -> None:
        """End the nanny and, as the kernel does for it, its workers."""
        if self.is_alive:
            for worker in self.workers.values():
                # Nobody reaps them, and nobody hears of it: their nanny is gone.
                worker.is_alive = False
            super().kill()
            self.cluster.nanny_died(self)

    def end(self, reason: str) -> None:
        """End after the last worker, as the machine said."""
        if self.is_alive:
            super().end(reason)
            self.cluster.nanny_died(self)

    def feed(self, event: object, source: PeerId = PeerId("")) -> None:  # noqa: B008  # a NewType call is a constant
        """See :class:`Process`; note what nobody wants any more."""
        if event.__class__ is Withdraw and event.interrupt:
            # The first time counts: saying it again must not give it more time.
            self.withdrawn.setdefault((event.key, event.attempt), self.world.now)
        super().feed(event, source)

    def _answer_logs(self, instruction: e.AnswerLogs) -> None:
        logs = {str(name): [LogLine(0.0, "stdout", "a line")] for name in self.workers}
        self._send(Send(SCHEDULER, Reply(instruction.request, ProcessLogs(logs))))

    def _answer_profile(self, instruction: e.AnswerProfile) -> None:
        self._send(Send(SCHEDULER, Reply(instruction.request, ProfileSamples({}))))

    # Workers

    def _dispatch(self, instruction: e.Dispatch) -> None:
        self.attempts[instruction.run] = instruction.compute.key, instruction.compute.attempt
        self.exchange.dispatch(instruction)

    def _measure(self) -> None:
        """Feed what a shell measures, and look at who waits for room."""
        self.after(self.cluster.settings.tick_interval, self._measure)
        self._report({})
        self._relieve()
        self.store.ease()
        self.exchange.tick()
        self.store.validate()
        self._check_mapped()
        self._check_withdrawn()

    def _relieve(self) -> None:
        if self.store.relieve():
            self.after(0.0, self._relieve)

    def bloat(self, worker: SimulatedWorker) -> None:
        """Measure that a worker has grown over its limit."""
        self._report({worker.name: 2 * WORKER_MEMORY})

    def _report(self, memory: dict[WorkerName, int]) -> None:
        metrics = HostMetrics(
            store_bytes=self.store.nbytes,
            spilled_bytes=self.store.spilled,
            workers=self.pool.metrics(WORKER_MEMORY // 2, memory),
            time=self.world.now,
            use=self.exchange.use(),
        )
        states = {name: "T" for name, worker in self.workers.items() if worker.is_stopped}
        slots, moves, exchange = self.pool.all_running(), self.store.moves.take(), self.exchange
        self.feed(e.Measured(metrics, slots, moves, exchange.unwritten(), states, exchange.unread()))

    def _check_mapped(self) -> None:
        """See whether clients keep more in memory than they may: the rest has to be able to move."""
        total = sum(nbytes for reader, nbytes in self.store.mapped.items() if reader != WORKERS)
        if total > self.store.mapped_limit:
            raise SimulationError(f"clients map {total} bytes of {self.me}, of {self.store.mapped_limit} that they may")

    def _check_withdrawn(self) -> None:
        """See whether workers still run what nobody wants."""
        for worker in self.workers.values():
            # A stopped one can do nothing about it; that its nanny replaces it is checked by what is left at the end.
            for run in worker.begun() if worker.is_alive and not worker.is_stopped else ():
                since = self.withdrawn.get(self.attempts[run])
                if since is not None and self.world.now - since > STOPPED_WITHIN:
                    key, _ = self.attempts[run]
                    raise SimulationError(
                        f"{worker.name} still runs {key}, {self.world.now - since:.1f} s after its end"
                    )

    # The store

    def _store_inline(self, instruction: e.StoreInline) -> None:
        self.store.put_inline(instruction.key, instruction.attempt, instruction.data)

    def _adopt(self, instruction: e.AdoptResult) -> None:
        owner = self.pool.owner(instruction.worker)
        self.store.adopt(instruction.key, instruction.attempt, owner, instruction.offset, instruction.sizes)

    def _hand_back(self, instruction: e.HandBack) -> None:
        ranges = [(instruction.offset, range_length(instruction.sizes))]
        self.store.hand_back(self.pool.owner(instruction.worker), ranges)

    def _free(self, instruction: e.FreeFromStore) -> None:
        self.store.free(instruction.key, instruction.attempt)

    def spoil(self, share: float) -> None:
        """Move to disk what can move, and damage that share of it there."""
        # All that can move: only what is on disk can be damaged.
        while self.store.make_room(self.store.limit // PAGE * PAGE):
            pass
        self.disk.spoil(self.random, share)

    # Readers and writers: see ``comm/data/server.py``

    def put(self, writer: PeerId, key: Key, attempt: int, data: bytes, done: Callable[[bool], None]) -> None:
        """Let a client place a value; ``done`` is told whether there was room."""
        if len(data) <= self.cluster.settings.inline_limit:
            self.store.put_inline(key, attempt, data)
            self._placed(writer, key, attempt, len(data), done)
        else:
            placing = _Placing(self, writer, key, attempt, data, done)
            self.placing.setdefault(writer, []).append(placing)
            placing.ask()

    def _placed(self, writer: PeerId, key: Key, attempt: int, nbytes: int, done: Callable[[bool], None]) -> None:
        # The machine first: it knows of a value before its writer announces it.
        self.feed(e.DataStored(HeldData(key, attempt, nbytes), writer))
        done(True)

    def read(self, reader: PeerId, key: Key, attempt: int, delay: float, answer: Answer, *, may_map: bool) -> None:
        """Give a reader a value, or ``None``, in ``delay`` seconds: a mapping at once, a stream meanwhile."""
        store = self.store
        held = store.get(key, attempt)
        if held is None:
            self.world.call_later(delay, answer, None)
            return
        try:
            if store.is_small(key, attempt) or (may_map and store.may_map(key, reader, attempt)):
                # Counted as mapped from here, though it arrives later: so does the real one.
                place = store.place(key, reader, attempt)
                offset = place.offset if place.inline is None else -1
                self.world.call_later(delay, answer, Value(held.attempt, self._memory(place), offset))
                return
            _, pieces, done = store.stream(key, attempt)
        except StoreDamagedError as error:
            self._damaged(error)
            self.world.call_later(delay, answer, None)
            return
        # Pinned until it has arrived; a pin that nobody ends shows among the leftovers.
        self.streams.append(done)

        def stream() -> None:
            if not self.is_alive:
                answer(None)
                return
            self.streams.remove(done)
            value = None
            try:
                # Read now and not when it was asked for: what is given up meanwhile has to stay until here.
                value = Value(held.attempt, b"".join(pieces))
            except StoreDamagedError as error:
                self._damaged(error)
            done()
            answer(value)

        self.world.call_later(delay, stream)

    def _memory(self, place: Place) -> bytes | memoryview:
        return place.inline if place.inline is not None else self.memory.map(place.offset, place.sizes[0])

    def _damaged(self, error: StoreDamagedError) -> None:
        self.feed(e.DataUnreadable(Key(error.key), error.attempt, "damaged on disk"))

    def unmap(self, reader: PeerId, offset: int) -> None:
        """Take a reader's word that it maps a range no more."""
        if self.is_alive:
            self.store.unmap(reader, [offset])

    def reader_gone(self, reader: PeerId) -> None:
        """Let go of what a process had that ended."""
        if self.is_alive:
            for placing in self.placing.pop(reader, []):
                placing.give_up()
            self.feed(e.WriterGone(reader))
            if not self.store.is_reading(reader):
                self.store.release_owner(reader)

    def leftovers(self) -> dict[str, object]:
        """What must be empty when nobody wants anything."""
        state = self.machine.state
        names = (
            "tasks",
            "ready",
            "alone",
            "runs",
            "withdrawing",
            "interrupting",
            "suspects",
            "fetches",
            "calls",
        )
        left: dict[str, object] = {name: list(getattr(state, name)) for name in names}
        left |= {"held": state.held.all(), "reserved": list(state.reserved.inputs)}
        return left | self.pool.leftovers() | self._kept()

    def _kept(self) -> dict[str, object]:
        """What the store still keeps; what workers were granted ahead is theirs until they need it."""
        store = self.store
        return {
            "store": list(store.inventory()),
            "bytes in memory": store.nbytes,
            "bytes on disk": store.spilled or self.disk.used,
            "mappings": dict(store.mapped),
            "waiting for room": len(self.exchange.room),
            "loading": self.exchange.loader.jobs,
            "placing": [placing for placings in self.placing.values() for placing in placings],
            "streams": self.streams,
            "granted": store.granted - sum(worker.space.granted_bytes for worker in self.workers.values()),
        }

    # Between hosts

    def _fetch(self, instruction: e.Fetch) -> None:
        delay = self.cluster.fetch_delay(self.random)
        for key, attempt in instruction.data:
            # One after the other: they share a connection.
            delay += self.random.random() * self.behaviour.fetch
            self.after(delay / 2, self._fetch_one, instruction.host, key, attempt, delay / 2)

    def _fetch_one(self, host: HostInfo, key: Key, attempt: int, delay: float) -> None:
        """Read a result over there; it arrives later."""
        other = self.cluster.reach(self, host.host)
        # Only of a dead one: the end of its lease ends this wait as well.
        if other is None and self.random.random() < SILENT and not self.cluster.lives(host.host):
            return
        if other is None or self.random.random() < self.behaviour.failed_fetch:
            self.cluster.witness.data_endangered([key])  # the scheduler has to take it for lost
            self.after(delay, self.feed, e.DataFetched(key, host.host, None, "it can't be reached"))
            return

        def arrived(value: Value | None) -> None:
            if not self.is_alive:
                return
            if value is None:
                self.cluster.witness.data_endangered([key])
                self.feed(e.DataFetched(key, host.host, None, "it isn't there"))
            else:
                self._keep(host, key, value.attempt, bytes(value.memory), 2 * delay)

        other.read(self.me, key, attempt, delay, arrived, may_map=False)

    def _keep(self, host: HostInfo, key: Key, attempt: int, data: bytes, seconds: float) -> None:
        """Put what was fetched into the store, once there is room."""
        if len(data) <= self.cluster.settings.inline_limit:
            self.store.put_inline(key, attempt, data)
            self._kept_one(host, key, attempt, len(data), seconds)
            return

        def granted(offset: int, length: int) -> None:
            # Written when there is room, with what was read before: the other host may be gone by now.
            self.store.writable(self.me, offset, length)[: len(data)] = data
            self.store.adopt(key, attempt, self.me, offset, [len(data)])
            self._kept_one(host, key, attempt, len(data), seconds)

        def refused(error: StoreFullError) -> None:
            self.feed(e.DataFetched(key, host.host, None, str(error), True))

        self.exchange.room.ask(self.me, range_length([len(data)]), granted, refused, what=key)

    def _kept_one(self, host: HostInfo, key: Key, attempt: int, nbytes: int, seconds: float) -> None:
        self.feed(e.Transferred(host.host, nbytes, seconds, 1))
        self.feed(e.DataFetched(key, host.host, HeldData(key, attempt, nbytes)))


class _Placing:
    """A value that a client writes to a range of the arena."""

    def __init__(
        self, nanny: NannyProcess, writer: PeerId, key: Key, attempt: int, data: bytes, done: Callable[[bool], None]
    ) -> None:
        self.nanny = nanny
        self.writer = writer
        self.key = key
        self.attempt = attempt
        self.data = data
        self.done = done
        self.request: Request | None = None
        self.granted: tuple[int, int] | None = None
        self.is_over = False

    def __repr__(self) -> str:
        return f"{self.key} of {self.writer}"

    def ask(self) -> None:
        """Ask for room."""
        room, length = self.nanny.exchange.room, range_length([len(self.data)])
        self.request = room.ask(self.writer, length, self._has_room, lambda error: self._end(False))

    def give_up(self) -> None:
        """The writer is gone: give back what it had."""
        self.is_over = True
        if self.granted is not None:
            self.nanny.store.hand_back(self.writer, [self.granted])
        # Still in the queue: a grant to a process that is gone would stay for good.
        elif self.request is not None:
            self.nanny.exchange.room.forget(self.request)

    def _has_room(self, offset: int, length: int) -> None:
        self.granted = offset, length
        self.nanny.after(WRITING * self.nanny.random.random(), self._write)

    def _write(self) -> None:
        if self.is_over:
            return
        assert self.granted is not None
        offset, length = self.granted
        self.nanny.store.writable(self.writer, offset, length)[: len(self.data)] = self.data
        self.nanny.store.adopt(self.key, self.attempt, self.writer, offset, [len(self.data)])
        self.nanny.feed(e.DataStored(HeldData(self.key, self.attempt, len(self.data)), self.writer))
        self._end(True)

    def _end(self, is_stored: bool) -> None:
        self.is_over = True
        # None if its writer is gone, and this one was taken out with all of its.
        placings = self.nanny.placing.get(self.writer)
        if placings is not None:
            placings.remove(self)
            if not placings:
                del self.nanny.placing[self.writer]
        self.done(is_stored)
