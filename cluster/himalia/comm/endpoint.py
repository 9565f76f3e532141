"""All sessions of a process: who is connected, what is flushed when, who dials again, and when a lease is over.

Guarantees
----------
- ``peer_joined`` comes once per session, before its first message; ``peer_left`` once, after its last, unless this side
  ended the session itself (:meth:`Endpoint.disconnect`, :meth:`Endpoint.close`).
- Messages of a session arrive in order, none lost, none twice, over however many connections it takes.
- All messages to one peer of one loop tick travel in one frame.
- A cut connection is waited for as long as the lease says.  The dialing side tries again meanwhile; a peer that comes
  back as another incarnation, or with another session, is another peer.
- What a peer of one role sends is decoded with that role's union; a bad frame ends that session and no other.

Used from the loop's thread only.  This module never looks into a message.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import himalia
from himalia.bucket import Complaints
from himalia.comm.addresses import Address, parse
from himalia.comm.clock import Clock, Timer
from himalia.comm.connection import Acceptance, Greeting, Peer
from himalia.comm.contact import Contact
from himalia.comm.framing import FrameError
from himalia.comm.link import LINGER, Link, Wire
from himalia.comm.security import NAME_SECRET, Credentials, ServerCertificate
from himalia.comm.unsendable import substitutes
from himalia.comm.wires import SOCKETS, OpenDoor, Wires
from himalia.errors import ConnectError, HandshakeError, UnreachableError, UsageError
from himalia.names import PeerId
from himalia.settings import Settings

logger = logging.getLogger("himalia.comm")

SWEEP: Final = 0.25
"""Seconds between two looks at owed acknowledgements, silent peers and leases: a quarter of the
shortest lease (``settings.local_lease``)."""
REDIAL_PAUSE: Final = 0.05
"""Seconds before a broken connection is dialed again: one that breaks at once each time shall not keep a CPU busy."""
LEAST_SHARE: Final = 0.1
"""Seconds that each of several addresses is tried for at least, however little time is left.  Guess: a listener on
this host or nearby answers in a hundredth of that."""
_HEARD_PARTS: Final = 6
"""Something is written at least this often in a lease, so that a peer is silent only if it is cut off."""


class Handler(Protocol):
    """Who is told what happens to the sessions of an endpoint; always in the loop's thread."""

    def peer_joined(self, peer: PeerId, role: str) -> None:
        """A new session began."""

    def messages_received(self, peer: PeerId, messages: list[object]) -> None:
        """Messages came, in order; never empty."""

    def peer_left(self, peer: PeerId, reason: str) -> None:
        """The session ended: a goodbye, a lease that ran out, or a broken peer."""


class Endpoint:
    """The sessions of one process.

    Parameters
    ----------
    me : PeerId
        Incarnation of this process.
    role : str
        ``client``, ``nanny`` or ``scheduler``.
    credentials : Credentials
        Of the cluster.
    unions : mapping
        Role of a peer → union of the messages it may send.  Other roles are refused.
    handler : Handler
        Who is told.
    settings : Settings
        Leases.
    direct : bool
        Whether other threads than the loop's may use :meth:`express`.
    welcomed : callable, optional
        Told of each listener that let this process in, before anything is sent to it.
    clock : Clock, optional
        Whose time leases and pauses are measured in; the running loop, unless something else moves time.
    wires : Wires
        Where connections come from.
    """

    def __init__(
        self,
        *,
        me: PeerId,
        role: str,
        credentials: Credentials,
        unions: Mapping[str, object],
        handler: Handler,
        settings: Settings,
        direct: bool = False,
        welcomed: Callable[[Peer], None] | None = None,
        clock: Clock | None = None,
        wires: Wires = SOCKETS,
    ) -> None:
        self.me = me
        self.role = role
        self.settings = settings
        self.direct = direct
        self._credentials = credentials
        self._welcomed = welcomed
        self._complaints = Complaints(logger)
        self._unions = dict(unions)
        self._handler = handler
        self._wires = wires
        self._given_clock = clock
        self._clock: Clock | None = None
        """What time it is; None until this endpoint listens or connects."""
        self._links: dict[PeerId, Link] = {}
        self._dirty: list[Link] = []
        self._flush_scheduled = False
        self._doors: list[OpenDoor] = []
        self._lingering: set[Wire] = set()
        self._sweep_timer: Timer | None = None
        self._sweep_due = 0.0
        self._closed = False

    @property
    def peers(self) -> list[PeerId]:
        """Peers with a session, connected or not."""
        return list(self._links)

    def incarnation(self, peer: PeerId) -> PeerId:
        """Who is behind an alias."""
        return self._links[peer].incarnation

    def is_connected(self, peer: PeerId) -> bool:
        """Whether there is a connection to that peer right now."""
        link = self._links.get(peer)
        return link is not None and link.transport is not None

    def contact(self, peer: PeerId) -> Contact | None:
        """Return when a peer was heard of last and whether there is a connection; ``None`` without a session.

        Any thread: what it reads is a moment old at most.
        """
        link = self._links.get(peer)
        if link is None or self._clock is None:
            return None
        now = self._clock.time()
        # ``heard_at`` is set by the sweep only: to read the clock for each frame would cost more than this is worth.
        silent = 0.0 if link.heard else max(0.0, now - link.heard_at)
        if link.transport is not None or not link.lost_at:
            return Contact(silent, link.lease)
        return Contact(silent, link.lease, max(0.0, now - link.lost_at), link.lost_why)

    def backlog(self, peer: PeerId) -> int:
        """The bytes that were encoded for a peer and that it has not acknowledged."""
        link = self._links.get(peer)
        return 0 if link is None else link.session.kept_bytes

    def pending(self) -> dict[PeerId, int]:
        """How many messages peers haven't acknowledged yet; those that have all of theirs are left out."""
        return {peer: count for peer, link in self._links.items() if (count := link.session.pending)}

    async def listen(self, address: str, *, certificate: ServerCertificate | None = None) -> str:
        """Let peers in at ``address``; may be called for several.

        Returns
        -------
        str
            The address with its real port.

        Raises
        ------
        StartError
            If it can't be bound.
        UsageError
            If it can't be used this way: plain TCP beyond loopback, no secret on TCP, no certificate for TLS.
        """
        self._begin()
        where = parse(address)
        door = await self._wires.listen(
            where,
            greeting=self._greeting(),
            credentials=self._credentials,
            roles=self._unions,
            accept=lambda peer: self._accept(peer, where),
            certificate=certificate,
        )
        self._doors.append(door)
        return door.address

    async def connect(self, address: str, *, alias: PeerId, timeout: float) -> PeerId:
        """Open a session with the listener at ``address``, which is called ``alias`` from then on.

        Returns
        -------
        PeerId
            Its incarnation.

        Raises
        ------
        HandshakeError
            One of the two refused, or something else listens there.
        UnreachableError
            Nobody answered within ``timeout`` seconds.
        UsageError
            If the address can't be used, or ``alias`` has a session already.
        """
        if alias in self._links:
            raise UsageError(f"there is a session with {alias} already; disconnect it first")
        self._begin()
        where = parse(address)
        session_id = secrets.token_hex(8)

        def begin(peer: Peer) -> Wire:
            if self._welcomed is not None:
                self._welcomed(peer)
            link = self._new_link(alias, peer, where, role=self.role, session_id=session_id)
            # Whoever has one dials again when the connection breaks.
            link.address = where
            return Wire(link, [])

        try:
            peer = await self._wires.dial(
                where,
                greeting=self._greeting(session=session_id),
                credentials=self._credentials,
                roles=self._unions,
                protocol_factory=begin,
                timeout=timeout,
            )
        except asyncio.CancelledError:
            # The connection may be made already, and its link registered.
            self.disconnect(alias, "nobody waits for it any more")
            raise
        return peer.incarnation

    async def connect_any(self, addresses: Sequence[str], *, alias: PeerId, timeout: float) -> str:
        """Open a session with the first of these listeners that lets this process in, and return its address.

        They are tried in their order and share the time: one that hangs leaves the others what it didn't use up, so
        all together take ``timeout`` seconds at most.  A refusal is no reason to stop: another address may lead to
        another process.

        Raises
        ------
        HandshakeError
            None lets us in, and somebody is there who refused.
        UnreachableError
            Nobody is at any of them.  With several addresses both say of each why.
        UsageError
            An address can't be used, or ``alias`` has a session already; nothing further is tried.
        """
        self._begin()
        assert self._clock is not None
        deadline = self._clock.time() + timeout
        failures: list[ConnectError] = []
        for left in range(len(addresses), 0, -1):
            address = addresses[-left]
            # Of what is left, so that an address that answers at once gives its time to those behind it.
            share = max(LEAST_SHARE, (deadline - self._clock.time()) / left)
            try:
                await self.connect(address, alias=alias, timeout=share)
            except ConnectError as failure:
                failures.append(failure)
            else:
                return address
        raise _no_way(alias, failures)

    def send(self, peer: PeerId, message: object) -> None:
        """Queue a message; it goes out at the end of this loop tick.  Nothing happens if the peer is gone."""
        link = self._links.get(peer)
        if link is not None:
            # Not under the link's lock: a process whose other threads express keeps them apart from this by a lock of
            # its own (client/engine/outbox.py).
            link.session.send(message)
            if not link.dirty:
                self.mark(link)

    def express(self, peer: PeerId, messages: Sequence[object]) -> bool:
        """Send messages at once, from any thread; ``False`` (and nothing is done) if the loop has to do it."""
        link = self._links.get(peer)
        if link is None or not link.direct or not link.express(messages):
            return False
        # The socket took a part only; the rest may wait for no message to come.
        if link.rest and self._clock is not None:
            self._clock.call_soon_threadsafe(self.mark, link)
        return True

    def flush(self) -> None:
        """Write everything that is queued now."""
        self._flush_scheduled = False
        # Swapped first: a link whose peer takes more than a burst marks itself again, for the next tick.
        dirty = self._dirty
        self._dirty = []
        for link in dirty:
            link.dirty = False
            link.flush()

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """Say goodbye after what is queued; there is no ``peer_left`` for it."""
        link = self._links.pop(peer, None)
        if link is not None:
            self._part(link, reason)

    async def close(self) -> None:
        """Stop listening, say goodbye to all, and wait until they took it, or a short while."""
        self._closed = True
        for door in self._doors:
            door.close()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        for peer in list(self._links):
            self.disconnect(peer, f"the {self.role} closed")
        # Waited for, or the process ends before the goodbyes leave, and peers would wait for our leases.
        wires = list(self._lingering)
        if wires:
            await asyncio.wait([asyncio.ensure_future(wire.wait_for_close()) for wire in wires], timeout=LINGER + 0.5)

    # What links report

    def deliver(self, link: Link, messages: list[object]) -> None:
        """Give messages to the handler; whatever it raises is its own fault and no reason to end a session."""
        try:
            self._handler.messages_received(link.peer, messages)
        except Exception as error:
            self._complain("the handler failed on %d messages of %s", len(messages), link.peer, error=error)

    def unsendable(self, link: Link, rejected: list[tuple[object, str]]) -> None:
        """Answer for messages that can't be encoded; any thread."""
        if self._clock is not None:
            # In the loop, and later: whoever sends may be another thread, or a machine in the middle of an event.
            self._clock.call_soon_threadsafe(self._substitute, link, rejected)

    def _substitute(self, link: Link, rejected: list[tuple[object, str]]) -> None:
        for message, why in rejected:
            sent, told = substitutes(message, why)
            kinds = [type(other).__name__ for other in (*sent, *told)]
            text = "a %s to %s can't be sent as it is (%s); in its place: %s"
            self._complain(text, type(message).__name__, link.peer, why, ", ".join(kinds) or "nothing")
            for other in sent:
                self.send(link.peer, other)
            # What it would have answered is of no interest to a session that began since.
            if told and self._links.get(link.peer) is link:
                self.deliver(link, told)

    def mark(self, link: Link) -> None:
        """Flush this link at the end of the tick."""
        if not link.dirty:
            link.dirty = True
            self._dirty.append(link)
            # Once for all links: what one event makes to be sent leaves in one frame for each peer.
            if not self._flush_scheduled and self._clock is not None:
                self._flush_scheduled = True
                self._clock.call_soon(self.flush)

    def opened(self, link: Link) -> None:
        """Note that a link has a connection, and tell of a new peer."""
        assert self._clock is not None
        # Silence counts from here: while there was no connection nobody could be heard.
        link.heard_at = link.wrote_at = self._clock.time()
        link.lost_at = 0.0
        if link.joined:
            logger.info("the session with %s goes on over a new connection", link.peer)
            return
        link.joined = True
        self._tell_joined(link)

    def lost(self, link: Link, reason: str) -> None:
        """Begin to wait for a peer whose connection broke."""
        assert self._clock is not None
        # A peer that began a new session has another link under the same name.
        if self._links.get(link.peer) is not link:
            return
        link.lost_at = self._clock.time()
        link.lost_why = reason
        # Only who dialed knows where to; the other side waits to be found.
        if link.address is not None:
            link.redialing = self._clock.call_later(REDIAL_PAUSE, self._redial, link, link.address)

    def ended(self, link: Link, reason: str) -> None:
        """Take a goodbye."""
        wire = link.detach()
        if wire is not None:
            wire.close()
        self._leave(link, reason)

    def broken(self, link: Link, reason: str) -> None:
        """End the session with a peer that sent what it may not."""
        text = "the session with %s (%s) ends because it sent something invalid: %s"
        self._complain(text, link.peer, link.role, reason)
        # With the reason: the peer's log is where somebody will look.
        self._linger(link.part(f"sent something invalid: {reason}"))
        self._leave(link, f"it sent something invalid: {reason}")

    # Beginning and end of sessions

    def _begin(self) -> None:
        if self._closed:
            raise UsageError("this endpoint is closed")
        if self._clock is None:
            self._clock = self._given_clock or asyncio.get_running_loop()
            self._schedule_sweep()

    def _greeting(self, *, session: str = "", resume: bool = False, received: int = 0) -> Greeting:
        version = str(getattr(himalia, "__version__", "0"))
        return Greeting(
            role=self.role, incarnation=self.me, version=version, session=session, resume=resume, received=received,
            name_secret=NAME_SECRET,
        )  # fmt: skip

    def _new_link(self, name: PeerId, peer: Peer, where: Address, *, role: str, session_id: str) -> Link:
        """Register a session; ``role`` is that of the side that dialed, which sets the lease."""
        assert self._clock is not None
        settings = self.settings
        if where.scheme == "unix":
            lease = settings.local_lease
        elif role == "client":
            lease = settings.client_lease
        else:
            lease = min(settings.host_lease, settings.loopback_lease) if where.is_loopback else settings.host_lease
        link = Link(
            self,
            name,
            role=peer.role,
            incarnation=peer.incarnation,
            session_id=session_id,
            union=self._unions[peer.role],
            lease=lease,
            clock=self._clock,
        )
        # a client runs user code, which may hold the GIL for minutes; on loopback the kernel tells of a death
        link.patient = role == "client" or where.is_loopback
        self._links[name] = link
        return link

    def _accept(self, peer: Peer, where: Address) -> Acceptance:
        """Receive a peer that proved itself: with its old session, or a new one."""
        link = self._links.get(peer.incarnation)
        # A proof is for a role; in another one the same name could take over what isn't its own.
        if link is not None and link.role != peer.role:
            raise HandshakeError(f"{peer.incarnation} is the name of another process")
        # The name alone proves nothing, for all peers know it; the claim is made of a secret of that process.
        if not peer.claim or (link is not None and not peer.is_same_as(link.claim)):
            raise HandshakeError(f"{peer.incarnation} is the name of another process, which has its session here")
        if peer.resume:
            if link is None or link.session_id != peer.session:
                raise HandshakeError(
                    "the session is over: its lease ran out, or this process is not the one that knew it"
                )
            try:
                # The frames are taken here and written in the same tick (Wires): what was sent in between would leave a
                # gap.
                return Acceptance(Wire(link, link.session.resume(peer.received)), link.session.received)
            except FrameError as error:
                raise HandshakeError(f"the session can't be resumed: {error}") from error
        if link is not None:
            # It has forgotten the old one, or it would resume it.
            self._linger(link.part("replaced by a new session"))
            self._leave(link, "it began a new session")
        link = self._new_link(peer.incarnation, peer, where, role=peer.role, session_id=peer.session)
        link.claim = peer.claim
        return Acceptance(Wire(link, []))

    def _redial(self, link: Link, where: Address) -> None:
        link.redialing = asyncio.get_running_loop().create_task(self._resume(link, where))

    async def _resume(self, link: Link, where: Address) -> None:
        """Try to get a connection for a session until its lease ends."""

        def resume(peer: Peer) -> Wire:
            # It knows nothing of this session, even if it lets us in.
            if peer.incarnation != link.incarnation:
                raise HandshakeError("another process listens there now")
            return Wire(link, link.session.resume(peer.received))

        greeting = self._greeting(session=link.session_id, resume=True, received=link.session.received)
        try:
            await self._wires.dial(
                where,
                greeting=greeting,
                credentials=self._credentials,
                roles=(link.role,),
                protocol_factory=resume,
                # The listener gives up after the same lease (_sweep); to try for longer would lead to a refusal.
                timeout=link.lease,
            )
        except (ConnectError, FrameError) as error:
            self._leave(link, f"the connection broke ({link.lost_why}) and did not come back: {error}")

    def _part(self, link: Link, reason: str) -> None:
        # Or it would come back by itself after this goodbye.
        if link.redialing is not None:
            link.redialing.cancel()
        self._linger(link.part(reason))

    def _linger(self, wire: Wire | None) -> None:
        """Keep a wire in mind until it is closed."""
        if wire is not None and self._clock is not None:
            self._lingering.add(wire)
            wire.on_close(lambda: self._lingering.discard(wire))

    def _leave(self, link: Link, reason: str) -> None:
        """Forget a session and tell of it."""
        if self._links.get(link.peer) is not link:
            return
        # Before the handler is told: it may ask who is here, or send.
        del self._links[link.peer]
        # Accepted, but its connection never came up: nobody was told that it is here.
        if not link.joined:
            return
        try:
            self._handler.peer_left(link.peer, reason)
        except Exception as error:
            self._complain("the handler failed when %s left", link.peer, error=error)

    def _tell_joined(self, link: Link) -> None:
        try:
            self._handler.peer_joined(link.peer, link.role)
        except Exception as error:
            self._complain("the handler failed when %s joined", link.peer, error=error)

    def _complain(
        self, text: str, *args: object, level: int = logging.ERROR, error: BaseException | None = None
    ) -> None:
        """Log what a peer caused, but not without end."""
        assert self._clock is not None
        self._complaints.write(self._clock.time(), text, *args, level=level, error=error)

    # Time

    def _schedule_sweep(self) -> None:
        assert self._clock is not None
        self._sweep_due = self._clock.time() + SWEEP
        self._sweep_timer = self._clock.call_at(self._sweep_due, self._sweep)

    def _sweep(self) -> None:
        """Look after all sessions; time during which this process itself stood still counts against nobody."""
        assert self._clock is not None
        now = self._clock.time()
        # A suspended laptop, a stopped process, a GIL held for a minute: peers could have spoken all the time and
        # weren't heard.
        late = max(0.0, now - self._sweep_due - SWEEP)
        for link in list(self._links.values()):
            if link.transport is None:
                link.lost_at = min(now, link.lost_at + late)  # what was learned since this process goes on is on time
                # Who dialed gives up by the timeout of its dialing, which is the same lease.
                if link.address is None and link.joined and now - link.lost_at > link.lease:
                    self._leave(link, f"no connection for {link.lease:g} s: {link.lost_why}")
            else:
                self._look_after(link, now, late)
        self._schedule_sweep()

    def _look_after(self, link: Link, now: float, late: float) -> None:
        """Acknowledge what is owed, be heard, and cut a connection on which nothing is heard."""
        link.heard_at = min(now, link.heard_at + late)
        if link.heard:
            link.heard, link.heard_at = False, now
        if link.wrote:
            link.wrote, link.wrote_at = False, now
        # Its transport was still full at the last try, or a slow peer is faster again.
        if link.fd >= 0 and not link.direct and self._clock is not None:
            self._clock.call_soon(link.try_direct, link.serial)
        # Patient links too: their peers keep frames until they hear of them.
        link.acknowledge()
        if link.patient:
            return
        if now - link.wrote_at > link.lease / _HEARD_PARTS:
            link.keep_alive()
        # Half: then the other half is left for coming back over a new connection before the lease ends.
        if now - link.heard_at > link.lease / 2 and link.wire is not None:
            text, silence = "nothing was heard of %s for %g s; its connection is cut", now - link.heard_at
            self._complain(text, link.peer, silence, level=logging.WARNING)
            link.wire.abort()


def _no_way(alias: PeerId, failures: Sequence[ConnectError]) -> ConnectError:
    """Why there is no session: what was wrong with each address."""
    if len(failures) == 1:
        return failures[0]
    if not failures:
        return UnreachableError(f"There is no address of the {alias} to connect to.")
    # The refusal outweighs: somebody is there, and says what to change.
    kind = HandshakeError if any(isinstance(failure, HandshakeError) for failure in failures) else UnreachableError
    reasons = "; ".join(dict.fromkeys(map(str, failures)))
    return kind(f"none of the {len(failures)} addresses of the {alias} lets us in: {reasons}")
