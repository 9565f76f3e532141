"""A client's machine under its lock, as user threads and the loop's thread call it.

What the machine wants to send goes into one outbox, in the order of the lock (``outbox.py``); everything else that it
wants is done by whoever the engine names for it (``engine.py``).

Guarantees
----------
- ``drop`` takes no lock: it is what a future's ``__del__`` calls, which may run anywhere, inside this lock too.
- What was let go of before a call is gone for that call: everything that looks a key up, or names one, has the drops
  handled first.  (The records are a shell's own; who is outside asks ``hold_known``.)
- Nothing done under the lock waits, or runs code of the user.
- An interrupt (ctrl-C) of a user's thread can end it between any two lines and leaves all this usable.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from himalia.client.engine.events import CallsSubmitted, Closed, FuturesDropped, KeysHeld, Notify
from himalia.client.engine.machine import ClientMachine
from himalia.client.engine.outbox import Gate, Outbox
from himalia.client.engine.state import LOST, PENDING, Record, Watcher
from himalia.client.packing.functions import FunctionCache, PickledFunction
from himalia.driver import Driver
from himalia.errors import ClosedError
from himalia.machine import Event, Instruction, Machine, Performers, Send
from himalia.messages.client import ClientToScheduler
from himalia.names import Key, PeerId
from himalia.settings import Settings

PATIENT_BYTES: Final = 1_000_000
"""Results up to this size are released with the next submission or tick; larger ones at once.  Waking an
idle loop costs some 60 µs (measured), 6 % of a core for a thousand small ones a second."""


class LockedDriver(Driver):
    """A driver whose machine is also called by other threads, under the same lock."""

    def __init__(
        self,
        lock: threading.Lock,
        after_tick: Callable[[], None],
        machine: Machine,
        *,
        clock: Callable[[], float],
        perform: Performers,
    ) -> None:
        super().__init__(machine, clock=clock, perform=perform)
        self._lock = lock
        self._after_tick = after_tick

    def _tick(self, loop: asyncio.AbstractEventLoop, interval: float) -> None:
        super()._tick(loop, interval)
        # Not under the lock: it flushes, which takes it for what was dropped.
        self._after_tick()

    def messages_received(self, peer: PeerId, messages: list[object]) -> None:
        """Handle messages in their order; see :class:`himalia.comm.endpoint.Handler`."""
        # Not reentrant: nothing that is performed under it may feed an event.
        with self._lock:
            super().messages_received(peer, messages)


class ClientShell:
    """What user threads do with a client's records; any thread.

    Parameters
    ----------
    settings : Settings
    functions : FunctionCache
        Announces functions before the calls that name them.
    perform : mapping
        Instruction class → what to do, under the lock; :class:`Send` and :class:`Notify` are done here.
    """

    def __init__(self, settings: Settings, functions: FunctionCache, perform: Performers) -> None:
        self.machine = ClientMachine()
        self.lock = threading.Lock()
        self.outbox = Outbox(settings, self._take_dropped)
        self.closed = False
        self.abandoned = ""
        """Why nothing settles here any more, in a forked child; empty elsewhere."""
        self._functions = functions
        self._dropped: deque[Record] = deque()
        self._perform: Performers = {Notify: _notify, **perform}
        self.driver = LockedDriver(
            self.lock, self.outbox.flush_rest, self.machine, clock=time.monotonic, perform=self._perform
        )
        """The handler of the endpoint."""

    def tell(self, event: Event) -> None:
        """Let the machine handle an event of this side, and have what it wants to send flushed.

        Raises
        ------
        ClosedError
            If the event needs a scheduler, and there is none any more.
        """
        with self.lock:
            if self._dropped:
                self._release_dropped()
            self._perform_all(self.machine.handle(event))
        # Not under the lock: the thread may send by itself, and takes it for what was dropped.
        if self.outbox.waiting:
            self.outbox.wake()

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
                # Noted before they are known: only these are taken back if ctrl-C comes.
                unknown = [spec.key for spec in event.tasks if spec.key not in records]
                instructions = self.machine.handle(event)
                waiting = self.outbox.waiting
                # The order is the protocol: values before the calls that need them, functions before those that name
                # them.
                waiting.extend(before)
                for function in named:
                    waiting.extend(self._functions.announce(function))
                self._perform_all(instructions)
                made = [records[spec.key] for spec in event.tasks if spec.wanted]
        except BaseException as error:
            # An Exception is a refusal (ClosedError), which has made nothing; an interrupt may come between any two
            # lines.
            if not isinstance(error, Exception):
                self._undo(unknown, named)
            raise
        self.outbox.wake()
        return made

    def hold(self, keys: list[Key]) -> list[Record]:
        """Hold futures of keys that were submitted elsewhere, or earlier; return their records, one for each."""
        with self.lock:
            if self._dropped:
                self._release_dropped()
            self._perform_all(self.machine.handle(KeysHeld(keys)))
            records = [self.machine.records[key] for key in keys]
        self.outbox.wake()
        return records

    def hold_known(self, key: Key) -> Record | None:
        """Hold one more future of a key that this client has one of and return its record; ``None`` if it has none.

        Data that were lost count as none: they have to be submitted again.
        """
        with self.lock:
            if self._dropped:
                self._release_dropped()
            record = self.machine.records.get(key)
            # What was lost has to be submitted again, as its error says: this record would only give that error anew.
            if record is None or record.status is LOST:
                return None
            self._perform_all(self.machine.handle(KeysHeld([key])))
        return record

    def let_go(self, records: list[Record]) -> None:
        """Undo one hold of each."""
        if records:
            self.tell(FuturesDropped(records))

    def drop(self, record: Record) -> None:
        """Let go of one future of a record; takes no lock."""
        if not self.closed:
            # One append, which is whole or not there at all: that's why it needs no lock.
            self._dropped.append(record)
            if record.nbytes > PATIENT_BYTES:
                self.outbox.wake_loop()  # others go with the next submission, or the next tick

    def watch(self, records: Sequence[Record], watcher: Watcher, begin: Callable[[int], None] | None = None) -> int:
        """Have ``watcher`` called for each record that is pending; return how many these are.

        ``begin`` is told that number before the first call.

        Raises
        ------
        ClosedError
            If one is pending in a forked child, where it stays so: its parent hears of it.
        """
        if self.abandoned and any(record.status is PENDING for record in records):
            raise ClosedError(self.abandoned)
        watch = self.machine.watch
        with self.lock:
            count = sum([watch(record, watcher) for record in records])
            if begin is not None:
                # Still under the lock: once it is free, a record may settle, and would be counted down from nothing.
                begin(count)
        return count

    def unwatch(self, records: Sequence[Record], watcher: Watcher) -> None:
        """Undo :meth:`watch`."""
        with self.lock:
            for record in records:
                self.machine.unwatch(record, watcher)

    # The end

    def close(self, reason: str) -> None:
        """Settle every future and every question, once what was submitted is sent; loop thread only."""
        # First: futures that die from now on have nobody to tell.
        self.closed = True
        self.outbox.flush()
        with self.lock:
            self._perform_all(self.machine.handle(Closed(reason), now=time.monotonic()))
        self.driver.stop()
        # What wasn't sent stands behind a gate that opens too late.
        self.outbox.waiting.clear()

    def abandon(self, reason: str) -> None:
        """Do nothing any more, in a forked child: another thread of the parent may have held the lock."""
        self.closed = True
        self.abandoned = reason
        self.lock = threading.Lock()
        self.outbox.abandon()
        self.machine.state.gone = reason

    # Under the lock

    def _perform_all(self, instructions: list[Instruction]) -> None:
        perform = self._perform
        waiting = self.outbox.waiting
        for instruction in instructions:
            if type(instruction) is Send:
                # Put in only: whoever holds the lock wakes the outbox when it is free again.
                waiting.append(instruction.message)
            else:
                perform[type(instruction)](instruction)

    def _take_dropped(self) -> None:
        if self._dropped:
            with self.lock:
                self._release_dropped()

    def _release_dropped(self) -> None:
        """Tell the machine of futures that were let go of; under the lock."""
        dropped = self._dropped
        records = []
        # One by one: a finalizer may append at any moment, and list() with clear() would lose what it appended.
        while dropped:
            records.append(dropped.popleft())
        self._perform_all(self.machine.handle(FuturesDropped(records)))

    def _undo(self, unknown: Sequence[Key], named: Sequence[PickledFunction]) -> None:
        """Take back a submission that was interrupted: nobody has futures of it, and it may not have been sent."""
        with self.lock:
            for function in named:
                self._functions.retract(function)
            records = self.machine.records
            made = [records[key] for key in unknown if key in records]
            self._perform_all(self.machine.handle(FuturesDropped(made)))
        self.outbox.wake()


def _notify(instruction: Notify) -> None:
    record = instruction.record
    for watcher in instruction.watchers:
        watcher(record)
