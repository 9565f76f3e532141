"""A seeded network between real endpoints: real sessions, links, codec, handshakes, redials and leases.

Each process has an :class:`himalia.comm.endpoint.Endpoint` on an event loop of its own (``process_loop.py``), whose
connections are streams of bytes (``streams.py``).  Only what needs a kernel is left out: sockets and TLS, how a
listener fends off a crowd (``comm/listening.py``), and threads that write past the loop.

Decides when connections are made and cut, and sees to what endpoints promise: every message arrives once, unchanged and
in order; what arrived is acknowledged soon; no session ends without a reason, and none survives its peer for long.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeVar

from himalia.comm.addresses import Address
from himalia.comm.connection import Acceptance, Greeting, Peer
from himalia.comm.endpoint import Endpoint
from himalia.comm.handshake import HANDSHAKE_TIMEOUT, ListenerHandshake, Refused
from himalia.comm.introduction import Welcome
from himalia.comm.link import Link
from himalia.comm.security import Credentials, ServerCertificate
from himalia.comm.sockets import hand_over
from himalia.comm.wires import Sockets
from himalia.errors import ConnectError, HandshakeError
from himalia.names import SCHEDULER, PeerId
from himalia.settings import Settings
from himalia.testing.network import Owner, Unions, Weather
from himalia.testing.process_loop import ProcessLoop
from himalia.testing.streams import ByteStream, StreamEnd
from himalia.testing.world import SimulationError, World

P = TypeVar("P", bound=asyncio.Protocol)

# The same for all: who may come in is no question here.
CREDENTIALS: Final = Credentials("simulated", b"s" * 32)
NEAR: Final = "unix:///run/scheduler", "tcp://127.0.0.1:8786"
FAR: Final = "tls://10.0.0.100:8786"
"""What the scheduler listens at: on its own host, where the kernel tells of every death, and for others."""
ELSEWHERE: Final = 0.7
"""Probability that a process is on another host than the scheduler."""
SILENT: Final = 0.3
"""Probability that nobody is told when a far connection is cut: a cable was pulled, or a host lost its power."""
UNHEARD: Final = 0.5
"""Probability that who dials somebody out of reach gets no answer, instead of a refusal."""
AGAIN: Final = 1.0
"""Seconds until a kernel tries again to open a connection.  Linux begins with that."""
ACKNOWLEDGED_WITHIN: Final = 2.0
"""Seconds in good weather until a message is acknowledged: an endpoint looks four times a second."""
SLACK: Final = 1.0
"""Seconds that finding out and dialing again may take, beside leases and pauses."""


class RealNetwork:
    """All lines, and the weather above them.

    Parameters
    ----------
    world : World
        Whose time passes.
    weather : Weather
        How bad it is; changed by faults, and fair again when they are over.
    unions : mapping
        For each role that dials: what it may send, and what it may be sent (:mod:`himalia.messages`).
    settings : Settings
        Leases.
    """

    def __init__(self, world: World, weather: Weather, unions: Unions, settings: Settings) -> None:
        self.world = world
        self.weather = weather
        self.settings = settings
        self.random = world.chance("network")
        self.frames = 0
        self.stalled_until = 0.0
        """Until when the scheduler stands still."""
        self.unions = unions
        self.doors: dict[str, SimulatedDoor] = {}
        self.comms: dict[PeerId, RealComm] = {}
        """Of all processes that live."""
        self.under_way: dict[tuple[PeerId, PeerId], deque[object]] = {}
        """By sender and receiver: what was sent and has not arrived."""

    def enter(self, owner: Owner) -> RealComm:
        """Let a process in; the scheduler comes first."""
        comm = self.comms[owner.me] = RealComm(self, owner)
        return comm

    def lines(self, owner: Owner) -> list[RealLine]:
        """What lies between a process and the scheduler."""
        comm = self.comms.get(owner.me)
        return [] if comm is None or comm.line is None else [comm.line]

    def stand_still(self, owner: Owner, seconds: float) -> None:
        """Let a process neither read nor write for a while."""
        comm = self.comms.get(owner.me)
        if comm is None:
            return
        # The kernel goes on: its buffers fill with what others send.
        comm.loop.stand_still(seconds)
        if comm.line is not None:
            comm.line.expect_trouble(seconds)
        else:
            self.stalled_until = max(self.stalled_until, self.world.now + seconds)
            for line in self.all_lines():
                line.expect_trouble(seconds)

    def all_lines(self) -> list[RealLine]:
        """The lines of all processes that live."""
        return [comm.line for comm in self.comms.values() if comm.line is not None]

    def end(self) -> None:
        """Let go of everything: the run is over."""
        for comm in self.comms.values():
            comm.loop.end()

    def calm_down(self) -> None:
        """Have good weather from now on, and everybody in reach."""
        was_slow = self.weather.slow
        self.weather = Weather()
        for line in self.all_lines():
            line.blocked_until = min(line.blocked_until, self.world.now)
            if was_slow:
                # What is under way was drawn in bad weather, and may still be late.
                line.expect_trouble(SLACK)

    def delay(self) -> float:
        """Draw how long something is under way."""
        weather = self.weather
        delay = weather.latency + weather.jitter * self.random.random()
        if weather.slow and self.random.random() < weather.slow:
            delay += weather.slow_latency * self.random.random()
        return delay


class RealLine:
    """What lies between a process and the scheduler: their connections, one after the other."""

    def __init__(self, network: RealNetwork, dialer: RealComm, address: str, lease: float) -> None:
        self.network = network
        self.world = network.world
        self.random = network.random
        self.dialer = dialer
        self.address = address
        self.lease = lease
        self.blocked_until = 0.0
        self.trouble_until = 0.0
        """Until when the session may end without a word."""
        self.streams: list[ByteStream] = []

    def cut(self, blocked: float) -> None:
        """Cut the connection; none gets through for ``blocked`` seconds."""
        self.blocked_until = max(self.blocked_until, self.world.now + blocked)
        self.expect_trouble(blocked + self.network.weather.notice)
        # All there are: one that the other side has given up may still be believed in by this one.
        for stream in self.streams:
            stream.cut(is_silent=self._is_silent())

    def clog(self, upwards: bool, seconds: float) -> None:
        """Let nothing arrive at one side for a while; nothing is lost."""
        self.expect_trouble(seconds)
        for stream in self.streams:
            end = stream.upper if upwards else stream.lower
            end.not_before = max(end.not_before, self.world.now + seconds)

    def expect_trouble(self, seconds: float) -> None:
        """Note that for so long, and the time that leases take from then on, the session may end."""
        self.trouble_until = max(self.trouble_until, self.world.now + seconds + 2 * self.lease + SLACK)

    def dialer_died(self) -> None:
        """Let the scheduler learn of it, in one of the ways in which it may."""
        for stream in self.streams:
            # With its host, or alone: then its kernel says so, behind what was written.
            if self._is_silent() or self.random.random() < 0.5:
                stream.cut(is_silent=self._is_silent())
            else:
                stream.died(stream.lower)

    def _is_silent(self) -> bool:
        # Near, the kernel tells. A client that says nothing is waited for as long as its connection stands
        # (Link.patient), so that a silent cut would never be over.
        return self.address == FAR and self.dialer.owner.role == "nanny" and self.random.random() < SILENT

    def reset_soon(self, end: StreamEnd) -> None:
        """Let one side learn that the other has no such connection."""
        if not end.stream.is_cut:
            self.world.call_later(self.network.delay(), self._reset, end)

    def _reset(self, end: StreamEnd) -> None:
        if not end.stream.is_lost:
            end.reset()

    # How a connection is made

    async def open(self, factory: Callable[[], P]) -> tuple[StreamEnd, P]:
        """Connect to the scheduler."""
        opened: asyncio.Future[ByteStream] = self.dialer.loop.create_future()
        self.world.call_later(self.network.delay(), self._knock, opened)
        try:
            stream = await opened
        except asyncio.CancelledError:
            # Open in the very moment in which nobody waits any more: nobody else would close it.
            if opened.done() and not opened.cancelled():
                opened.result().lower.abort()
            raise
        if stream.lower.is_closing():
            raise ConnectionResetError("connection reset by peer")
        protocol = factory()
        stream.lower.set_protocol(protocol)
        protocol.connection_made(stream.lower)
        return stream.lower, protocol

    def _knock(self, opened: asyncio.Future[ByteStream]) -> None:
        """Arrive at the scheduler's host."""
        door = self.network.doors.get(self.address)
        if opened.done() or self.dialer.loop.is_over:
            return
        if door is None or self.world.now < self.blocked_until:
            # Out of reach: what knocks gets lost, and the kernel knocks again.
            if door is not None and self.random.random() < UNHEARD:
                self.world.call_later(AGAIN, self._knock, opened)
            else:
                self.world.call_later(self.network.delay(), self._refuse, opened)
            return
        # Here, where one more comes, and not at each end: faults go through the list.
        self.streams = [stream for stream in self.streams if not stream.is_over]
        stream = ByteStream(self, self.dialer.loop, door.loop)
        self.streams.append(stream)
        # By its loop: a scheduler that stands still has this one in its kernel's queue, and the dialer is through.
        door.loop.call_soon(door.meet, stream.upper)
        self.world.call_later(self.network.delay(), self._admit, opened, stream)

    def _refuse(self, opened: asyncio.Future[ByteStream]) -> None:
        if not opened.done():
            opened.set_exception(ConnectionRefusedError("connection refused"))

    def _admit(self, opened: asyncio.Future[ByteStream], stream: ByteStream) -> None:
        if opened.done() or self.dialer.loop.is_over:
            # It was given up while the answer was under way; over there it looks open.
            self.reset_soon(stream.upper)
        elif not stream.is_cut:
            opened.set_result(stream)
        # Or never: then the time limit of whoever dials ends it.
        elif self.random.random() >= UNHEARD:
            self._refuse(opened)


class SimulatedSockets(Sockets):
    """The real way to dial, over a loop that makes simulated connections, and a door for those who do."""

    def __init__(self, network: RealNetwork, loop: ProcessLoop) -> None:
        self._network = network
        self._loop = loop

    async def listen(
        self,
        where: Address,
        *,
        greeting: Greeting,
        credentials: Credentials,
        roles: Collection[str],
        accept: Callable[[Peer], Acceptance],
        certificate: ServerCertificate | None,
    ) -> SimulatedDoor:
        """Let peers in; see :class:`himalia.comm.wires.Wires`."""

        # As comm/listening.py makes it, but for the certificate: there is no TLS here.
        def handshake(welcome: Callable[[Peer], Welcome]) -> ListenerHandshake:
            return ListenerHandshake(greeting, credentials, roles, "a simulated peer", "", welcome)

        door = self._network.doors[str(where)] = SimulatedDoor(str(where), self._loop, handshake, accept)
        return door


class SimulatedDoor:
    """What lets peers in at one address of the scheduler."""

    def __init__(
        self,
        address: str,
        loop: ProcessLoop,
        handshake: Callable[[Callable[[Peer], Welcome]], ListenerHandshake],
        accept: Callable[[Peer], Acceptance],
    ) -> None:
        self.address = address
        self.loop = loop
        self.handshake = handshake
        self.accept = accept

    def meet(self, end: StreamEnd) -> None:
        """Receive a connection."""
        visitor = Visitor(self)
        end.set_protocol(visitor)
        visitor.connection_made(end)

    def close(self) -> None:
        """The scheduler lives as long as its world."""


class Visitor(asyncio.Protocol):
    """An accepted connection until its peer is known."""

    transport: StreamEnd

    def __init__(self, door: SimulatedDoor) -> None:
        self._door = door
        self._handshake = door.handshake(self._welcome)
        self._acceptance: Acceptance | None = None
        self._timer = door.loop.call_later(HANDSHAKE_TIMEOUT, self._time_out)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, StreamEnd)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            reply = self._handshake.receive(data)
        except HandshakeError as error:
            if isinstance(error, Refused):
                self.transport.write(error.reply)
            self._timer.cancel()
            self.transport.close()
            return
        self.transport.write(reply)
        if self._acceptance is not None:
            self._timer.cancel()
            hand_over(self.transport, self._acceptance.protocol, self._handshake.leftover)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()

    def _welcome(self, peer: Peer) -> Welcome:
        self._acceptance = self._door.accept(peer)
        return Welcome(self._acceptance.received)

    def _time_out(self) -> None:
        self.transport.abort()


class HonestEndpoint(Endpoint):
    """An endpoint among peers that send what they may, on a network that says when it does harm."""

    watch: Callable[[PeerId, str], None]
    """Told of each connection that breaks."""

    def lost(self, link: Link, reason: str) -> None:
        """See whether there is a reason, too."""
        # Every broken connection, not only the end of a session: resuming hides the fault that cut it.
        self.watch(link.peer, reason)
        super().lost(link, reason)

    def broken(self, link: Link, reason: str) -> None:
        """Raise it."""
        # Nobody here says what he may not: it is a fault of the code that carries it.
        raise SimulationError(f"{self.me} was sent something invalid by {link.peer}: {reason}")

    def unsendable(self, link: Link, rejected: list[tuple[object, str]]) -> None:
        """Raise it."""
        raise SimulationError(f"{self.me} sent what can't be encoded: {rejected}")


class RealComm:
    """The endpoint of one process, and what is known of its sessions."""

    def __init__(self, network: RealNetwork, owner: Owner) -> None:
        self.network = network
        self.world = network.world
        self.owner = owner
        self.me = owner.me
        self.random = network.world.chance(f"{owner.me}/comm")
        # A clock of its own, too: who sends a reading of it somewhere is found out.
        self.loop = ProcessLoop(network.world, self.random.random() * 1000.0)
        self.line: RealLine | None = None
        """The way to the scheduler, which itself has none."""
        self._is_closing = self._has_joined = False
        self._joined: dict[PeerId, _Sent] = {}
        self._early: list[object] = []
        """What a user's client had to say before it was connected, for which a real user has to wait."""
        # Who dials hears the scheduler alone; the scheduler hears each role in that role's own words.
        if owner.role in network.unions:
            unions = {"scheduler": network.unions[owner.role][1]}
        else:
            unions = {role: upwards for role, (upwards, _) in network.unions.items()}
        self.endpoint = HonestEndpoint(
            me=owner.me,
            role=owner.role,
            credentials=CREDENTIALS,
            unions=unions,
            handler=self,
            settings=network.settings,
            clock=self.loop,
            wires=SimulatedSockets(network, self.loop),
        )
        self.endpoint.watch = self._check_reason
        if owner.role == "scheduler":
            for address in (*NEAR, FAR):
                self.loop.create_task(self.endpoint.listen(address))

    # What the process asks for

    @property
    def peers(self) -> Sequence[PeerId]:
        return self.endpoint.peers

    def connect(self, alias: PeerId, lease: float) -> None:
        address = FAR if self.random.random() < ELSEWHERE else self.random.choice(NEAR)
        self.line = RealLine(self.network, self, address, lease)
        self.loop.connector = self.line.open
        # A client that starts while the scheduler stands still waits for it.
        self.line.expect_trouble(max(0.0, self.network.stalled_until - self.world.now))
        self.loop.create_task(self._connect(alias, address, lease))

    async def _connect(self, alias: PeerId, address: str, lease: float) -> None:
        try:
            await self.endpoint.connect(address, alias=alias, timeout=lease)
        except ConnectError as error:
            # Who can't even connect learns it as a loss, as in the model.
            self.peer_left(alias, str(error))

    def send(self, peer: PeerId, message: object) -> None:
        sent = self._joined.get(peer)
        if sent is None and self.line is not None and not self._has_joined:
            self._early.append(message)
        elif sent is not None:
            sent.count += 1
            self.network.under_way.setdefault((self.me, peer), deque()).append(message)
            self.endpoint.send(peer, message)

    def disconnect(self, peer: PeerId, reason: str) -> None:
        self._joined.pop(peer, None)
        other = self.network.comms.get(peer)
        line = self.line or (other.line if other is not None else None)
        if line is not None:
            # The other side will see an end for which nothing on the way is to blame.
            line.expect_trouble(0.0)
        self.endpoint.disconnect(peer, reason)

    def pending(self) -> dict[PeerId, int]:
        return self.endpoint.pending()

    def tick(self) -> None:
        """See whether what was sent is acknowledged."""
        now, pending = self.world.now, self.endpoint.pending()
        for peer, sent in self._joined.items():
            acknowledged = sent.count - pending.get(peer, 0)
            # It moves, or there is nothing to wait for, or something is in its way: the time starts anew.
            if acknowledged > sent.acknowledged or not pending.get(peer) or self._is_troubled(peer):
                sent.acknowledged, sent.since = acknowledged, now
            elif now - sent.since > ACKNOWLEDGED_WITHIN:
                raise SimulationError(f"{peer} acknowledges nothing of {pending[peer]} messages of {self.me}")

    def close(self, reason: str) -> None:
        # Said first: from here on whoever loses it knows why.
        self._is_closing = True
        self._joined.clear()
        self.loop.create_task(self._close())

    async def _close(self) -> None:
        await self.endpoint.close()
        self.die()

    def die(self) -> None:
        if not self.loop.is_over:
            self.loop.end()
            # Gone before the others hear of it: that explains whatever they lose.
            del self.network.comms[self.me]
            if self.line is not None:
                self.line.dialer_died()
                self.world.call_later(2 * self.line.lease + SLACK, self._look_whether_known)

    def _look_whether_known(self) -> None:
        """See whether the scheduler still believes in this process, which ended a while ago."""
        assert self.line is not None
        scheduler = self.network.comms[SCHEDULER]
        # A scheduler that stood still meanwhile gets the same time from then on.
        if self.world.now < self.network.stalled_until + 2 * self.line.lease + SLACK:
            self.world.call_later(SLACK, self._look_whether_known)
        elif self.me in scheduler.endpoint.peers and not self._is_troubled(SCHEDULER):
            raise SimulationError(f"{SCHEDULER} still has a session with {self.me}, which ended long ago")

    # What the endpoint tells

    def peer_joined(self, peer: PeerId, role: str) -> None:
        if peer in self._joined:
            self.loop.fail(SimulationError(f"{self.me} is told twice that {peer} joined"))
        self._joined[peer] = _Sent(self.world.now)
        self._has_joined = True
        self.network.under_way.pop((self.me, peer), None)  # who was welcomed and never heard of it comes a second time
        early, self._early = self._early, []
        for message in early:
            self.send(peer, message)
        self._tell(self.owner.peer_joined, peer, role)

    def messages_received(self, peer: PeerId, messages: list[object]) -> None:
        under_way = self.network.under_way.get((peer, self.me), deque())
        for message in messages:
            sent = under_way.popleft() if under_way else None
            # Lost, doubled, overtaken or changed: all of them show as a difference here.
            if message != sent:
                self.loop.fail(SimulationError(f"{self.me} received {message!r} of {peer}; it was sent {sent!r}"))
        self._tell(self.owner.messages_received, peer, messages)

    def peer_left(self, peer: PeerId, reason: str) -> None:
        self._joined.pop(peer, None)
        self._check_reason(peer, reason)
        self._tell(self.owner.peer_left, peer, reason)

    def _check_reason(self, peer: PeerId, reason: str) -> None:
        """See whether something happened to a peer, or to the line between, that explains its loss."""
        other = self.network.comms.get(peer)
        # Not among the living: that is reason enough.
        if other is not None and not (other.has_left or self._is_troubled(peer)):
            self.loop.fail(SimulationError(f"{self.me} lost {peer} for no reason: {reason}"))

    @property
    def has_left(self) -> bool:
        """Whether this process is about to end."""
        return self._is_closing

    def _tell(self, function: Callable[..., None], *arguments: object) -> None:
        """Tell the process; what it raises is for whoever runs the simulation, not for the endpoint."""
        try:
            function(*arguments)
        except Exception as error:
            self.loop.fail(error)

    def _is_troubled(self, peer: PeerId) -> bool:
        """Whether something happened to the line to a peer that may end a session."""
        other = self.network.comms.get(peer)
        line = self.line or (other.line if other is not None else None)
        return bool(self.network.weather.slow) or line is None or self.world.now < line.trouble_until


class _Sent:
    """What was sent to a peer, and how far it is acknowledged, and since when."""

    __slots__ = ("acknowledged", "count", "since")

    def __init__(self, now: float) -> None:
        self.count = self.acknowledged = 0
        self.since = now
