"""A client's engine: its session with the scheduler, what it knows of its keys, and how methods wait.

Decides what belongs to a client that is open, and in which order it begins and ends; and whether a method blocks or
hands out an awaitable: an asynchronous client's never block.  Everything else is decided by its parts:

============== ===========================================================================
``shell``       the machine under its lock: submit, hold, watch, drop
``outbox``      what is sent, when and by which thread
``questions``   questions to the scheduler and their answers
``news``        what the scheduler tells of its own accord
``stores``      the hosts, where values are stored and read
``functions``   functions as bytes, and which of them the scheduler has
``callbacks``   the thread for callbacks of users
============== ===========================================================================
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Final, TypeVar

from himalia.client.engine import portal
from himalia.client.engine.awaiting import NOTHING
from himalia.client.engine.callbacks import CallbackThread
from himalia.client.engine.config import EngineConfig
from himalia.client.engine.events import Answer, ForgetHost, HostsKnown, MessageMade
from himalia.client.engine.hosts import Hosts
from himalia.client.engine.news import News
from himalia.client.engine.outbox import Outbox
from himalia.client.engine.questions import Questions
from himalia.client.engine.shell import ClientShell
from himalia.client.engine.state import Record
from himalia.client.engine.timing import within
from himalia.client.packing.functions import FunctionCache
from himalia.client.packing.surroundings import Surroundings
from himalia.comm.data.client import DataClient
from himalia.comm.endpoint import Endpoint
from himalia.errors import ClosedError, HimaliaError
from himalia.machine import Performers
from himalia.messages.answers import A, Question
from himalia.messages.client import ClientToScheduler, SchedulerToClient
from himalia.messages.parts import HostInfo
from himalia.names import SCHEDULER, HostId, Key
from himalia.registry.resolving import Target

logger = logging.getLogger("himalia.client")

T = TypeVar("T")

OPENING: Final = 5.0
"""Seconds that opening may take beyond its time, so that an address says what is wrong, and not the wait.  Guess."""


class Engine:
    """What a client, its futures and all that waits for them share; any thread, if nothing else is said.

    Parameters
    ----------
    config : EngineConfig
    owner : object
        The client; it lives as long as a future of it does.

    Attributes
    ----------
    records : dict of Key to Record
        Every key that this client holds futures of.
    known_hosts : dict of HostId to HostInfo
        The hosts of the cluster; it follows them.
    target : Target or None
        The cluster that it was opened for.
    scheduler_address : str
        Which of its addresses was reached.
    """

    def __init__(self, config: EngineConfig, owner: object) -> None:
        from himalia.system import machine_identity

        self.me = config.me
        self.settings = config.settings
        self.owner = owner
        self.target: Target | None = None
        self.scheduler_address = ""
        self.machine_identity = machine_identity()
        self.surroundings = Surroundings(self.machine_identity)
        self.functions = FunctionCache(config.settings.function_cache, self.surroundings)
        self.callbacks = CallbackThread()
        self.news = News()
        perform: Performers = {
            # A lambda: the questions are asked through the shell, which is made with this table.
            Answer: lambda instruction: self.questions.answered(instruction),
            ForgetHost: self._forget_host,
            HostsKnown: self._hosts_known,
            **self.news.perform,
        }
        self.shell = ClientShell(config.settings, self.functions, perform)
        self.outbox: Outbox = self.shell.outbox
        self.questions = Questions(self.shell)
        # Both are the machine's own; single look-ups in them need no lock.
        self.records: dict[Key, Record] = self.shell.machine.records
        self.known_hosts: Mapping[HostId, HostInfo] = self.shell.machine.hosts
        self._asynchronous = config.asynchronous
        self._state = "created"
        self._portal: portal.Portal | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._introduced = asyncio.Event()
        self._endpoint: Endpoint | None = None
        self._stores: Hosts | None = None
        self.kept: dict[int, object] = {}
        """What is kept alive until a record of it settles, by its id."""

    # How it stands

    @property
    def status(self) -> str:
        """``created``, ``connecting``, ``running``, ``closed``, or ``lost``: the scheduler is gone."""
        return "lost" if self._state == "running" and self.shell.machine.gone else self._state

    @property
    def gone(self) -> str:
        """Why there is no scheduler any more; empty while there is one."""
        return self.shell.machine.gone

    @property
    def cluster_id(self) -> str:
        """Which cluster it was opened for; empty before."""
        return self.target.credentials.cluster_id if self.target is not None else ""

    @property
    def never_blocks(self) -> bool:
        """Whether it was made for an asynchronous client."""
        return self._asynchronous

    @property
    def asynchronous(self) -> bool:
        """Whether methods that wait return awaitables: the client was made so, or this is its own loop's thread."""
        return self._asynchronous or (self._portal is not None and self._portal.is_here())

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of its connections.

        Raises
        ------
        ClosedError
            If it was never opened.
        """
        if self._loop is None:
            raise ClosedError("The client is not connected.")
        return self._loop

    @property
    def stores(self) -> Hosts:
        """Where values are stored and read; its methods belong to the loop.

        Raises
        ------
        ClosedError
            If the client is closed.
        """
        if self._stores is None or self.shell.closed:
            raise ClosedError(self.gone or "The client is not connected.")
        return self._stores

    def check_open(self) -> None:
        """Raise ClosedError unless it is running, or was until its scheduler was lost."""
        if self._state != "running":
            then = "Await it first." if self._state == "created" else "Make a new one."
            raise ClosedError(f"This client is {self._state}. {then}")

    # What its parts are there for

    async def ask(self, make: Callable[[int], Question[A]]) -> A:
        """Ask the scheduler the question that ``make`` builds for a number; see :meth:`Questions.ask`."""
        self.check_open()
        return await self.questions.ask(make)

    def send(self, message: ClientToScheduler) -> None:
        """Tell the scheduler something that has no answer; nothing happens if there is no scheduler any more."""
        self.shell.tell(MessageMade(message))

    def keep(self, record: Record, holder: object) -> None:
        """Keep ``holder`` alive until the record settles."""
        kept = self.kept
        # Before it is watched: the record may settle at once, and what came later would stay for ever.
        kept[id(holder)] = holder

        def let_go(record: Record) -> None:
            # The last future may die here, under the machine's lock: its drop() takes none.
            kept.pop(id(holder), None)

        if not self.shell.watch((record,), let_go):
            kept.pop(id(holder), None)

    def when_settled(self, record: Record, callback: Callable[[], object]) -> None:
        """Have ``callback()`` called once the record has settled, in the thread for callbacks."""
        callbacks = self.callbacks
        # Here and not in ring(), which is called under the machine's lock: starting a thread waits for it.
        callbacks.start()

        def ring(record: Record) -> None:
            callbacks.put(callback)

        if not self.shell.watch((record,), ring):
            callbacks.put(callback)

    # Waiting

    def run(self, coroutine: Coroutine[object, object, T], timeout: float | None = None) -> T:
        """Run a coroutine in the loop, and block this thread until its end; see :meth:`Portal.run`."""
        if self._portal is None:
            # Or Python complains that it was never awaited.
            coroutine.close()
            raise ClosedError(self.shell.abandoned or "This client is closed.")
        return self._portal.run(coroutine, timeout)

    def sync(self, coroutine: Coroutine[object, object, T], timeout: float | None = None) -> T:
        """Run a coroutine to its end, or hand it out if the client is asynchronous."""
        if self.asynchronous:
            return coroutine if timeout is None else within(timeout, coroutine)  # type: ignore[return-value]  # awaitable
        return self.run(coroutine, timeout)

    def start(self, coroutine: Coroutine[object, object, object]) -> None:
        """Run a coroutine in the loop; nobody awaits its end."""
        asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def nothing(self) -> None:
        """Return None, as an awaitable if the client is asynchronous: for what is done at once."""
        return NOTHING if self.asynchronous else None  # type: ignore[return-value]  # awaitable there

    # The beginning

    def begin(self) -> None:
        """Take note that a cluster is looked for."""
        self._state = "connecting"

    def fail(self) -> None:
        """Take note that there is none."""
        self._state = "closed"

    def open_here(self, target: Target, timeout: float) -> None:
        """Connect, from a thread that may block; on failure nothing is left.

        Raises
        ------
        ConnectError
            If nobody answers, or not the right one.
        """
        self._portal = portal.acquire()
        try:
            self._portal.run(self.open_in_loop(target, timeout), timeout + OPENING)
        # Ctrl-C while it connects must not leave the loop's thread running either.
        except BaseException:
            self._portal = None
            portal.release()
            raise

    async def open_in_loop(self, target: Target, timeout: float) -> None:
        """Connect in the running loop: to the first of the scheduler's addresses that answers.

        Raises
        ------
        ConnectError
            If none does; the text says why not of each.
        """
        self.target = target
        self._loop = asyncio.get_running_loop()
        endpoint = Endpoint(
            me=self.me,
            role="client",
            credentials=target.credentials,
            unions={"scheduler": SchedulerToClient},
            handler=self.shell.driver,
            settings=self.settings,
            # So that threads of users may send by themselves (outbox.py).
            direct=True,
        )
        # One time for both: what connecting takes is missing for the introduction.
        deadline = time.monotonic() + timeout
        try:
            address = await endpoint.connect_any(target.addresses, alias=SCHEDULER, timeout=timeout)
        except HimaliaError:
            await endpoint.close()
            raise
        await self._connected(endpoint, target, deadline - time.monotonic())
        self.scheduler_address = address
        self._state = "running"

    async def _connected(self, endpoint: Endpoint, target: Target, timeout: float) -> None:
        """Use this session, once the scheduler has said which hosts there are: what calls are made of depends on it."""
        self._endpoint = endpoint
        data = DataClient(
            credentials=target.credentials,
            me=self.me,
            machine=self.machine_identity,
            role="data-client",
            settings=self.settings,
        )
        self._stores = Hosts(self.shell.machine, data, self.machine_identity, self.shell.tell)
        self.outbox.open(endpoint)
        # Not the endpoint: what loop and users send leaves by one outbox, in the order of the machine's lock.
        self.shell.driver.attach(self.outbox)
        try:
            await asyncio.wait_for(self._introduced.wait(), timeout)
        except TimeoutError:
            pass  # so slow that its first answer will say what is wrong

    # The end

    def end(self) -> bool:
        """Take note that the client is being closed; return whether there is something to be closed."""
        # Of two threads that close, one only may find it running; the other has nothing to do.
        was, self._state = self._state, "closed"
        # What fire_and_forget() keeps lives only as long as its client is open.
        self.kept.clear()
        return was == "running"

    def close_here(self, timeout: float) -> None:
        """Settle every future, say goodbye, and close all connections, from a thread that may block."""
        # Let go of in any case: the loop's thread ends with the last client that holds it.
        held = self._portal
        try:
            if held is not None:
                held.run(self._close("the client was closed"), timeout)
        except HimaliaError as error:
            logger.debug("the client did not close cleanly: %s", error)
        finally:
            self._portal = None
            if held is not None:
                portal.release()
            # Last: closing settles futures, and their callbacks are still to be called.
            self.callbacks.stop(timeout)

    async def close_in_loop(self, timeout: float) -> None:
        """Do the same in the loop."""
        try:
            await asyncio.wait_for(self._close("the client was closed"), timeout)
        except TimeoutError:
            logger.debug("the client did not close within %g s", timeout)
        finally:
            # Without waiting for the thread: that would block this loop.
            self.callbacks.stop(0)

    async def _close(self, reason: str) -> None:
        if self.shell.closed:
            return
        self.news.close()
        # Before the endpoint says goodbye: what was submitted has to leave first.
        self.shell.close(reason)
        if self._stores is not None:
            self._stores.close()
        if self._endpoint is not None:
            await self._endpoint.close()

    def forget(self) -> None:
        """Close without waiting, because the client was garbage collected; its futures were, too."""
        held, self._portal = self._portal, None
        if held is None or self._state != "running" or self._asynchronous:
            return

        async def close() -> None:
            await self._close("the client was forgotten")
            self.callbacks.stop(0)
            portal.release()

        try:
            # This is a finalizer: it runs in any thread, the loop's included, and mustn't wait for anything.
            held.loop.call_soon_threadsafe(lambda: held.loop.create_task(close()))
        except RuntimeError:  # the loop has ended, and all of it with it
            pass

    def abandon(self) -> None:
        """Forget the session in a forked child: its sockets belong to the parent."""
        self._state = "closed"
        # Threads aren't forked along: nobody runs that loop here.
        self._portal = None
        self.shell.abandon("This client belongs to the process that this one was forked from. Make a new one here.")

    # What the machine wants of it, under the lock

    def _hosts_known(self, instruction: HostsKnown) -> None:
        self.surroundings.hosts_changed(self.known_hosts.values())
        self._introduced.set()

    def _forget_host(self, instruction: ForgetHost) -> None:
        if self._stores is not None and not self.shell.closed:
            self._stores.forget(instruction.host)
