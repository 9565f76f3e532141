"""Connections in memory for real endpoints: they carry bytes, and stall, break or end when a test says so.

The handshake on them is the real one, so roles, secrets, resumed sessions and refusals are as on sockets; there is no
TLS and no operating system.  What is written arrives in the next tick of the clock, cut where it pleases the wires.
::

    loop = HandLoop()
    wires = MemoryWires(loop)
    scheduler = Endpoint(..., clock=loop, wires=wires)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Final

from himalia.comm.addresses import Address
from himalia.comm.clock import Clock
from himalia.comm.handshake import DialerHandshake, Greeting, ListenerHandshake, Peer, Refused
from himalia.comm.introduction import Welcome
from himalia.comm.listening import Acceptance
from himalia.comm.security import Credentials, ServerCertificate
from himalia.errors import HandshakeError, UnreachableError

PAUSE: Final = 0.05
"""Seconds between two tries of a dialer."""
CHUNK: Final = 64 * 1024
"""Bytes that arrive at once at most: what a socket gives an event loop, roughly."""
UNLIMITED: Final = 1 << 60


class MemoryWires:
    """A network between the endpoints of one test, all of whose connections share its fate.

    Parameters
    ----------
    clock : Clock
        When things arrive.
    chunk : callable, optional
        Asked for the most bytes that arrive at once.

    Attributes
    ----------
    connections : int
        How many were ever made.
    budget : int
        Bytes after which all connections break, in the middle of whatever it is.
    reachable : bool
        Whether dialers get through.
    """

    def __init__(self, clock: Clock, *, chunk: Callable[[], int] = lambda: CHUNK) -> None:
        self.clock = clock
        self.chunk = chunk
        self.connections = 0
        self.budget = UNLIMITED
        self.reachable = True
        self._doors: dict[str, MemoryDoor] = {}
        self._ends: dict[MemoryTransport, None] = {}
        self._is_stalled = False

    def cut(self) -> None:
        """Break all connections, and have both sides notice."""
        for end in list(self._ends):
            end.abort()
            end.end()

    def stall(self) -> None:
        """Carry nothing from now on, and tell nobody: a cable was cut, or somebody doesn't read."""
        self._is_stalled = True

    def flow(self) -> None:
        """Carry again, what was written meanwhile first."""
        self._is_stalled = False
        for end in list(self._ends):
            end.pump_soon()

    async def listen(
        self,
        where: Address,
        *,
        greeting: Greeting,
        credentials: Credentials,
        roles: Collection[str],
        accept: Callable[[Peer], Acceptance],
        certificate: ServerCertificate | None,
    ) -> MemoryDoor:
        """Let peers in; see :class:`himalia.comm.wires.Wires`."""
        door = self._doors[str(where)] = MemoryDoor(self, str(where), greeting, credentials, roles, accept)
        return door

    async def dial(
        self,
        where: Address,
        *,
        greeting: Greeting,
        credentials: Credentials,
        roles: Collection[str],
        protocol_factory: Callable[[Peer], asyncio.Protocol],
        timeout: float,
    ) -> Peer:
        """Connect; see :class:`himalia.comm.wires.Wires`."""
        deadline = self.clock.time() + timeout
        while True:
            door = self._doors.get(str(where))
            if door is not None and self.reachable and not self._is_stalled:
                handshake = DialerHandshake(greeting, credentials, roles, str(where))
                # In one go; what the wires do to bytes begins behind it.
                acceptance, peer = door.meet(handshake)
                self._join(protocol_factory(peer), acceptance.protocol)
                return peer
            if self.clock.time() >= deadline:
                raise UnreachableError(f"nobody answered at {where} within {timeout:g} s: nobody is there")
            await self._pause()

    async def _pause(self) -> None:
        # By the clock that was given: the loop that runs this may have another.
        over = asyncio.Event()
        timer = self.clock.call_later(PAUSE, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()

    def _join(self, dialer: asyncio.Protocol, listener: asyncio.BaseProtocol) -> None:
        """Put two protocols on a new connection."""
        assert isinstance(listener, asyncio.Protocol)
        self.connections += 1
        here, there = MemoryTransport(self, dialer), MemoryTransport(self, listener)
        here.other, there.other = there, here
        # The listener first, as on sockets: it is in before the dialer hears of it.
        for end in (there, here):
            # A dict for its order: cut() has to break them in the same order each time.
            self._ends[end] = None
            end.protocol.connection_made(end)

    def close_door(self, door: MemoryDoor) -> None:
        """Forget a door."""
        if self._doors.get(door.address) is door:
            del self._doors[door.address]

    def forget(self, end: MemoryTransport) -> None:
        """Forget one side of a connection."""
        self._ends.pop(end, None)

    def carry(self, data: bytes) -> bytes:
        """Return as much of ``data`` as arrives, and break everything after that if the budget is used up."""
        self.budget -= len(data)
        if self.budget < 0:
            # Negative: so many bytes of the end don't arrive.
            data = data[: self.budget]
            self.budget = 0
            # Not from within: the transport that carries this is in the middle of it.
            self.clock.call_soon(self.cut)
        return data

    @property
    def is_stalled(self) -> bool:
        """Whether nothing arrives at present."""
        return self._is_stalled


class MemoryDoor:
    """What lets peers in at one address."""

    def __init__(
        self,
        wires: MemoryWires,
        address: str,
        greeting: Greeting,
        credentials: Credentials,
        roles: Collection[str],
        accept: Callable[[Peer], Acceptance],
    ) -> None:
        self.address = address
        self._wires = wires
        self._start = greeting, credentials, roles
        self._accept = accept

    def close(self) -> None:
        """Let nobody in any more."""
        self._wires.close_door(self)

    def meet(self, dialer: DialerHandshake) -> tuple[Acceptance, Peer]:
        """Speak with somebody who came; return how it is received, and who this side is to it.

        Raises
        ------
        HandshakeError
            If one of the two refused.
        """
        accepted: list[Acceptance] = []

        def welcome(peer: Peer) -> Welcome:
            accepted.append(self._accept(peer))
            return Welcome(accepted[0].received)

        listener = ListenerHandshake(*self._start, "a peer in memory", "", welcome)
        words = dialer.start()
        while dialer.peer is None:
            try:
                words = dialer.receive(listener.receive(words))
            except Refused as error:
                dialer.receive(error.reply)  # raises in the dialer's own words, if it was refused
                raise HandshakeError(str(error)) from error
        return accepted[0], dialer.peer


class MemoryTransport(asyncio.Transport):
    """One side of a connection in memory."""

    other: MemoryTransport

    def __init__(self, wires: MemoryWires, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.protocol = protocol
        self._wires = wires
        self._pipe: deque[bytes] = deque()
        """What was written and did not arrive yet."""
        self._size = 0
        self._high = CHUNK
        self._is_paused = False
        self._is_closing = False
        self._is_gone = False
        self._is_pumping = False

    # What a protocol asks for

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_closing or not data:
            return
        self._pipe.append(bytes(data))
        self._size += len(data)
        if self._size > self._high and not self._is_paused:
            self._is_paused = True
            self.protocol.pause_writing()
        self.pump_soon()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def get_write_buffer_size(self) -> int:
        return self._size

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = CHUNK if high is None else high

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        """End after what was written has arrived."""
        if not self._is_closing:
            self._is_closing = True
            self.pump_soon()

    def abort(self) -> None:
        """End at once; what did not arrive is lost."""
        self._is_closing = True
        self._pipe.clear()
        self._size = 0
        self.pump_soon()
        self.end()

    # What the wires do

    def pump_soon(self) -> None:
        """Have something arrive in the next tick."""
        if not self._is_pumping:
            self._is_pumping = True
            self._wires.clock.call_soon(self._pump)

    def end(self) -> None:
        """Tell this side's protocol that the connection is gone."""
        if not self._is_gone:
            self._is_gone = self._is_closing = True
            # In a later tick, as asyncio does.
            self._wires.clock.call_soon(self.protocol.connection_lost, None)

    def _pump(self) -> None:
        self._is_pumping = False
        # Asked to pump again by flow().
        if self._wires.is_stalled:
            return
        if self._pipe:
            self._deliver()
        if self._pipe:
            self.pump_soon()
        elif self._is_closing:
            self._wires.forget(self)
            self.end()
            self.other.close()

    def _deliver(self) -> None:
        limit, data = max(1, self._wires.chunk()), bytearray()
        while self._pipe and len(data) < limit:
            data += self._pipe.popleft()
        if len(data) > limit:
            self._pipe.appendleft(bytes(data[limit:]))
            del data[limit:]
        self._size -= len(data)
        arrived = self._wires.carry(bytes(data))
        if arrived and not self.other.is_closing():
            self.other.protocol.data_received(arrived)
        # A fourth, as asyncio has it.
        if self._is_paused and self._size <= self._high // 4:
            self._is_paused = False
            self.protocol.resume_writing()
