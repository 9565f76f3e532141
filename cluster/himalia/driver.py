"""Runs a pure machine: events in, instructions out and performed.  One driver serves every shell.

It reads the clock, once per batch; calls ``handle``; performs what comes back, in order.  An event that arises while
another is handled (a performer that fails at once, say) waits for its turn.

An exception while one event is handled is a bug of that event's handler: it is logged with the message's type and key,
and the session and all other events go on (docs/notes/0012).  With ``strict`` it is raised instead.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

from himalia.bucket import Complaints
from himalia.machine import Disconnect, Machine, PeerJoined, PeerLeft, Performers, Send, Ticked
from himalia.names import PeerId, shorten
from himalia.settings import Settings

logger = logging.getLogger("himalia.driver")

NOBODY = PeerId("")
"""Source of events of this side."""


class Outlet(Protocol):
    """What a driver needs of an endpoint."""

    settings: Settings

    def send(self, peer: PeerId, message: object) -> None:
        """Queue a message."""

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """End a session."""

    def pending(self) -> dict[PeerId, int]:
        """Return how many messages each peer hasn't acknowledged yet, of those that haven't all."""


class Driver:
    """A machine with everything around it; it is the handler of the endpoint it is attached to.

    Parameters
    ----------
    machine : Machine
        Who decides.
    clock : callable
        Seconds, monotonic.
    perform : mapping
        Instruction class → what to do; :class:`Send` and :class:`Disconnect` go to the endpoint by themselves.
    strict : bool
        Raise what a handler or performer raises, for tests.
    """

    def __init__(
        self,
        machine: Machine,
        *,
        clock: Callable[[], float],
        perform: Performers,
        strict: bool = False,
    ) -> None:
        self._machine = machine
        self._clock = clock
        self._complaints = Complaints(logger)
        self._perform: Performers = {
            Send: lambda instruction: self._send(instruction.peer, instruction.message),
            Disconnect: self._disconnect,
            **perform,
        }
        self._strict = strict
        self._endpoint: Outlet | None = None
        # A function of its own and no test for None: this is called for every message.
        self._send: Callable[[PeerId, object], None] = _nowhere
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False
        self._waiting: deque[tuple[object, PeerId]] = deque()

    def attach(self, endpoint: Outlet) -> None:
        """Send through this endpoint from now on, and tick if a loop runs."""
        self._endpoint = endpoint
        self._send = endpoint.send
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a test that feeds events by hand has no loop
            return
        interval = endpoint.settings.tick_interval
        self._timer = loop.call_later(interval, self._tick, loop, interval)

    def stop(self) -> None:
        """Tick no more."""
        if self._timer is not None:
            # A machine that has ended would go on being asked what is due.
            self._timer.cancel()
            self._timer = None

    def feed(self, event: object, source: PeerId = NOBODY) -> None:
        """Let the machine handle an event, and perform what it wants; events fed meanwhile follow in their order."""
        self.messages_received(source, [event])

    def peer_joined(self, peer: PeerId, role: str) -> None:
        """See :class:`himalia.comm.endpoint.Handler`."""
        self.feed(PeerJoined(peer, role), peer)

    def peer_left(self, peer: PeerId, reason: str) -> None:
        """See :class:`himalia.comm.endpoint.Handler`."""
        self.feed(PeerLeft(peer, reason), peer)

    def messages_received(self, peer: PeerId, messages: list[object]) -> None:
        """Handle messages in their order, all at one reading of the clock."""
        # A performer that fails at once feeds an event while its machine is being used, whose tables may be half
        # changed.
        if self._busy:
            self._waiting.extend([(message, peer) for message in messages])
            return
        self._busy = True
        try:
            self._run(peer, messages)
            while self._waiting:
                event, source = self._waiting.popleft()
                self._run(source, [event])
        finally:
            self._busy = False

    def _run(self, source: PeerId, events: list[object]) -> None:
        # One reading for all: what came in one piece happened at one time, and a decision never depends on how long the
        # one before took.
        now = self._clock()
        handle, perform, send = self._machine.handle, self._perform, self._send
        for event in events:
            try:
                instructions = handle(event, now=now, source=source)
            except Exception as error:
                self._report("handling", event, error)
                # One message of a batch must not cost the others.
                continue
            for instruction in instructions:
                try:
                    # Most are; the table's way to the same would be a look-up and two more calls.
                    if type(instruction) is Send:
                        send(instruction.peer, instruction.message)
                    else:
                        perform[type(instruction)](instruction)
                except Exception as error:
                    self._report("performing", instruction, error)

    def _disconnect(self, instruction: Disconnect) -> None:
        if self._endpoint is not None:
            self._endpoint.disconnect(instruction.peer, instruction.reason)

    def _report(self, doing: str, what: object, error: Exception) -> None:
        """Log a bug with what is needed to find it."""
        if self._strict:
            # A test must see the bug, not a line in a log.
            raise error
        key = shorten(str(getattr(what, "key", "")))
        name = type(what).__name__
        self._complaints.write(self._clock(), "%s %s %s failed; it is skipped", doing, name, key, error=error)

    def _tick(self, loop: asyncio.AbstractEventLoop, interval: float) -> None:
        # First: whatever handling this one raises, there is a next one.
        self._timer = loop.call_later(interval, self._tick, loop, interval)
        self.feed(Ticked(self._endpoint.pending() if self._endpoint is not None else {}))


def _nowhere(peer: PeerId, message: object) -> None:
    """Drop a message: no endpoint is attached yet."""
    logger.debug("a %s to %s was dropped: no endpoint is attached", type(message).__name__, peer)
