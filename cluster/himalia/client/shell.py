"""The client's only I/O: the session with the scheduler, data connections to hosts, and the lock around the machine.

Decides nothing.  User threads and the loop's thread call the machine under one lock; what it wants to be sent goes into
one outbox, in the order of the lock, and the loop empties it.

Guarantees
----------
- ``drop`` takes no lock: it is what a future's ``__del__`` calls, which may run anywhere, inside this lock too.
- Nothing done under the lock waits, or runs code of the user.
- An interrupt (ctrl-C) of a user's thread can end it between any two lines and leaves all this usable: at worst
  something is flushed by the next tick.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from himalia.client.calls import Parcel
from himalia.client.functions import FunctionCache, PickledFunction
from himalia.client.machine import ClientMachine
from himalia.client.state import (
    Answer,
    CallsSubmitted,
    Closed,
    Deliver,
    ForgetHost,
    FuturesDropped,
    KeysHeld,
    Notify,
    ReadFailed,
    Record,
    RequestMade,
    Watcher,
)
from himalia.comm.data import DataClient
from himalia.comm.endpoint import Endpoint
from himalia.comm.security import Credentials
from himalia.driver import Driver
from himalia.errors import ClosedError, ConnectError, HimaliaError, StoreFullError, UnreachableError
from himalia.machine import Send
from himalia.messages import ClientToScheduler, DataPlaced, HostInfo, SchedulerToClient, Telemetry
from himalia.names import SCHEDULER, HostId, Key, PeerId, shorten
from himalia.settings import Settings

logger = logging.getLogger("himalia.client")

HOST_PATIENCE: Final = 30.0
"""Seconds to wait for a first host when a value has to be stored and there is none.  Guess: a batch job's start-up."""


PUTS_AT_ONCE: Final = 64
"""Values that are under way to hosts at the same time.  Guess."""


CONGESTION: Final = 128 * 1024 * 1024
"""Bytes that the scheduler has not acknowledged, from which on submitting threads wait.  Guess."""


class Gate:
    """A place in the outbox that holds back what stands behind it until its own messages are known."""

    __slots__ = ("messages",)

    def __init__(self) -> None:
        self.messages: list[ClientToScheduler] | None = None


class LockedDriver(Driver):
    """A driver whose machine is also called by other threads, under the same lock."""

    def __init__(self, lock: threading.Lock, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lock = lock

    def messages_received(self, peer: PeerId, messages: list[Any]) -> None:
        """Handle messages in their order; see :class:`himalia.comm.endpoint.Handler`."""
        with self._lock:
            super().messages_received(peer, messages)


class ClientShell:
    """Everything around a client's machine.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
        Where its I/O happens.
    me : PeerId
        Incarnation of the client.
    credentials : Credentials
    settings : Settings
    """

    def __init__(
        self, *, loop: asyncio.AbstractEventLoop, me: PeerId, credentials: Credentials, settings: Settings
    ) -> None:
        from himalia.system import machine_identity

        self.loop = loop
        self.me = me
        self.settings = settings
        self.machine = ClientMachine(settings)
        self.functions = FunctionCache(settings.function_cache)
        self.machine_identity = machine_identity()
        self.lock = threading.Lock()
        self.closed = False
        self.followers: list[Callable[[Telemetry], None]] = []
        self.congested = False
        """Whether so much is under way to the scheduler that whoever submits should wait."""
        self._dropped: deque[Record] = deque()
        self._outbox: deque[Any] = deque()
        self._flush_due = False
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._next_host = 0
        self._credentials = credentials
        self._perform: dict[type, Callable[[Any], None]] = {
            Send: lambda instruction: self.send(instruction.peer, instruction.message),
            Notify: _notify,
            Answer: self._answer,
            Deliver: self._deliver,
            ForgetHost: self._forget_host,
        }
        self._driver = LockedDriver(self.lock, self.machine, clock=time.monotonic, perform=self._perform)
        self._endpoint: Endpoint | None = None
        self._data: DataClient | None = None

    # Beginning and end, in the loop's thread

    async def connect(self, addresses: Sequence[str], timeout: float) -> str:
        """Open the session at the first of these addresses that answers, and return it.

        Raises
        ------
        ConnectError
            If none does: what the last one said.
        """
        endpoint = Endpoint(
            me=self.me,
            role="client",
            credentials=self._credentials,
            unions={"scheduler": SchedulerToClient},
            handler=self._driver,
            settings=self.settings,
        )
        error: ConnectError = UnreachableError("There is no address to connect to.")
        deadline = time.monotonic() + timeout
        for number, address in enumerate(addresses):
            share = max(0.1, (deadline - time.monotonic()) / (len(addresses) - number))
            try:
                await endpoint.connect(address, alias=SCHEDULER, timeout=share)
            except ConnectError as failure:
                error = failure
                continue
            self._endpoint = endpoint
            self._data = DataClient(
                credentials=self._credentials,
                me=self.me,
                machine=self.machine_identity,
                role="data-client",
                settings=self.settings,
            )
            self._driver.attach(self)
            return address
        await endpoint.close()
        raise error

    async def close(self, reason: str) -> None:
        """Settle every future, say goodbye, and close all connections."""
        if self.closed:
            return
        self.closed = True
        self.flush()
        with self.lock:
            self._perform_all(self.machine.handle(Closed(reason), now=time.monotonic()))
        self._driver.stop()
        self._outbox.clear()
        if self._data is not None:
            self._data.close()
        if self._endpoint is not None:
            await self._endpoint.close()

    def abandon(self) -> None:
        """Forget the session in a forked child: its sockets belong to the parent."""
        self.closed = True
        self.lock = threading.Lock()
        self._flush_due = True
        self.machine.gone = "This client belongs to the process that this one was forked from. Make a new one here."

    # Any thread

    def tell(self, event: Any) -> None:
        """Let the machine handle an event of this side, and have flushed what it wants to be sent.

        Raises
        ------
        ClosedError
            If there is no scheduler any more.
        """
        with self.lock:
            self._perform_all(self.machine.handle(event))
        if self._outbox:
            self.wake()

    def submit(
        self,
        event: CallsSubmitted,
        named: Sequence[PickledFunction] = (),
        before: Sequence[ClientToScheduler | Gate] = (),
    ) -> list[Record]:
        """Submit calls and return the records of those that are wanted, one for each, in their order.

        Parameters
        ----------
        event : CallsSubmitted
        named : sequence of PickledFunction
            Functions that the calls name by digest.
        before : sequence of Message or Gate
            What has to be sent before.

        Raises
        ------
        ClosedError
            If there is no scheduler any more.
        """
        unknown: list[Key] = []
        try:
            with self.lock:
                records = self.machine.records
                unknown = [spec.key for spec in event.tasks if spec.key not in records]
                instructions = self.machine.handle(event)
                self._outbox.extend(before)
                for function in named:
                    self._outbox.extend(self.functions.announce(function))
                self._perform_all(instructions)
                made = [records[spec.key] for spec in event.tasks if spec.wanted]
        except BaseException as error:
            if not isinstance(error, Exception):
                self._undo(unknown, named)
            raise
        self.wake()
        return made

    def wait_for_room(self) -> None:
        """Block this thread while too much is under way to the scheduler."""
        while self.congested and not self.machine.gone:
            time.sleep(0.005)
            self.wake()

    def hold(self, keys: list[Key]) -> list[Record]:
        """Hold futures of keys that were submitted elsewhere, or earlier; return their records, one for each."""
        with self.lock:
            self._perform_all(self.machine.handle(KeysHeld(keys)))
            records = [self.machine.records[key] for key in keys]
        self.wake()
        return records

    def watch(self, records: Sequence[Record], watcher: Watcher, begin: Callable[[int], None] | None = None) -> int:
        """Have ``watcher`` called for each record that is pending; return how many these are.

        ``begin`` is told that number before the first call.
        """
        watch = self.machine.watch
        with self.lock:
            count = sum([watch(record, watcher) for record in records])
            if begin is not None:
                begin(count)
        return count

    def unwatch(self, records: Sequence[Record], watcher: Watcher) -> None:
        """Undo :meth:`watch`."""
        with self.lock:
            for record in records:
                self.machine.unwatch(record, watcher)

    def drop(self, record: Record) -> None:
        """Let go of one future of a record; takes no lock."""
        if not self.closed:
            self._dropped.append(record)
            if not self._flush_due:
                self.wake()

    def wake(self) -> None:
        """Have the outbox flushed soon; called once per burst."""
        if self._flush_due:
            return
        self._flush_due = True
        try:
            self.loop.call_soon_threadsafe(self.flush)
        except RuntimeError:  # the loop has ended, and everything with it
            pass

    def send(self, peer: PeerId, message: Any) -> None:
        """Put a message into the outbox and see that it leaves soon; see :class:`himalia.driver.Outlet`."""
        self._outbox.append(message)
        self.wake()

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """End the session; see :class:`driver.Outlet`."""
        if self._endpoint is not None:
            self._endpoint.disconnect(peer, reason)

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine in the loop; nobody awaits its end."""
        asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    # The loop's thread

    def flush(self) -> None:
        """Send what is in the outbox, up to a gate that is still closed."""
        self._flush_due = False
        if self._dropped:
            self._take_dropped()
        endpoint = self._endpoint
        if endpoint is None:
            return
        outbox, send = self._outbox, endpoint.send
        while outbox:
            message = outbox[0]
            if type(message) is Gate:
                if message.messages is None:
                    break
                for inner in message.messages:
                    send(SCHEDULER, inner)
            else:
                send(SCHEDULER, message)
            outbox.popleft()
        endpoint.flush()
        self.congested = endpoint.backlog(SCHEDULER) > CONGESTION

    async def ask(self, make: Callable[[int], ClientToScheduler]) -> Any:
        """Ask the scheduler something and return the value of its answer.

        Raises
        ------
        HimaliaError
            If the answer is an error.
        ClosedError
            If the scheduler is gone.
        """
        with self.lock:
            number = self.machine.next_request()
        answer = self._answers[number] = self.loop.create_future()
        try:
            self.tell(RequestMade(make(number)))
            value, error = await answer
        finally:
            self._answers.pop(number, None)
        if error:
            raise (ClosedError if self.machine.gone else HimaliaError)(error)
        return value

    async def place_all(
        self, parcels: Sequence[Parcel], hosts: Sequence[HostInfo] | None = None, broadcast: bool = False
    ) -> list[list[DataPlaced]]:
        """Store values; return for each what the scheduler has to be told.

        Parameters
        ----------
        parcels : sequence of Parcel
        hosts : sequence of HostInfo, optional
            Where; those of this machine, or else all in turn, if left out.
        broadcast : bool
            Store each at all of them, not at one.

        Raises
        ------
        StoreFullError
            If a host has no room.
        ConnectError
            If no host can be reached.
        """
        places = asyncio.Semaphore(PUTS_AT_ONCE)

        async def place(parcel: Parcel) -> list[DataPlaced]:
            async with places:
                return await self._place(parcel, hosts, broadcast)

        return list(await asyncio.gather(*[place(parcel) for parcel in parcels]))

    async def _place(self, parcel: Parcel, hosts: Sequence[HostInfo] | None, broadcast: bool) -> list[DataPlaced]:
        attempt = -1 - secrets.randbits(62)
        if broadcast:
            await self._choose_host(set(), hosts)
            everywhere = hosts if hosts is not None else list(self.machine.hosts.values())
            return list(await asyncio.gather(*[self._put(parcel, host, attempt) for host in everywhere]))
        tried: set[HostId] = set()
        while True:
            host = await self._choose_host(tried, hosts)
            try:
                return [await self._put(parcel, host, attempt)]
            except StoreFullError:
                raise
            except OSError as error:
                tried.add(host.host)
                logger.info("%s could not be stored at %s: %s", shorten(parcel.key), host.address, error)

    def place_behind(self, parcels: Sequence[Parcel], failed: Callable[[Exception], None]) -> Gate:
        """Store values while this loop goes on; what is put into the outbox behind the returned gate waits for them."""
        gate = Gate()

        async def store() -> None:
            messages: list[ClientToScheduler] = []
            try:
                for placed in await self.place_all(parcels):
                    messages += placed
            except Exception as error:
                failed(error)
            finally:
                gate.messages = messages
                self.flush()

        task = self.loop.create_task(store())
        _running.add(task)
        task.add_done_callback(_running.discard)
        return gate

    async def read(self, records: Sequence[Record]) -> dict[Key, list[memoryview]]:
        """Fetch the values of finished records, each host asked once; what couldn't be had is reported and left out."""
        groups: dict[HostId, list[tuple[Key, int]]] = {}
        with self.lock:
            for record in records:
                if record.holders:
                    groups.setdefault(self._nearest(record.holders), []).append((record.key, record.attempt))
        found: dict[Key, list[memoryview]] = {}
        await asyncio.gather(*[self._read_host(host, wanted, found) for host, wanted in groups.items()])
        return found

    async def _read_host(self, host: HostId, wanted: list[tuple[Key, int]], found: dict[Key, list[memoryview]]) -> None:
        values: dict[Key, list[memoryview] | None] = {}
        info = self.machine.hosts.get(host)
        if info is not None and self._data is not None:
            try:
                values = await self._data.get(info, [key for key, _ in wanted])
            except OSError as error:
                logger.info("%d results could not be read at %s: %s", len(wanted), info.address, error)
        for key, attempt in wanted:
            frames = values.get(key)
            if frames is not None:
                found[key] = frames
            else:
                self.tell(ReadFailed(key, attempt, host))

    async def _put(self, parcel: Parcel, host: HostInfo, attempt: int) -> DataPlaced:
        if self._data is None:
            raise ClosedError("The client is closed.")
        nbytes = await self._data.put(host, parcel.key, parcel.frames, attempt=attempt)
        return DataPlaced(parcel.key, parcel.group, host.host, nbytes, parcel.type_name, parcel.wanted, attempt)

    async def _choose_host(self, tried: set[HostId], among: Sequence[HostInfo] | None) -> HostInfo:
        deadline = time.monotonic() + HOST_PATIENCE
        while True:
            known = self.machine.hosts.values() if among is None else among
            hosts = [info for info in known if info.host not in tried]
            if hosts:
                near = [info for info in hosts if info.machine == self.machine_identity] or hosts
                chosen = near if among is None else hosts
                self._next_host += 1
                return chosen[self._next_host % len(chosen)]
            if self.machine.gone:
                raise ClosedError(self.machine.gone)
            if tried or among is not None or time.monotonic() > deadline:
                raise UnreachableError(
                    f"A value has to be stored on a host, and the cluster has none that can be reached "
                    f"({len(tried)} tried). Start workers, then try again."
                )
            await asyncio.sleep(0.02)

    def _nearest(self, holders: Sequence[HostId]) -> HostId:
        for host in holders:
            info = self.machine.hosts.get(host)
            if info is not None and info.machine == self.machine_identity:
                return host
        return holders[0]

    # What the machine wants, under the lock

    def _perform_all(self, instructions: list[Any]) -> None:
        perform = self._perform
        outbox = self._outbox
        for instruction in instructions:
            if type(instruction) is Send:
                outbox.append(instruction.message)
            else:
                perform[type(instruction)](instruction)

    def _answer(self, instruction: Answer) -> None:
        future = self._answers.get(instruction.request)
        if future is not None:
            self.loop.call_soon_threadsafe(_set, future, (instruction.value, instruction.error))

    def _deliver(self, instruction: Deliver) -> None:
        for follower in self.followers:
            follower(instruction.telemetry)

    def _forget_host(self, instruction: ForgetHost) -> None:
        if self._data is not None and not self.closed:
            self._data.forget(instruction.host)

    def _take_dropped(self) -> None:
        dropped = self._dropped
        records = []
        while dropped:
            records.append(dropped.popleft())
        with self.lock:
            self._perform_all(self.machine.handle(FuturesDropped(records)))

    def _undo(self, unknown: Sequence[Key], named: Sequence[PickledFunction]) -> None:
        """Take back a submission that was interrupted: nobody has futures of it, and it may not have been sent."""
        with self.lock:
            for function in named:
                self.functions.retract(function)
            records = self.machine.records
            made = [records[key] for key in unknown if key in records]
            self._perform_all(self.machine.handle(FuturesDropped(made)))
        self.wake()


def _notify(instruction: Notify) -> None:
    record = instruction.record
    for watcher in instruction.watchers:
        watcher(record)


def _set(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


_running: set[asyncio.Task[None]] = set()
"""Tasks that nobody awaits; a loop holds them only weakly."""
