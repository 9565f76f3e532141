"""What a client has for its scheduler, in the order in which its machine wanted it sent, and who sends it.

Decides whether a thread that submits writes the frame itself or leaves that to the loop, what waits behind values that
are still being stored (:class:`Gate`), and when so much is under way that whoever submits has to wait.

An interrupt (ctrl-C) of a user's thread can end it between any two lines and leaves the outbox usable: at worst
something is flushed by the next tick.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from himalia.backlog import Backlog
from himalia.client.engine.critical_section import CriticalSection
from himalia.client.engine.state import Record
from himalia.comm.contact import Contact
from himalia.comm.endpoint import Endpoint
from himalia.messages.client import ClientToScheduler, ReleaseKeys, RunFunction, Submit
from himalia.messages.parts import FunctionBody
from himalia.names import SCHEDULER, Key, PeerId
from himalia.settings import Settings

MESSAGE: Final = 300
"""Bytes of a message or a call beside what it carries.  Measured, about."""
CONGESTION: Final = 128 * 1024 * 1024
"""Bytes that the scheduler has not acknowledged, from which on submitting threads wait.  Kafka's producer has 32 MiB
(``buffer.memory``); here arguments of up to a MiB are among them."""
ROOM_POLL: Final = 0.005
"""Seconds between two looks of such a thread.  Guess: long beside a flush, short beside what it waits for."""
EXPRESS_PAUSE: Final = 100e-6
"""Seconds without a submission after which the next one is sent by its own thread.  In a burst, the loop sends many at
once, which costs everybody less; a burst's submissions follow each other within 30 µs."""


class Gate:
    """A place in the outbox that holds back what stands behind it until its own messages are known."""

    __slots__ = ("messages", "since")

    def __init__(self) -> None:
        self.since = time.monotonic()
        self.messages: list[ClientToScheduler] | None = None


class Outbox:
    """Messages on their way to the scheduler; any thread, if nothing else is said.

    It is the outlet of the machine's driver (:class:`himalia.driver.Outlet`).

    Parameters
    ----------
    settings : Settings
    take_dropped : callable
        Has the machine handle what was let go of; called before anything is sent, never under the machine's lock.
    """

    def __init__(self, settings: Settings, take_dropped: Callable[[], None]) -> None:
        self.settings = settings
        self.congested = False
        """Whether so much is under way to the scheduler that whoever submits should wait."""
        self.waiting: deque[object] = deque()
        """What isn't sent yet; whoever holds the machine's lock appends, :meth:`wake` has it sent."""
        self._take_dropped = take_dropped
        self._backlog = Backlog()
        """What the scheduler hasn't acknowledged, encoded or not."""
        self._outlet = threading.Lock()
        """Held by whoever empties the outbox."""
        self._flush_due = False
        self._woken_at = 0.0
        self._endpoint: Endpoint | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0

    def open(self, endpoint: Endpoint) -> None:
        """Send through this endpoint from now on, whose loop runs in this thread."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._endpoint = endpoint

    def abandon(self) -> None:
        """Send nothing any more: the connection belongs to another process."""
        # As if a flush were due: neither wake() nor wake_loop() does anything then.
        self._flush_due = True

    # Into it

    def send(self, peer: PeerId, message: object) -> None:
        """Put a message into the outbox and see that it leaves soon; see :class:`himalia.driver.Outlet`."""
        self.waiting.append(message)
        self.wake()

    def wake(self) -> None:
        """Have the outbox emptied: by this thread if it is the first in a while, else by the loop, once per burst."""
        if not self._flush_due and not self._express():
            self.wake_loop()

    def wake_loop(self) -> None:
        """Have the loop empty it, with what else it sends at its next turn."""
        if self._flush_due or self._loop is None:
            return
        # Before the call: the loop may flush, and take this back, before the call returns.
        self._flush_due = True
        try:
            self._loop.call_soon_threadsafe(self.flush)
        except RuntimeError:  # the loop has ended, and everything with it
            pass

    def wait_for_room(self, is_over: Callable[[], object]) -> None:
        """Block this thread while too much is under way to the scheduler; not once ``is_over()``."""
        while self.congested and not is_over():
            time.sleep(ROOM_POLL)
            self.wake_loop()  # only its flush looks again

    # Out of it

    def _express(self) -> bool:
        """Empty the outbox from here, without the loop, unless much is going on; return whether that was done."""
        now = time.perf_counter()
        is_quiet = now - self._woken_at > EXPRESS_PAUSE
        # Also by those that leave it to the loop, or a burst would have a pause after its first.
        self._woken_at = now
        endpoint = self._endpoint
        # Never in the loop's thread: the driver sends with the machine's lock held, which _take_dropped() takes.
        if not is_quiet or endpoint is None or threading.get_ident() == self._loop_thread:
            return False
        # Before the lock below: nobody ever holds both.
        self._take_dropped()
        with CriticalSection(), self._outlet:  # a message half sent would end the session, one sent twice confuse it
            # What others append from here on is left to the next flush.
            messages = list(self.waiting)
            if any([type(message) is Gate for message in messages]) or not endpoint.express(SCHEDULER, messages):
                return False
            for message in messages:
                self.waiting.popleft()
                self._backlog.count(weight(message))
        self._woken_at = time.perf_counter()  # what sending took is no pause: a burst would go on like that
        return True

    def flush(self) -> None:
        """Send what is in the outbox, up to a gate that is still closed; loop thread only."""
        # First: whatever is put in from here on calls the loop again.
        self._flush_due = False
        self._take_dropped()
        endpoint = self._endpoint
        if endpoint is None:
            return
        with self._outlet:
            waiting, send, count = self.waiting, endpoint.send, self._backlog.count
            while waiting:
                message = waiting[0]
                if type(message) is Gate:
                    # Whoever opens it flushes again (placing.py).
                    if message.messages is None:
                        break
                    for inner in message.messages:
                        send(SCHEDULER, inner)
                        count(weight(inner))
                else:
                    send(SCHEDULER, message)
                    count(weight(message))
                waiting.popleft()
        endpoint.flush()
        self._look_at_backlog(endpoint)

    def flush_rest(self) -> None:
        """Send what nobody was in a hurry to send, or was interrupted before having it sent; loop thread only."""
        self._take_dropped()
        if self.waiting:
            self.flush()
        # Nothing to send, but the scheduler may have read since, and somebody wait for room.
        elif self._backlog.under_way and self._endpoint is not None:
            self._look_at_backlog(self._endpoint)

    def _look_at_backlog(self, endpoint: Endpoint) -> None:
        """Decide whether submitting threads have to wait for the scheduler to read."""
        # Threads that submit count what they send under the same lock.
        with self._outlet:
            waiting = self.waiting
            if not waiting:
                now = time.monotonic()
            else:  # what is in it was submitted after its gate; without one that isn't known
                first = waiting[0]
                now = first.since if type(first) is Gate else self._backlog.until
            self._backlog.arrived(endpoint.pending().get(SCHEDULER, 0), now)
            self.congested = self._backlog.under_way > CONGESTION

    # How it stands

    def is_held_up(self, key: Key | None = None) -> bool:
        """Whether a call, or anything, waits here to be sent until values were stored on a host."""
        # A copy, which is made in one step: other threads append, and a deque may not change under a loop.
        waiting = list(self.waiting)
        if not waiting or type(waiting[0]) is not Gate or waiting[0].messages is not None:
            return False
        return key is None or any(
            [type(message) is Submit and any([spec.key == key for spec in message.tasks]) for message in waiting]
        )

    def is_acknowledged(self, record: Record) -> bool:
        """Whether the scheduler is known to have what was sent until a record was submitted."""
        if self._endpoint is not None:
            # The last look may be a tick old.
            self._look_at_backlog(self._endpoint)
        return record.submitted <= self._backlog.until

    def contact(self) -> Contact | None:
        """How the session with the scheduler stands; ``None`` if there is none."""
        return None if self._endpoint is None else self._endpoint.contact(SCHEDULER)

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """End the session; see :class:`himalia.driver.Outlet`."""
        if self._endpoint is not None:
            self._endpoint.disconnect(peer, reason)

    def pending(self) -> dict[PeerId, int]:
        """How many messages the scheduler hasn't acknowledged; see :class:`himalia.driver.Outlet`."""
        return {} if self._endpoint is None else self._endpoint.pending()


def weight(message: Any) -> int:
    """About how many bytes a message to the scheduler takes, encoded or as it is."""
    kind = type(message)  # compared by hand: a match over these classes takes twice as long, for each message
    if kind is Submit:
        return MESSAGE + sum([MESSAGE + len(spec.call) for spec in message.tasks])
    if kind is FunctionBody:
        return MESSAGE + len(message.body)
    if kind is RunFunction:
        return MESSAGE + len(message.call)
    if kind is ReleaseKeys:
        return MESSAGE * len(message.keys) // 2
    return MESSAGE
