"""The nanny process: its session with the scheduler, its store, its data listener, its workers.  It decides nothing.

What the machine owes an answer to is listed in ``nanny/events.py``; each instruction is a method here.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import tempfile
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from himalia import system
from himalia.comm.data import DataClient, DataServer
from himalia.comm.endpoint import Endpoint
from himalia.comm.mapping import range_length
from himalia.comm.security import Credentials, ServerCertificate, make_certificate
from himalia.driver import Driver
from himalia.errors import HimaliaError, StartError, StoreDamagedError, StoreFullError, UnreachableError
from himalia.messages import (
    Close,
    GrantSpace,
    HeldData,
    HostInfo,
    LogLine,
    NannyToWorker,
    NeedSpace,
    Place,
    Printed,
    Raised,
    Reply,
    Returned,
    Run,
    SchedulerToNanny,
    Stored,
    Unmapped,
    WorkerToNanny,
)
from himalia.names import SCHEDULER, HostId, Key, PeerId, WorkerName, new_incarnation
from himalia.nanny import events
from himalia.nanny.config import NannyConfig
from himalia.nanny.machine import NannyMachine
from himalia.nanny.measure import Meter
from himalia.nanny.output import OutgoingLines
from himalia.nanny.profiling import Profiler
from himalia.nanny.readers import Readers
from himalia.nanny.store import Store
from himalia.nanny.workers import WorkerPool
from himalia.run import answer
from himalia.worker.wiring import DATAGRAM_LIMIT

logger = logging.getLogger("himalia.nanny")

WORKERS: Final = "himalia-workers"
"""How the store knows all workers of this host as readers; see ``readers``."""
SHELL: Final = "himalia-nanny"
"""How the store knows this process as a writer of messages that are too large for a datagram."""
FAREWELL: Final = 3.0
"""Seconds that workers have to end before the nanny does so without them: SIGTERM, one second, SIGKILL, and a rest."""


class NannyShell:
    """One nanny process.

    Parameters
    ----------
    config : NannyConfig
        What it was started with.
    directory : str
        Its own local directory.
    """

    def __init__(self, config: NannyConfig, directory: str) -> None:
        self.config = config
        self.me = new_incarnation("nanny")
        self.loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[events.Exit] = self.loop.create_future()
        memory = system.memory_limit()
        limit = min(config.memory_limit * config.nworkers, memory) or memory
        self.store = Store(directory=directory, limit=limit, settings=config.settings)
        self.directory = directory
        self.pool = WorkerPool(config, self.store.path, self)
        self.meter = Meter(self.pool, self.store, config.settings.heartbeat_interval)
        self.profiler = Profiler(self.pool, directory, config.settings)
        self.readers = Readers()
        self.credentials = Credentials.from_config(config.credentials)
        self.machine_id = system.machine_identity()
        self.data_client = DataClient(
            credentials=self.credentials,
            me=self.me,
            machine=self.machine_id,
            role="data-nanny",
            settings=config.settings,
        )
        self.data_server = DataServer(
            self.store,
            credentials=self.credentials,
            me=self.me,
            stored=lambda held: self.driver.feed(events.DataStored(held)),
            damaged=lambda key, attempt: self.driver.feed(events.DataUnreadable(key, attempt, "damaged on disk")),
        )
        self.encode = msgspec.msgpack.Encoder().encode
        self.decode = msgspec.msgpack.Decoder(WorkerToNanny).decode
        self.stored_messages = 0
        self.stored_runs: dict[int, int] = {}
        """Offset of a run that is too large for a datagram → its number."""
        self.fetches: set[asyncio.Task[None]] = set()
        self.timer: asyncio.TimerHandle | None = None
        self.output = OutgoingLines(lambda message: self.endpoint.send(SCHEDULER, message))
        self.log: deque[LogLine] = deque(maxlen=config.settings.log_lines)
        self.log_handler = _Lines(self.log)
        logging.getLogger("himalia").addHandler(self.log_handler)

    async def open(self) -> HostInfo:
        """Listen for data, start the workers, and join the scheduler; return who we are.

        Raises
        ------
        HimaliaError
            If it can't listen, or the scheduler can't be reached or refuses.
        """
        config = self.config
        certificate = None
        if config.certificate is not None:
            certificate = ServerCertificate.from_config(config.certificate)
        elif config.listen.startswith("tls://"):
            certificate = make_certificate([socket.gethostname()])
        address = await self.data_server.listen(config.listen, certificate)
        info = HostInfo(
            host=HostId(self.me),
            address=address,
            hostname=socket.gethostname(),
            pid=os.getpid(),
            machine=self.machine_id,
            arena=self.store.path,
            memory_limit=self.store.limit,
            local_directory=self.directory,
            fingerprint=certificate.fingerprint if certificate is not None else "",
            name=config.name,
            versions=system.versions(),
        )
        self.machine = NannyMachine(
            info,
            config.settings,
            nworkers=config.nworkers,
            nthreads=config.nthreads,
            worker_memory=config.memory_limit,
            resources=config.resources,
        )
        self.driver = Driver(self.machine, clock=time.monotonic, perform=self._performers())
        self.endpoint = Endpoint(
            me=self.me,
            role="nanny",
            credentials=self.credentials,
            unions={"scheduler": SchedulerToNanny},
            handler=self.driver,
            settings=config.settings,
        )
        self.driver.feed(events.NannyStarted())
        self.driver.attach(self.endpoint)
        interval = config.settings.tick_interval
        self.timer = self.loop.call_later(interval, self._measure, self.loop.time() + interval)
        await self._join()
        return info

    async def _join(self) -> None:
        """Connect to the first of the scheduler's addresses that answers."""
        scheduler = self.config.scheduler
        addresses = [scheduler] if isinstance(scheduler, str) else scheduler
        failure: HimaliaError = StartError("no address of the scheduler was given")
        for address in addresses:
            connecting = asyncio.ensure_future(
                self.endpoint.connect(address, alias=SCHEDULER, timeout=self.config.timeout / len(addresses))
            )
            waiting: list[asyncio.Future[Any]] = [connecting, self.exited]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                connecting.cancel()
                raise StartError(self.exited.result().reason)
            try:
                connecting.result()
                return
            except UnreachableError as error:
                failure = error
        raise failure

    async def close(self) -> None:
        """Leave nothing behind."""
        logging.getLogger("himalia").removeHandler(self.log_handler)
        if self.timer is not None:
            self.timer.cancel()
        if hasattr(self, "driver"):
            self.driver.stop()
            await self.endpoint.close()
        for task in self.fetches:
            task.cancel()
        self.profiler.close()
        self.data_client.close()
        self.data_server.close()
        self.pool.close()
        self.store.close()

    def _performers(self) -> dict[type, Callable[[Any], None]]:
        pool = self.pool
        return {
            events.StartWorker: lambda instruction: pool.start(instruction.name, instruction.index),
            events.StopWorker: lambda instruction: pool.stop(instruction.name),
            events.KillWorker: lambda instruction: pool.kill(instruction.name),
            events.SendToWorker: lambda instruction: self._send_to_worker(instruction.worker, instruction.message),
            events.Dispatch: self._dispatch,
            events.Recall: lambda instruction: pool.recall(instruction.run),
            events.Unrecall: lambda instruction: pool.unrecall(instruction.run),
            events.ReadSlots: self._read_slots,
            events.StoreInline: self._store_inline,
            events.AdoptResult: self._adopt,
            events.HandBack: self._hand_back,
            events.FreeFromStore: self._free,
            events.Fetch: self._fetch,
            events.AnswerLogs: self._answer_logs,
            events.AnswerProfile: self._answer_profile,
            events.Exit: self._exit,
        }

    # Workers

    def worker_said(self, name: WorkerName, messages: list[Any]) -> None:
        """Take a worker's messages; what concerns memory alone is settled here."""
        passed = []
        for message in messages:
            kind = type(message)
            if kind is Stored:
                message = self._read_message(name, message.place)
                kind = type(message)
            if kind is Returned or kind is Raised:
                if self.readers.runs:
                    self.readers.answered(message.run, name)
                if self.output.pending:
                    self.output.finish(self._key_of(message.run))
                passed.append(message)
            elif kind is Printed:
                self._keep_output(name, message)
            elif kind is NeedSpace:
                self._grant(name, message)
            elif kind is Unmapped:
                self.readers.count(name, message.offsets, -1)
                self.store.unmap(WORKERS, message.offsets)
            else:
                passed.append(message)
        if passed:
            self.driver.messages_received(PeerId(name), passed)

    def _keep_output(self, name: WorkerName, message: Printed) -> None:
        """Keep lines of a call, under its key, and tell the scheduler."""
        key = self._key_of(message.run)
        lines = [LogLine(line.time, line.source, line.text, key) for line in message.lines]
        if key:
            self.output.add(key, name, lines, message.dropped, self.loop.time())
        if message.dropped:
            lines.append(LogLine(time.time(), "stderr", f"himalia: {message.dropped} more lines were dropped", key))
        self.pool.keep(name, lines)

    def _key_of(self, run: int) -> Key:
        """Return the call that a run is of, empty if that isn't known."""
        task = self.machine.state.runs.get(run)
        return task.key if task is not None else Key("")

    def worker_gone(self, name: WorkerName, pid: int, exit: str, running: list[int], log: list[str]) -> None:
        """Free what a process held, and tell the machine."""
        self.driver.feed(events.WorkerExited(name, pid, exit, running, log))
        self.store.unmap(WORKERS, self.readers.left(name, running))
        self.store.release_owner(f"{name}/{pid}")

    def _owner(self, name: WorkerName) -> str:
        return self.pool.workers[name].owner

    def _grant(self, name: WorkerName, message: NeedSpace) -> None:
        owner = self._owner(name)
        self.store.hand_back(owner, message.unused)
        try:
            offset, length = self.store.grant(owner, message.nbytes)
            reply = GrantSpace(message.request, offset, length)
        except StoreFullError as error:
            reply = GrantSpace(message.request, 0, 0, str(error))
        self._send_to_worker(name, reply)

    def _send_to_worker(self, name: WorkerName, message: NannyToWorker) -> None:
        data = self.encode(message)
        if len(data) > DATAGRAM_LIMIT:
            try:
                place = self._write_message(data)
            except StoreFullError as error:
                logger.error("a message for %s has no room: %s", name, error)
                return
            self.readers.count(name, [place.offset], 1)
            data = self.encode(Stored(place))
        self.pool.send(name, data)

    def _write_message(self, data: bytes) -> Place:
        """Put a message into the arena, where it stays until whoever reads it has done so."""
        self.stored_messages += 1
        key = Key(f"himalia-message-{self.stored_messages}")
        length = range_length([len(data)])
        offset, _ = self.store.grant(SHELL, length)
        self.store.window(SHELL, offset, length)[: len(data)] = data
        self.store.adopt(key, 0, SHELL, offset, [len(data)])
        place = self.store.place(key, WORKERS)
        self.store.free(key, 0)
        return place

    def _read_message(self, name: WorkerName, place: Place) -> Any:
        """Return a message that a worker put into the arena."""
        key = Key(f"himalia-message-of-{name}")
        self.store.adopt(key, 0, self._owner(name), place.offset, place.sizes)
        message = self.decode(bytes(self.store.views(key)[0]))
        self.store.free(key, 0)
        return message

    def _dispatch(self, instruction: events.Dispatch) -> None:
        compute, number = instruction.compute, instruction.run
        inputs: list[tuple[Key, Place]] = []
        offsets: list[int] = []
        try:
            if compute.dependencies:
                self._place_inputs(instruction, inputs, offsets)
            run = Run(number, compute.key, compute.function, compute.call, compute.argument, inputs, compute.alone)
            data = self.encode(run)
            if len(data) > DATAGRAM_LIMIT:
                place = self._write_message(data)
                offsets.append(place.offset)
                self.stored_runs[place.offset] = number
                data = self.encode(Stored(place))
        except _DispatchError as error:
            self.store.unmap(WORKERS, offsets)
            self.driver.feed(events.DispatchFailed(number, error.unreadable, str(error)))
            return
        except StoreFullError as error:
            self.store.unmap(WORKERS, offsets)
            self.driver.feed(events.DispatchFailed(number, [], str(error)))
            return
        if offsets or self.readers.runs:
            self.store.unmap(WORKERS, self.readers.dispatched(number, compute.key, compute.attempt, offsets))
        if instruction.worker is None:
            self.pool.dispatch(data)
        else:
            self.pool.send(instruction.worker, data)

    def _place_inputs(self, instruction: events.Dispatch, inputs: list[tuple[Key, Place]], offsets: list[int]) -> None:
        unreadable: list[Key] = []
        for dependency in instruction.compute.dependencies:
            try:
                place = self.store.place(dependency.key, WORKERS)
            except KeyError:
                unreadable.append(dependency.key)
                continue
            except StoreDamagedError as error:
                logger.error("%s", error)
                unreadable.append(dependency.key)
                continue
            inputs.append((dependency.key, place))
            if place.inline is None:
                offsets.append(place.offset)
        if unreadable:
            raise _DispatchError(unreadable)

    def _read_slots(self, instruction: events.ReadSlots) -> None:
        head = self.pool.head()
        number = 0
        if isinstance(head, Run):
            number = head.run
        elif head is not None:
            number = self.stored_runs.get(head.place.offset, 1)
        self.driver.feed(events.SlotsRead(self.pool.all_running(), number))

    # The store

    def _store_inline(self, instruction: events.StoreInline) -> None:
        self.store.put_inline(instruction.key, instruction.attempt, instruction.data)

    def _adopt(self, instruction: events.AdoptResult) -> None:
        owner = self._owner(instruction.worker)
        try:
            self.store.adopt(instruction.key, instruction.attempt, owner, instruction.offset, instruction.sizes)
        except ValueError as error:
            logger.error("%s", error)
            self.driver.feed(events.DataUnreadable(instruction.key, instruction.attempt, str(error)))

    def _hand_back(self, instruction: events.HandBack) -> None:
        ranges = [(instruction.offset, range_length(instruction.sizes))]
        self.store.hand_back(self._owner(instruction.worker), ranges)

    def _free(self, instruction: events.FreeFromStore) -> None:
        self.store.free(instruction.key, instruction.attempt)

    def _fetch(self, instruction: events.Fetch) -> None:
        task = self.loop.create_task(self._fetch_all(instruction.host, instruction.keys))
        self.fetches.add(task)
        task.add_done_callback(self.fetches.discard)

    async def _fetch_all(self, host: HostInfo, keys: list[Key]) -> None:
        reason = "it isn't there"
        results: dict[Key, HeldData | StoreFullError | None] = {}
        began = self.loop.time()
        try:
            results = await self.data_client.fetch(host, keys, self.store)
        except (HimaliaError, OSError) as error:
            reason = str(error)
            logger.warning("%d inputs could not be fetched from %s: %s", len(keys), host.address, error)
            self.data_client.forget(host.host)
        sizes = [held.nbytes for held in results.values() if isinstance(held, HeldData)]
        if sizes:
            self.driver.feed(events.Transferred(host.host, sum(sizes), self.loop.time() - began, len(sizes)))
        for key in keys:
            held = results.get(key)
            if isinstance(held, HeldData):
                self.driver.feed(events.DataFetched(key, host.host, held))
            else:
                self.driver.feed(events.DataFetched(key, host.host, None, str(held or reason)))

    # The rest

    def _measure(self, due: float) -> None:
        """Measure, and move to disk what is over the target."""
        now = self.loop.time()
        interval = self.config.settings.tick_interval
        self.driver.feed(self.meter.measure(max(0.0, now - due)))
        self._relieve()
        self.profiler.tick()
        if self.output.pending:
            self.output.flush()
        self.timer = self.loop.call_later(interval, self._measure, now + interval)

    def _relieve(self) -> None:
        """Move some results to disk, in steps between which the loop looks after everybody else."""
        if not self.exited.done() and self.store.relieve():
            self.loop.call_soon(self._relieve)

    def _answer_logs(self, instruction: events.AnswerLogs) -> None:
        wanted = instruction.workers
        kept = {str(name): lines for name, lines in self.pool.logs.items() if wanted is None or name in wanted}
        if wanted is None:
            kept[self.config.name or self.me] = self.log
        key, since = instruction.key, instruction.since
        logs = {
            name: [line for line in lines if line.time > since and (not key or line.key == key)]
            for name, lines in kept.items()
        }
        self.endpoint.send(SCHEDULER, Reply(instruction.request, logs))

    def _answer_profile(self, instruction: events.AnswerProfile) -> None:
        async def answer() -> None:
            samples, problem = await self.profiler.answer(instruction.since, instruction.workers)
            self.endpoint.send(SCHEDULER, Reply(instruction.request, samples, problem))

        task = self.loop.create_task(answer())
        self.fetches.add(task)
        task.add_done_callback(self.fetches.discard)

    def _exit(self, instruction: events.Exit) -> None:
        if not self.exited.done():
            self.exited.set_result(instruction)


class _DispatchError(Exception):
    """Inputs of a call can't be read from the store."""

    def __init__(self, unreadable: list[Key]) -> None:
        super().__init__("can't be read")
        self.unreadable = unreadable


class _Lines(logging.Handler):
    """Keeps the nanny's own last lines."""

    def __init__(self, lines: deque[LogLine]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """See :class:`logging.Handler`."""
        self._lines.append(LogLine(record.created, record.levelname, self.format(record)))


async def serve(config: NannyConfig, stop: asyncio.Event, *, ready: Callable[[HostInfo], None] | None = None) -> int:
    """Run a nanny until its scheduler is gone or closes it, or ``stop`` is set; return the exit code.

    Parameters
    ----------
    config : NannyConfig
    stop : asyncio.Event
        Set from outside (a signal, the leash).
    ready : callable, optional
        Called once it is registered; by default the answer goes to standard output.

    Raises
    ------
    HimaliaError
        If it can't start.
    """
    if config.local_directory:
        os.makedirs(config.local_directory, mode=0o700, exist_ok=True)
    directory = tempfile.mkdtemp(prefix="himalia-nanny-", dir=config.local_directory or None)
    shell = NannyShell(config, directory)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        opening = asyncio.ensure_future(shell.open())
        await asyncio.wait([opening, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not opening.done():
            opening.cancel()
            return 0
        info = opening.result()
        if ready is not None:
            ready(info)
        else:
            answer(ok=True, host=info.host, address=info.address)
        ends: list[asyncio.Future[Any]] = [stopping, shell.exited]
        await asyncio.wait(ends, timeout=config.lifetime or None, return_when=asyncio.FIRST_COMPLETED)
        if not shell.exited.done():
            shell.driver.feed(Close("the nanny was stopped"))
            await asyncio.wait([shell.exited], timeout=FAREWELL)
        if shell.exited.done():
            end = shell.exited.result()
            if end.code:
                logger.error("%s", end.reason)
            return end.code
        return 0
    finally:
        stopping.cancel()
        await shell.close()
        shutil.rmtree(directory, ignore_errors=True)
