"""The nanny process: its session with the scheduler, its store, its data listener, its workers.  It decides nothing.

What the machine owes an answer to is listed in ``nanny/events.py``; each instruction is a method here, or of
``exchange.py`` if it is for the workers.
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
from collections.abc import Callable, Coroutine
from typing import Any, Final

from himalia import system
from himalia.bounds import TEXT_LENGTH
from himalia.bucket import Complaints
from himalia.comm.data.client import DataClient
from himalia.comm.data.layout import range_length
from himalia.comm.data.server import DataServer
from himalia.comm.endpoint import Endpoint
from himalia.comm.security import Credentials, ServerCertificate, make_certificate
from himalia.driver import Driver
from himalia.errors import HimaliaError, StartError, StoreFullError
from himalia.machine import Performers
from himalia.messages.answers import ProcessLogs, ProfileSamples, Reply
from himalia.messages.nanny import SchedulerToNanny
from himalia.messages.parts import Close, HeldData, HostInfo
from himalia.messages.telemetry import LogLine
from himalia.names import SCHEDULER, HostId, Key, new_incarnation
from himalia.nanny import events
from himalia.nanny.config import NannyConfig
from himalia.nanny.exchange import Exchange
from himalia.nanny.machine import NannyMachine
from himalia.nanny.meter import Meter
from himalia.nanny.output import newest
from himalia.nanny.paths import resolve
from himalia.nanny.processes import WorkerPool
from himalia.nanny.profiling.profiler import Profiler
from himalia.nanny.store.store import Store
from himalia.private import make_parents
from himalia.run import answer

logger = logging.getLogger("himalia.nanny")

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
        self.exchange = Exchange(self.store, self.loop.call_soon, time.monotonic)
        self.pool = self.exchange.pool = WorkerPool(config, self.store.path, self.exchange)
        self.meter = Meter(self.pool, self.store, self.exchange, config.settings.heartbeat_interval)
        self.profiler = Profiler(self.pool, directory, config.settings)
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
            room=self.exchange.room,
            stored=lambda held, writer: self.driver.feed(events.DataStored(held, writer)),
            gone=lambda writer: self.driver.feed(events.WriterGone(writer)),
            damaged=lambda key, attempt: self.driver.feed(events.DataUnreadable(key, attempt, "damaged on disk")),
        )
        self.tasks: set[asyncio.Task[None]] = set()
        """Fetches and questions to the profiler under way."""
        self.timer: asyncio.TimerHandle | None = None
        self.log: deque[LogLine] = deque(maxlen=config.settings.log_lines)
        self.log_handler = _Lines(self.log)
        self.complaints = Complaints(logger)
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
            directory=config.cwd,
            sys_path=config.sys_path or [],
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
        self.exchange.driver = self.driver
        self.endpoint = Endpoint(
            me=self.me,
            role="nanny",
            credentials=self.credentials,
            unions={"scheduler": SchedulerToNanny},
            handler=self.driver,
            settings=config.settings,
            welcomed=lambda peer: self.data_server.admit_clients(peer.holder_key) if peer.holder_key else None,
        )
        self.driver.feed(events.NannyStarted())
        self.driver.attach(self.endpoint)
        interval = config.settings.tick_interval
        self.timer = self.loop.call_later(interval, self._measure, self.loop.time() + interval)
        await self._join()
        return info

    async def _join(self) -> None:
        """Connect to the first of the scheduler's addresses that answers, unless this nanny has to end first."""
        config = self.config
        connecting = asyncio.ensure_future(
            self.endpoint.connect_any(config.scheduler, alias=SCHEDULER, timeout=config.timeout)
        )
        waiting: list[asyncio.Future[Any]] = [connecting, self.exited]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not connecting.done():
            connecting.cancel()
            raise StartError(self.exited.result().reason)
        connecting.result()

    async def close(self) -> None:
        """Leave nothing behind."""
        logging.getLogger("himalia").removeHandler(self.log_handler)
        if self.timer is not None:
            self.timer.cancel()
        if hasattr(self, "driver"):
            self.driver.stop()
            await self.endpoint.close()
        for task in self.tasks:
            task.cancel()
        self.profiler.close()
        self.data_client.close()
        self.data_server.close()
        self.pool.close()
        self.store.close()

    def _performers(self) -> Performers:
        pool, exchange = self.pool, self.exchange
        return {
            events.StartWorker: lambda instruction: pool.start(instruction.name, instruction.index),
            events.StopWorker: lambda instruction: pool.stop(instruction.name),
            events.KillWorker: lambda instruction: pool.kill(instruction.name),
            events.SendToWorker: lambda instruction: exchange.send(instruction.worker, instruction.message),
            events.Dispatch: exchange.dispatch,
            events.Recall: lambda instruction: pool.slots.recall(instruction.run),
            events.Unrecall: lambda instruction: pool.slots.unrecall(instruction.run),
            events.RunLost: exchange.run_lost,
            events.ReadSlots: exchange.read_slots,
            events.StoreInline: self._store_inline,
            events.AdoptResult: self._adopt,
            events.HandBack: self._hand_back,
            events.FreeFromStore: self._free,
            events.LoadInputs: exchange.loader.load,
            events.Unload: exchange.loader.unload,
            events.Fetch: self._fetch,
            events.KeepLines: self._keep_lines,
            events.AnswerLogs: self._answer_logs,
            events.AnswerProfile: self._answer_profile,
            events.Exit: self._exit,
        }

    # The store

    def _store_inline(self, instruction: events.StoreInline) -> None:
        self.store.put_inline(instruction.key, instruction.attempt, instruction.data)

    def _adopt(self, instruction: events.AdoptResult) -> None:
        owner = self.pool.owner(instruction.worker)
        try:
            self.store.adopt(instruction.key, instruction.attempt, owner, instruction.offset, instruction.sizes)
        except ValueError as error:
            self.complaints.write(self.loop.time(), "a result of a worker can't be kept: %s", error)
            self.driver.feed(events.DataUnreadable(instruction.key, instruction.attempt, str(error)))

    def _hand_back(self, instruction: events.HandBack) -> None:
        ranges = [(instruction.offset, range_length(instruction.sizes))]
        self.store.hand_back(self.pool.owner(instruction.worker), ranges)

    def _free(self, instruction: events.FreeFromStore) -> None:
        self.store.free(instruction.key, instruction.attempt)

    def _fetch(self, instruction: events.Fetch) -> None:
        self._begin(self._fetch_all(instruction.host, instruction.data))

    async def _fetch_all(self, host: HostInfo, data: list[tuple[Key, int]]) -> None:
        reason = "it isn't there"
        results: dict[Key, HeldData | StoreFullError | None] = {}
        began = self.loop.time()
        try:
            results = await self.data_client.fetch(host, data, self.store, self.exchange.room)
        except (HimaliaError, OSError) as error:
            reason = str(error)
            text = "%d inputs could not be fetched from %s: %s"
            self.complaints.write(self.loop.time(), text, len(data), host.address, error, level=logging.WARNING)
            self.data_client.forget(host.host)
        sizes = [held.nbytes for held in results.values() if isinstance(held, HeldData)]
        if sizes:
            self.driver.feed(events.Transferred(host.host, sum(sizes), self.loop.time() - began, len(sizes)))
        for key, _ in data:
            held = results.get(key)
            if isinstance(held, HeldData):
                self.driver.feed(events.DataFetched(key, host.host, held))
            else:
                is_full = isinstance(held, StoreFullError)
                self.driver.feed(events.DataFetched(key, host.host, None, str(held or reason), is_full))

    # The rest

    def _measure(self, due: float) -> None:
        """Measure, and move to disk what is over the target."""
        now = self.loop.time()
        interval = self.config.settings.tick_interval
        self.driver.feed(self.meter.measure(max(0.0, now - due)))
        self._relieve()
        self.store.ease()
        self.exchange.tick()
        self.pool.reap_orphans()
        self.profiler.tick()
        self.timer = self.loop.call_later(interval, self._measure, now + interval)

    def _relieve(self) -> None:
        """Move some results to disk, in steps between which the loop looks after everybody else."""
        if not self.exited.done() and self.store.relieve():
            self.loop.call_soon(self._relieve)

    def _keep_lines(self, instruction: events.KeepLines) -> None:
        lines, dropped = instruction.lines, instruction.dropped
        if dropped:
            note = f"himalia: {dropped} more lines were dropped"
            lines = [*lines, LogLine(time.time(), "stderr", note, instruction.key)]
        self.pool.keep(instruction.worker, lines)

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
        self.endpoint.send(SCHEDULER, Reply(instruction.request, ProcessLogs(newest(logs))))

    def _answer_profile(self, instruction: events.AnswerProfile) -> None:
        self._begin(self._ask_profiler(instruction))

    async def _ask_profiler(self, instruction: events.AnswerProfile) -> None:
        samples, problem = await self.profiler.answer(instruction.since, instruction.workers)
        answer = None if problem else ProfileSamples(samples)
        self.endpoint.send(SCHEDULER, Reply(instruction.request, answer, problem))

    def _begin(self, work: Coroutine[object, object, None]) -> None:
        """Do something that waits, until it is done or this process ends."""
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _exit(self, instruction: events.Exit) -> None:
        if not self.exited.done():
            self.exited.set_result(instruction)


class _Lines(logging.Handler):
    """Keeps the nanny's own last lines."""

    def __init__(self, lines: deque[LogLine]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """See :class:`logging.Handler`."""
        self._lines.append(LogLine(record.created, record.levelname, self.format(record)[:TEXT_LENGTH]))


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
    config = resolve(config)
    if config.local_directory:
        make_parents(config.local_directory)
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
