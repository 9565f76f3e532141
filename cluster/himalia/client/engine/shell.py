"""The client's only I/O: the session with the scheduler, data connections to hosts, and the lock around the machine.

Decides nothing.  User threads and the loop's thread call the machine under one lock; what it wants to be sent goes into
one outbox, in the order of the lock, and the loop empties it.

Guarantees
----------
- ``drop`` takes no lock: it is what a future's ``__del__`` calls, which may run anywhere, inside this lock too.
- What was let go of before a call is gone for that call: everything that looks a key up, or names one, has the drops
  handled first.  (The records are a shell's own; who is outside asks ``hold_known``.)
- Nothing done under the lock waits, or runs code of the user.
- An interrupt (ctrl-C) of a user's thread can end it between any two lines and leaves all this usable: at worst
  something is flushed by the next tick.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from himalia.backlog import Backlog
from himalia.bounds import problem_of
from himalia.bucket import Complaints
from himalia.client.engine.config import EngineConfig
from himalia.client.engine.events import (
    Answer,
    CallsSubmitted,
    Closed,
    Deliver,
    ForgetHost,
    FuturesDropped,
    HostsKnown,
    KeysHeld,
    Notify,
    ReportKeyTaken,
    RequestMade,
    ShowOutput,
)
from himalia.client.engine.hosts import Hosts
from himalia.client.engine.machine import ClientMachine
from himalia.client.engine.state import LOST, Record, Watcher
from himalia.client.engine.uninterrupted import Uninterrupted
from himalia.client.packing.calls import Parcel
from himalia.client.packing.functions import FunctionCache, PickledFunction
from himalia.client.packing.origin import text_of_other
from himalia.client.packing.surroundings import Surroundings
from himalia.comm.contact import Contact
from himalia.comm.data.client import DataClient
from himalia.comm.endpoint import Endpoint
from himalia.driver import Driver
from himalia.errors import ClosedError, ConnectError, HimaliaError, UnreachableError, UsageError
from himalia.machine import Performers, Send
from himalia.messages.answers import A, Question, read_answer
from himalia.messages.client import (
    CallOutput,
    ClientToScheduler,
    ReleaseKeys,
    RunFunction,
    SchedulerToClient,
    Submit,
    Telemetry,
)
from himalia.messages.parts import FunctionBody
from himalia.names import SCHEDULER, Key, PeerId

logger = logging.getLogger("himalia.client")


MESSAGE: Final = 300
"""Bytes of a message or a call beside what it carries.  Measured, about."""
CONGESTION: Final = 128 * 1024 * 1024
"""Bytes that the scheduler has not acknowledged, from which on submitting threads wait.  Guess."""


PATIENT_BYTES: Final = 1_000_000
"""Results up to this size are released with the next submission or tick; larger ones at once.  Guess: waking the loop
for each of a thousand small ones costs more than keeping them a tenth of a second."""


EXPRESS_PAUSE: Final = 100e-6
"""Seconds without a submission after which the next one is sent by its own thread.  In a burst, the loop sends many at
once, which costs everybody less; a burst's submissions follow each other within 30 µs."""


class Gate:
    """A place in the outbox that holds back what stands behind it until its own messages are known."""

    __slots__ = ("messages", "since")

    def __init__(self) -> None:
        self.since = time.monotonic()
        self.messages: list[ClientToScheduler] | None = None


class LockedDriver(Driver):
    """A driver whose machine is also called by other threads, under the same lock."""

    def __init__(self, lock: threading.Lock, after_tick: Callable[[], None], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lock = lock
        self._after_tick = after_tick

    def _tick(self, loop: asyncio.AbstractEventLoop, interval: float) -> None:
        super()._tick(loop, interval)
        self._after_tick()

    def messages_received(self, peer: PeerId, messages: list[object]) -> None:
        """Handle messages in their order; see :class:`himalia.comm.endpoint.Handler`."""
        with self._lock:
            super().messages_received(peer, messages)


class ClientShell:
    """Everything around a client's machine.

    Parameters
    ----------
    config : EngineConfig
    loop : asyncio.AbstractEventLoop
        Where its I/O happens.
    """

    def __init__(self, config: EngineConfig, *, loop: asyncio.AbstractEventLoop) -> None:
        from himalia.system import machine_identity

        self.config = config
        self.loop = loop
        self.me = config.me
        self.settings = config.settings
        self.machine = ClientMachine()
        self.machine_identity = machine_identity()
        self.surroundings = Surroundings(self.machine_identity)
        self.functions = FunctionCache(config.settings.function_cache, self.surroundings)
        self.lock = threading.Lock()
        self.closed = False
        self.followers: list[Callable[[Telemetry], None]] = []
        self.show_output: Callable[[CallOutput], None] | None = None
        """Where what calls write goes to; ``None``: nowhere."""
        self.congested = False
        """Whether so much is under way to the scheduler that whoever submits should wait."""
        self._dropped: deque[Record] = deque()
        self._outbox: deque[Any] = deque()
        self._backlog = Backlog()
        """What the scheduler hasn't acknowledged, encoded or not."""
        self._flush_due = False
        self._introduced = asyncio.Event()
        self._outlet = threading.Lock()
        """Held by whoever empties the outbox."""
        self._woken_at = 0.0
        self._loop_thread = 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.cluster_id = config.credentials.cluster_id
        self._complaints = Complaints(logger)
        self._perform: Performers = {
            Send: lambda instruction: self.send(instruction.peer, instruction.message),
            Notify: _notify,
            Answer: self._answer,
            Deliver: self._deliver,
            ShowOutput: self._show_output,
            ReportKeyTaken: self._report_key_taken,
            ForgetHost: self._forget_host,
            HostsKnown: self._hosts_known,
        }
        self._driver = LockedDriver(
            self.lock, self._flush_rest, self.machine, clock=time.monotonic, perform=self._perform
        )
        self._endpoint: Endpoint | None = None
        self._hosts: Hosts | None = None

    # Beginning and end, in the loop's thread

    async def connect(self) -> str:
        """Open the session at the first of the scheduler's addresses that answers, and return it.

        Raises
        ------
        ConnectError
            If none does: what the last one said.
        """
        endpoint = Endpoint(
            me=self.me,
            role="client",
            credentials=self.config.credentials,
            unions={"scheduler": SchedulerToClient},
            handler=self._driver,
            settings=self.settings,
            direct=True,
        )
        self._loop_thread = threading.get_ident()
        error: ConnectError = UnreachableError("There is no address to connect to.")
        addresses = self.config.scheduler
        deadline = time.monotonic() + self.config.timeout
        for number, address in enumerate(addresses):
            share = max(0.1, (deadline - time.monotonic()) / (len(addresses) - number))
            try:
                await endpoint.connect(address, alias=SCHEDULER, timeout=share)
            except ConnectError as failure:
                error = failure
                continue
            self._endpoint = endpoint
            data = DataClient(
                credentials=self.config.credentials,
                me=self.me,
                machine=self.machine_identity,
                role="data-client",
                settings=self.settings,
            )
            self._hosts = Hosts(self.machine, data, self.machine_identity, self.tell)
            self._driver.attach(self)
            await self._wait_for_hosts(deadline - time.monotonic())
            return address
        await endpoint.close()
        raise error

    async def _wait_for_hosts(self, timeout: float) -> None:
        """Wait for the scheduler's first words: which hosts there are.  What calls are made of depends on them."""
        try:
            await asyncio.wait_for(self._introduced.wait(), timeout)
        except TimeoutError:
            pass  # so slow that its first answer will say what is wrong

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
        if self._hosts is not None:
            self._hosts.close()
        if self._endpoint is not None:
            await self._endpoint.close()

    def abandon(self) -> None:
        """Forget the session in a forked child: its sockets belong to the parent."""
        self.closed = True
        self.lock = threading.Lock()
        self._flush_due = True
        self.machine.state.gone = (
            "This client belongs to the process that this one was forked from. Make a new one here."
        )

    @property
    def hosts(self) -> Hosts:
        """Where values are stored and read.

        Raises
        ------
        ClosedError
            If the client is closed.
        """
        if self._hosts is None or self.closed:
            raise ClosedError(self.machine.gone or "The client is not connected.")
        return self._hosts

    # Any thread

    def tell(self, event: Any) -> None:
        """Let the machine handle an event of this side, and have flushed what it wants to be sent.

        Raises
        ------
        ClosedError
            If there is no scheduler any more.
        """
        with self.lock:
            if self._dropped:
                self._release_dropped()
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
        event.at = time.monotonic()
        try:
            with self.lock:
                if self._dropped:  # a key that was let go of and is submitted again is another task
                    self._release_dropped()
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
            self._wake_loop()  # only its flush looks again

    def hold(self, keys: list[Key]) -> list[Record]:
        """Hold futures of keys that were submitted elsewhere, or earlier; return their records, one for each."""
        with self.lock:
            if self._dropped:
                self._release_dropped()
            self._perform_all(self.machine.handle(KeysHeld(keys)))
            records = [self.machine.records[key] for key in keys]
        self.wake()
        return records

    def hold_known(self, key: Key) -> Record | None:
        """Hold one more future of a key that this client has one of and return its record; ``None`` if it has none.

        Data that were lost count as none: they have to be submitted again.
        """
        with self.lock:
            if self._dropped:
                self._release_dropped()
            record = self.machine.records.get(key)
            if record is None or record.status is LOST:
                return None
            self._perform_all(self.machine.handle(KeysHeld([key])))
        return record

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

    def is_held_up(self, key: Key | None = None) -> bool:
        """Whether a call, or anything, waits here to be sent until values were stored on a host."""
        outbox = list(self._outbox)
        if not outbox or type(outbox[0]) is not Gate or outbox[0].messages is not None:
            return False
        return key is None or any(
            [type(message) is Submit and any([spec.key == key for spec in message.tasks]) for message in outbox]
        )

    def is_acknowledged(self, record: Record) -> bool:
        """Whether the scheduler is known to have what was sent until a record was submitted."""
        if self._endpoint is not None:
            self._look_at_backlog(self._endpoint)
        return record.submitted <= self._backlog.until

    def contact(self) -> Contact | None:
        """Return how the session with the scheduler stands; ``None`` if there is none."""
        return None if self._endpoint is None else self._endpoint.contact(SCHEDULER)

    def drop(self, record: Record) -> None:
        """Let go of one future of a record; takes no lock."""
        if not self.closed:
            self._dropped.append(record)
            if record.nbytes > PATIENT_BYTES:
                self._wake_loop()  # others go with the next submission, or the next tick

    def wake(self) -> None:
        """Have the outbox emptied: by this thread if it is the first in a while, else by the loop, once per burst."""
        if not self._flush_due and not self._express():
            self._wake_loop()

    def _wake_loop(self) -> None:
        if self._flush_due:
            return
        self._flush_due = True
        try:
            self.loop.call_soon_threadsafe(self.flush)
        except RuntimeError:  # the loop has ended, and everything with it
            pass

    def _express(self) -> bool:
        """Empty the outbox from here, without the loop, unless much is going on; return whether that was done."""
        now = time.perf_counter()
        is_quiet = now - self._woken_at > EXPRESS_PAUSE
        self._woken_at = now
        endpoint = self._endpoint
        if not is_quiet or endpoint is None or threading.get_ident() == self._loop_thread:
            return False
        if self._dropped:
            self._take_dropped()
        with Uninterrupted(), self._outlet:  # a message half sent would end the session, one sent twice confuse it
            messages = list(self._outbox)
            if any([type(message) is Gate for message in messages]) or not endpoint.express(SCHEDULER, messages):
                return False
            for message in messages:
                self._outbox.popleft()
                self._backlog.count(_weight(message))
        self._woken_at = time.perf_counter()  # what sending took is no pause: a burst would go on like that
        return True

    def send(self, peer: PeerId, message: object) -> None:
        """Put a message into the outbox and see that it leaves soon; see :class:`himalia.driver.Outlet`."""
        self._outbox.append(message)
        self.wake()

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """End the session; see :class:`driver.Outlet`."""
        if self._endpoint is not None:
            self._endpoint.disconnect(peer, reason)

    def pending(self) -> dict[PeerId, int]:
        """Return how many messages the scheduler hasn't acknowledged; see :class:`himalia.driver.Outlet`."""
        return {} if self._endpoint is None else self._endpoint.pending()

    def start(self, coroutine: Coroutine[object, object, object]) -> None:
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
        with self._outlet:
            outbox, send, count = self._outbox, endpoint.send, self._backlog.count
            while outbox:
                message = outbox[0]
                if type(message) is Gate:
                    if message.messages is None:
                        break
                    for inner in message.messages:
                        send(SCHEDULER, inner)
                        count(_weight(inner))
                else:
                    send(SCHEDULER, message)
                    count(_weight(message))
                outbox.popleft()
        endpoint.flush()
        self._look_at_backlog(endpoint)

    def _look_at_backlog(self, endpoint: Endpoint) -> None:
        """Decide whether submitting threads have to wait for the scheduler to read."""
        with self._outlet:
            outbox = self._outbox
            if not outbox:
                now = time.monotonic()
            else:  # what is in it was submitted after its gate; without one that isn't known
                now = outbox[0].since if type(outbox[0]) is Gate else self._backlog.until
            self._backlog.arrived(endpoint.pending().get(SCHEDULER, 0), now)
            self.congested = self._backlog.under_way > CONGESTION

    def _flush_rest(self) -> None:
        """Send what nobody was in a hurry to send, or was interrupted before having it sent."""
        if self._dropped or self._outbox:
            self.flush()
        elif self._backlog.under_way and self._endpoint is not None:
            self._look_at_backlog(self._endpoint)

    async def ask(self, make: Callable[[int], Question[A]]) -> A:
        """Ask the scheduler something and return its answer.

        Raises
        ------
        HimaliaError
            If the answer is an error.
        UsageError
            If the scheduler would refuse the question: a negative number of workers, say.
        ClosedError
            If the scheduler is gone.
        """
        with self.lock:
            number = self.machine.next_request()
        question = make(number)
        problem = problem_of(question)
        if problem:
            raise UsageError(f"{type(question).__name__} can't be asked: {problem}.")
        answer = self._answers[number] = self.loop.create_future()
        try:
            self.tell(RequestMade(question))
            value, error = await answer
        finally:
            self._answers.pop(number, None)
        if error:
            raise (ClosedError if self.machine.gone else HimaliaError)(error)
        return read_answer(question, value)

    def place_behind(self, parcels: Sequence[Parcel], failed: Callable[[Exception], None]) -> Gate:
        """Store values while this loop goes on; what is put into the outbox behind the returned gate waits for them."""
        gate = Gate()

        async def store() -> None:
            messages: list[ClientToScheduler] = []
            try:
                for placed in await self.hosts.place_all(parcels):
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

    def _show_output(self, instruction: ShowOutput) -> None:
        if self.show_output is not None and not self.closed:
            self.show_output(instruction.output)

    def _report_key_taken(self, instruction: ReportKeyTaken) -> None:
        message = instruction.message
        text = text_of_other(message.key, message.before, message.now)
        self._complaints.write(time.monotonic(), "%s", text, level=logging.WARNING)

    def _hosts_known(self, instruction: HostsKnown) -> None:
        self.surroundings.hosts_changed(self.machine.hosts.values())
        self._introduced.set()

    def _forget_host(self, instruction: ForgetHost) -> None:
        if self._hosts is not None and not self.closed:
            self._hosts.forget(instruction.host)

    def _take_dropped(self) -> None:
        with self.lock:
            self._release_dropped()

    def _release_dropped(self) -> None:
        """Tell the machine of futures that were let go of; under the lock."""
        dropped = self._dropped
        records = []
        while dropped:
            records.append(dropped.popleft())
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


def _weight(message: Any) -> int:
    """Return about how many bytes a message to the scheduler takes, encoded or as it is."""
    kind = message.__class__
    if kind is Submit:
        return MESSAGE + sum([MESSAGE + len(spec.call) for spec in message.tasks])
    if kind is FunctionBody:
        return MESSAGE + len(message.body)
    if kind is RunFunction:
        return MESSAGE + len(message.call)
    if kind is ReleaseKeys:
        return MESSAGE * len(message.keys) // 2
    return MESSAGE


def _notify(instruction: Notify) -> None:
    record = instruction.record
    for watcher in instruction.watchers:
        watcher(record)


def _set(future: asyncio.Future[object], value: object) -> None:
    if not future.done():
        future.set_result(value)


_running: set[asyncio.Task[None]] = set()
"""Tasks that nobody awaits; a loop holds them only weakly."""
