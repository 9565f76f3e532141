"""A seeded network between sessions: lines that delay, duplicate, stall and cut, under sessions that must survive it.

Decides when a frame arrives, or that it is lost; everything a session does about it (numbers, acknowledgements, sending
again) is the real :class:`himalia.comm.session.Session`.  It never looks into a message.

A line joins the process that dials with the one that listens.  It rides on numbered connections: a frame that is
under way when its connection is cut is lost.  Each side learns of a cut in its own time; the dialing one then tries
again until the lease ends, and both compare what they have seen before they go on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from himalia.comm.session import Session
from himalia.names import PeerId
from himalia.testing.network import Owner, Unions, Weather
from himalia.testing.world import SimulationError, World

GOODBYE: Final = 0.5
"""Seconds that what a process sent last has to arrive after its end: more than any wire takes whose frames aren't slow
(``draw_weather``), so that the goodbye usually comes before the news of the end."""


class End:
    """One side of a line: its session, and the connection it believes in (0: it knows that it is cut off)."""

    __slots__ = (
        "alias", "comm", "connection", "has_joined", "is_flushing", "is_over", "line", "lost", "not_before", "other",
        "owner", "session",
    )  # fmt: skip

    def __init__(self, comm: ModelComm, alias: PeerId, session: Session) -> None:
        self.comm = comm
        self.owner = comm.owner
        self.alias = alias
        self.session = session
        self.connection = 0
        self.lost = 0
        """Number of the last connection that it learned to be gone."""
        self.is_flushing = False
        self.has_joined = False
        self.is_over = False
        self.not_before = 0.0
        """Nothing arrives here earlier: what one connection carries keeps its order."""
        self.line: ModelLine
        self.other: End

    def send(self, message: object) -> None:
        """Queue a message; everything queued at one moment leaves in one frame."""
        self.session.send(message)
        if not self.is_flushing:
            self.is_flushing = True
            # When this moment is over, as an endpoint does at the end of a tick.
            self.line.world.call_later(0.0, self.line.flush, self)

    def leave(self, reason: str) -> None:
        """End the session on this side only."""
        if not self.is_over:
            self.is_over = True
            self.comm.ends.pop(self.alias, None)
            if self.has_joined or self is self.line.dialer:  # who can't even connect learns that too
                self.owner.peer_left(self.alias, reason)


class ModelLine:
    """A pair of sessions and the connection between them."""

    def __init__(self, network: ModelNetwork, dialer: End, listener: End, lease: float) -> None:
        self.network = network
        self.world = network.world
        self.random = network.random
        self.lease = lease
        self.dialer = dialer
        self.listener = listener
        self.connection = 0
        """Number of the connection that exists or is being made, 0 if there is none."""
        self.dialed = 0
        """Connections ever tried."""
        self.cut_at = 0.0
        self.blocked_until = 0.0
        self.is_redialing = False

    # The life of a connection

    def dial(self) -> None:
        """Try to connect; the answer decides."""
        self.is_redialing = False
        if self.dialer.is_over or self.connection or not self.dialer.owner.is_alive:
            return
        # Looked at before each try: who can't be reached in all that time is given up.
        if self.world.now - self.cut_at > self.lease:
            self.dialer.leave("the scheduler can't be reached")
        # Refused or unheard: the model makes no difference, the real network does.
        elif self.world.now < self.blocked_until or not self.listener.owner.is_alive:
            self._redial()
        else:
            self.dialed += 1
            self.connection = self.dialed
            self._carry(self.connection, self.listener, self._greet, self.dialer.session.received)

    def _redial(self) -> None:
        if not self.is_redialing:
            self.is_redialing = True
            self.world.call_later(self.random.uniform(0.02, 0.2), self.dial)

    def _greet(self, seen: int) -> None:
        """Let the listening side take the connection up, or refuse: its session may be over."""
        end = self.listener
        if end.is_over:
            self._carry(self.connection, self.dialer, self.dialer.leave, "the session was given up over there")
            return
        # The welcome before the first frames: both ride on the same connection, which keeps their order.
        self._carry(self.connection, self.dialer, self._welcome, end.session.received)
        self._take_up(end, seen)

    def _welcome(self, seen: int) -> None:
        """Let the dialing side take the connection up."""
        self._take_up(self.dialer, seen)

    def _take_up(self, end: End, seen: int) -> None:
        end.connection = self.connection
        if end.has_joined:
            # What the other side has seen is forgotten, the rest goes again, before anything new.
            self._transmit(end, end.session.resume(seen))
        else:
            end.has_joined = True
            end.owner.peer_joined(end.alias, end.other.owner.role)
        self.flush(end)

    def cut(self, blocked: float) -> None:
        """Cut the connection; none gets through for ``blocked`` seconds."""
        self.blocked_until = max(self.blocked_until, self.world.now + blocked)
        if self.connection:
            self.connection = 0
            self.cut_at = self.world.now
            # Each side believes in it for a while, and writes to it: those frames are lost.
            for end in (self.dialer, self.listener):
                notice = self.random.uniform(0.0, self.network.weather.notice)
                self.world.call_later(notice, self._lose, end, self.dialed)

    def clog(self, upwards: bool, seconds: float) -> None:
        """Let nothing arrive at one side for a while, shorter than the lease; nothing is lost.

        A connection that is silent for longer is taken for dead by both ends: that is a :meth:`cut`.
        """
        end = self.listener if upwards else self.dialer
        end.not_before = max(end.not_before, self.world.now + min(seconds, 0.9 * self.lease))

    def _lose(self, end: End, connection: int) -> None:
        """Let one side learn that its connection is gone."""
        # It has a newer one: this is old news.
        if end.is_over or not end.owner.is_alive or end.connection > connection:
            return
        end.connection = 0
        end.lost = connection
        if end is self.dialer:
            self._redial()
        else:
            self.world.call_later(self.lease, self._expire, connection)

    def _expire(self, connection: int) -> None:
        """End the session at the listening side, if nobody came back."""
        end = self.listener
        # Nobody came since; a loss after this one has a lease of its own.
        if not end.connection and end.lost == connection:
            end.leave("the lease ran out")

    def say_goodbye(self, end: End, reason: str) -> None:
        """End the session after everything that was queued; the other side learns at once, if it can be reached."""
        self.flush(end)
        if end.connection:
            self._carry(end.connection, end.other, self._arrive, end.other, end.session.goodbye_frame(reason))
        end.is_over = True

    # What a connection carries

    def flush(self, end: End) -> None:
        """Send what was queued at this side; without a connection it stays in the session until one resumes it."""
        end.is_flushing = False
        if end.connection and end.owner.is_alive:
            self._transmit(end, end.session.take_frames())
            if end.session.rejected:
                raise SimulationError(f"{end.owner.me} sent what can't be encoded: {end.session.rejected}")

    def acknowledge(self, end: End) -> None:
        """Acknowledge what arrived, if nothing else did it: a process does this now and then."""
        # As an endpoint's sweep does; without it a sender whose peer has nothing to say keeps its frames for ever.
        frame = end.session.take_ack() if end.connection and end.owner.is_alive else None
        if frame is not None:
            self._carry(end.connection, end.other, self._arrive, end.other, bytes(frame))

    def _transmit(self, end: End, frames: Sequence[bytes | bytearray | memoryview]) -> None:
        for frame in frames:
            data = bytes(frame)
            self.network.frames += 1
            self._carry(end.connection, end.other, self._arrive, end.other, data)
            # No connection carries anything twice; it stands for a frame that is sent again though it had arrived.
            if self.random.random() < self.network.weather.duplicate:
                self._carry(end.connection, end.other, self._arrive, end.other, data)

    def _arrive(self, end: End, frame: bytes) -> None:
        # Bytes, not only events: two runs of a seed that differ in one field have different digests.
        self.world.absorb(frame)
        session = end.session
        messages = session.receive(frame)
        if messages:
            end.owner.messages_received(end.alias, messages)
        # After its messages: a goodbye is the last frame.
        if session.goodbye is not None:
            end.leave(session.goodbye)
        elif session.ack_due:
            self.flush(end)

    def _carry(self, connection: int, to: End, function: Callable[..., None], *arguments: object) -> None:
        """Call ``function`` when this reaches the other side, unless that connection is cut before."""
        # Nothing overtakes: a slow frame keeps back all behind it.
        to.not_before = max(to.not_before, self.world.now + self.network.delay())
        self.world.call_at(to.not_before, self._land, connection, to, function, arguments)

    def _land(self, connection: int, to: End, function: Callable[..., None], arguments: tuple[object, ...]) -> None:
        # What was under way when its connection was cut is lost.
        if connection and connection == self.connection and to.owner.is_alive:
            function(*arguments)


class ModelComm:
    """The sessions of one process."""

    def __init__(self, network: ModelNetwork, owner: Owner) -> None:
        self.network = network
        self.owner = owner
        self.ends: dict[PeerId, End] = {}
        """Its side of every line, by the name it knows the peer by."""

    @property
    def peers(self) -> Collection[PeerId]:
        return self.ends.keys()

    def connect(self, alias: PeerId, lease: float) -> None:
        self.network.connect(self, alias, lease)

    def send(self, peer: PeerId, message: object) -> None:
        end = self.ends.get(peer)
        if end is not None and not end.is_over:
            end.send(message)

    def disconnect(self, peer: PeerId, reason: str) -> None:
        end = self.ends.pop(peer, None)
        if end is not None:
            end.line.say_goodbye(end, reason)

    def pending(self) -> dict[PeerId, int]:
        return {peer: count for peer, end in self.ends.items() if (count := end.session.pending)}

    def tick(self) -> None:
        for end in list(self.ends.values()):
            end.line.acknowledge(end)

    def close(self, reason: str) -> None:
        for end in self.ends.values():
            end.line.say_goodbye(end, reason)
        # Not at once: cutting the line would lose the goodbye that was just written.
        self.network.world.call_later(GOODBYE, self.die)

    def die(self) -> None:
        self.network.process_died(self.owner)


class ModelNetwork:
    """All lines, and the weather above them.

    Parameters
    ----------
    world : World
        Whose time passes.
    weather : Weather
        How bad it is; changed by faults, and fair again when they are over.
    unions : mapping
        For each role that dials: what it may send, and what it may be sent (:mod:`himalia.messages`).
    """

    def __init__(self, world: World, weather: Weather, unions: Unions) -> None:
        self.world = world
        self.weather = weather
        self.random = world.chance("network")
        self.frames = 0
        self._unions = unions
        self._lines: list[ModelLine] = []
        self._listener: ModelComm | None = None

    def enter(self, owner: Owner) -> ModelComm:
        """Let a process in; the first one is who the others dial."""
        comm = ModelComm(self, owner)
        if self._listener is None:
            self._listener = comm
        return comm

    def connect(self, dialer: ModelComm, alias: PeerId, lease: float) -> None:
        """Let ``dialer`` dial the scheduler, known as ``alias``; both learn of it by ``peer_joined``."""
        listener = self._listener
        assert listener is not None
        upwards, downwards = self._unions[dialer.owner.role]
        here = End(dialer, alias, Session(downwards))
        there = End(listener, dialer.owner.me, Session(upwards))
        here.other, there.other = there, here
        line = ModelLine(self, here, there, lease)
        here.line = there.line = line
        dialer.ends[alias] = here
        listener.ends[dialer.owner.me] = there
        self._lines.append(line)
        # From here its lease counts until it is connected for the first time.
        line.cut_at = self.world.now
        self.world.call_later(0.0, line.dial)

    def lines(self, owner: Owner) -> list[ModelLine]:
        """What lies between a process and the scheduler."""
        return [line for line in self._lines if line.dialer.owner is owner and not line.dialer.is_over]

    def stand_still(self, owner: Owner, seconds: float) -> None:
        """Let nothing arrive at a process for a while; what it says itself goes on its way."""
        for line in self._lines:
            if owner in (line.dialer.owner, line.listener.owner):
                line.clog(line.listener.owner is owner, seconds)

    def end(self) -> None:
        """Let go of everything: the run is over."""

    def calm_down(self) -> None:
        """Have good weather from now on, and everybody in reach."""
        self.weather = Weather()
        for line in self._lines:
            line.blocked_until = min(line.blocked_until, self.world.now)

    def delay(self) -> float:
        """Draw how long something is under way."""
        weather = self.weather
        delay = weather.latency + weather.jitter * self.random.random()
        if weather.slow and self.random.random() < weather.slow:
            delay += weather.slow_latency * self.random.random()
        return delay

    def process_died(self, owner: Owner) -> None:
        """Cut all lines of a dead process; what it had sent may be lost on the way."""
        for line in self._lines:
            if owner in (line.dialer.owner, line.listener.owner):
                # A kernel closes what its processes leave; the other side finds out in its own time.
                line.cut(0.0)
        # Or a long run would go through the lines of all who ever lived, at each fault.
        self._lines = [line for line in self._lines if not self._is_dead(line)]

    def _is_dead(self, line: ModelLine) -> bool:
        return line.dialer.is_over and line.listener.is_over
