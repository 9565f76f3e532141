"""What every simulated process has: a life, a clock of its own, a machine, and links to peers.

This is the simulator's counterpart of ``driver.py``: it feeds events and performs instructions, in their order.  After
every event the machine's own ``validate()`` runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from himalia.machine import Disconnect, Machine, PeerJoined, PeerLeft, Performers, Send, Ticked
from himalia.messages.parts import Message
from himalia.names import PeerId
from himalia.testing.network import Comm
from himalia.testing.world import SimulationError

if TYPE_CHECKING:
    from himalia.testing.cluster import SimulatedCluster


class ValidMachine(Machine, Protocol):
    """A pure machine that can check itself."""

    def validate(self) -> None:
        """Raise AssertionError if an invariant is broken."""


class Process:
    """A process with a machine.

    Parameters
    ----------
    cluster : SimulatedCluster
        The world it lives in.
    me : PeerId
        Its incarnation.
    role : str
        ``scheduler``, ``nanny`` or ``client``.
    machine : ValidMachine
        What decides for it.
    """

    def __init__(self, cluster: SimulatedCluster, me: PeerId, role: str, machine: ValidMachine) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.random = cluster.world.chance(me)
        self.me = me
        self.role = role
        self.machine = machine
        self.is_alive = True
        # Before the first event, which may say something.
        self.comm: Comm = cluster.network.enter(self)
        self._is_busy = False
        self._waiting: deque[tuple[object, PeerId]] = deque()
        # Times of two processes can't be compared; who does so anyway is found out.
        self.skew = self.random.random() * cluster.plan.behaviour.clock_skew
        self.perform: Performers = {Send: self._send, Disconnect: self._disconnect}
        self._tick()

    def __repr__(self) -> str:
        return str(self.me)  # traces must not show addresses

    def feed(self, event: object, source: PeerId = PeerId("")) -> None:  # noqa: B008  # a NewType call is a constant
        """Let the machine handle an event and do what it says; events fed meanwhile follow, as with a driver."""
        if self._is_busy:
            self._waiting.append((event, source))
            return
        self._is_busy = True
        try:
            self._handle(event, source)
            while self._waiting:
                self._handle(*self._waiting.popleft())
        finally:
            self._is_busy = False

    def _handle(self, event: object, source: PeerId) -> None:
        if not self.is_alive:
            return
        if isinstance(event, Message):
            # It counted for the digest as bytes, when it arrived.
            self.world.note(self.me, event)
        # Ticks would push all else out of the lines that are kept.
        elif event.__class__ is not Ticked:
            self.world.record(self.me, event)
        self.cluster.before(self, event, source)
        for instruction in self.machine.handle(event, now=self.world.now + self.skew, source=source):
            action = self.perform.get(instruction.__class__)
            if action is None:
                raise SimulationError(f"{self.me} can't do {instruction!r}")
            action(instruction)
        self.machine.validate()
        self.cluster.after(self, event, source)

    def after(self, delay: float, function: Callable[..., None], *arguments: object) -> None:
        """Call ``function`` in ``delay`` seconds if this process lives then."""
        self.world.call_later(delay, self._if_alive, function, arguments)

    def _if_alive(self, function: Callable[..., None], arguments: tuple[object, ...]) -> None:
        if self.is_alive:
            function(*arguments)

    def _tick(self) -> None:
        """Feed the timer's event, for as long as the process lives."""
        self.after(self.cluster.settings.tick_interval, self._tick_and_again)

    def _tick_and_again(self) -> None:
        self.comm.tick()
        self.feed(Ticked(self.comm.pending()))
        self._tick()

    # What the network calls

    def peer_joined(self, peer: PeerId, role: str) -> None:
        """Learn that a session began."""
        self.feed(PeerJoined(peer, role))

    def messages_received(self, peer: PeerId, messages: list[object]) -> None:
        """Take what arrived in one frame."""
        for message in messages:
            self.feed(message, peer)

    def peer_left(self, peer: PeerId, reason: str) -> None:
        """Learn that a session ended."""
        self.feed(PeerLeft(peer, reason))

    # What every machine may ask for

    def _send(self, instruction: Send) -> None:
        self.comm.send(instruction.peer, instruction.message)

    def _disconnect(self, instruction: Disconnect) -> None:
        self.comm.disconnect(instruction.peer, instruction.reason)

    def kill(self) -> None:
        """End at once, as SIGKILL does."""
        if self.is_alive:
            self.is_alive = False
            self.world.record(self.me, "killed")
            self.comm.die()

    def end(self, reason: str) -> None:
        """End politely: what was said before arrives, then a goodbye."""
        if self.is_alive:
            # While it still counts as alive: the dead send nothing, and this is its goodbye.
            self.comm.close(reason)
            self.is_alive = False
            self.world.record(self.me, "ended")
