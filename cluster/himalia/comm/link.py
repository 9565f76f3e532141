"""One session with one peer, over the connections that it gets one after the other.

A :class:`Wire` is one connection: it cuts the stream into frames and gives their messages to whoever owns the link.  A
:class:`Link` outlives its wires: it has the session, what is known of the peer, and how long to wait for it.  Who dials
again, and when a lease ends, is the endpoint's decision.

Other threads than the loop's may send, by :meth:`Link.express`: a thread that waits for an answer then needn't wake the
loop to have its question sent, which costs more than all else on that side (docs/notes/0006).  For that the session is
used under a lock, and a link that is ``direct`` writes to its socket past the transport, which has nothing unwritten
then.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

from himalia.comm.addresses import Address
from himalia.comm.clock import Clock, Timer
from himalia.comm.framing import Frame, FrameError, Splitter, is_goodbye
from himalia.comm.session import Session
from himalia.names import PeerId

logger = logging.getLogger("himalia.comm")

BURST: Final = 4 * 1024 * 1024
"""Bytes encoded for one peer in one tick: about 10 ms, then the other peers have their turn."""
HIGH_WATER: Final = 2 * 1024 * 1024
"""Unwritten bytes above which no more is encoded; messages wait as they are."""
LINGER: Final = 2.0
"""Seconds a peer has to take what was written before a goodbye and to close."""


class Owner(Protocol):
    """What a link needs of its endpoint."""

    direct: bool

    def deliver(self, link: Link, messages: list[object]) -> None:
        """Messages came."""

    def mark(self, link: Link) -> None:
        """The link has something to write; call its :meth:`Link.flush` soon."""

    def opened(self, link: Link) -> None:
        """The link has a connection (again)."""

    def lost(self, link: Link, reason: str) -> None:
        """The connection broke; the session may go on over another."""

    def ended(self, link: Link, reason: str) -> None:
        """The peer said goodbye."""

    def broken(self, link: Link, reason: str) -> None:
        """The peer sent what it may not; the session can't go on."""

    def unsendable(self, link: Link, rejected: list[tuple[object, str]]) -> None:
        """Messages can't be encoded; any thread."""


class Link:
    """A session and its present connection, if there is one."""

    __slots__ = (
        "address", "claim", "clock", "dirty", "direct", "fd", "heard", "heard_at", "incarnation", "joined", "lease",
        "lock", "lost_at", "lost_why", "owner", "patient", "paused", "peer", "redialing", "rest", "role", "serial",
        "session", "session_id", "transport", "wire", "wrote", "wrote_at",
    )  # fmt: skip

    def __init__(
        self,
        owner: Owner,
        peer: PeerId,
        *,
        role: str,
        incarnation: PeerId,
        session_id: str,
        union: object,
        lease: float,
        clock: Clock,
    ) -> None:
        self.owner = owner
        self.clock = clock
        self.peer = peer
        """How this side calls the peer."""
        self.role = role
        self.incarnation = incarnation
        self.session_id = session_id
        self.session = Session(union)
        self.lease = lease
        self.address: Address | None = None
        """Where to dial again; None on the listening side."""
        self.claim = b""
        """What the peer showed for its incarnation when it came; on the listening side only."""
        self.patient = True
        """Whether its silence says nothing: it may run user code, or the kernel would tell of its end."""
        self.wire: Wire | None = None
        self.transport: asyncio.Transport | None = None
        """The wire's; None while there is no connection."""
        self.joined = False
        """Whether the handler was told of the peer."""
        self.dirty = False
        """Whether the owner has it on its list of those to flush."""
        self.paused = False
        self.heard = self.wrote = False
        """Whether anything came or went since the owner looked last."""
        self.heard_at = self.wrote_at = 0.0
        self.lost_at = 0.0
        """Since when there is no connection, the clock's time."""
        self.lost_why = ""
        self.redialing: Timer | None = None
        """The pause before another try, then that try."""
        self.lock = threading.Lock()
        """Guards the session, and the four below."""
        self.fd = -1
        """The link's own descriptor of a plain socket, if its owner wants it to be direct."""
        self.direct = False
        """Whether all that was written so far has left the transport."""
        self.rest: list[Frame | memoryview] = []
        """What could not be written directly; the loop writes it before anything else."""
        self.serial = 0
        """Writes to the transport so far."""

    def flush(self) -> None:
        """Write what is queued, as far as the peer takes it now."""
        transport = self.transport
        if transport is None or self.paused:
            return  # marked again by connection_made or resume_writing
        session = self.session
        with self.lock:
            self._write(transport, session.take_frames(BURST))
        # More than one burst: the other peers first, then this one goes on.
        if session.has_queued:
            self.owner.mark(self)
        if session.rejected:
            # Outside of the lock, which it takes itself.
            self._report_rejected()

    def acknowledge(self) -> None:
        """Write the acknowledgement that is owed, if any."""
        transport = self.transport
        if transport is not None:
            with self.lock:
                frame = self.session.take_ack()
                self._write(transport, [] if frame is None else [frame])

    def keep_alive(self) -> None:
        """Write something, to be heard."""
        transport = self.transport
        if transport is not None:
            with self.lock:
                self._write(transport, [self.session.keepalive_frame()])

    def express(self, messages: Sequence[object]) -> bool:
        """Send messages at once, from any thread; ``False`` (and nothing is done) if the loop has to do it.

        If there is a ``rest`` afterwards, the loop has to flush it.
        """
        with self.lock:
            session = self.session
            # What is queued has to go first, or messages would overtake each other.
            if not self.direct or session.has_queued:
                return False
            for message in messages:
                session.send(message)
            frames = session.take_frames()
            for number, frame in enumerate(frames):
                if not self._write_directly(frame):
                    # They are numbered and kept already: the session can't take them back.
                    self.rest += frames[number + 1 :]
                    break
            self.wrote = True
        if session.rejected:
            self._report_rejected()
        return True

    def _report_rejected(self) -> None:
        """Have the owner answer for what could not be encoded."""
        with self.lock:
            rejected, self.session.rejected = self.session.rejected, []
        self.owner.unsendable(self, rejected)

    def try_direct(self, serial: int) -> None:
        """Be direct from now on if the transport has nothing unwritten; loop thread, in a tick of its own.

        Not if it was written to since ``serial``: there is another try for that.
        """
        transport = self.transport
        # Lost since this was asked for.
        if transport is None or self.fd < 0:
            return
        with self.lock:
            if (serial == self.serial and not self.rest) and not transport.get_write_buffer_size():
                self.direct = True

    def _write(self, transport: asyncio.Transport, frames: list[Frame]) -> None:
        """Write frames; loop thread, under the lock."""
        if not frames and not self.rest:
            return
        self.wrote = True
        # Past the transport here too, so that the link stays direct.
        if self.direct and len(frames) == 1:
            if self._write_directly(frames[0]):
                return
            # What the socket didn't take is the rest now, and goes first.
            frames = []
        if len(frames) == 1 and not self.rest:
            transport.write(frames[0])
        else:
            transport.writelines([*self.rest, *frames])
            self.rest = []
        # A thread that wrote past the transport now would overtake what that still has.
        if self.fd >= 0:
            self.direct = False
            self.serial += 1
            self.clock.call_soon(self.try_direct, self.serial)

    def _write_directly(self, frame: Frame) -> bool:
        """Write a frame to the socket; what it doesn't take becomes the rest, and the answer is ``False``."""
        try:
            sent = os.write(self.fd, frame)
        except BlockingIOError:
            sent = 0
        except OSError:
            return True  # it is broken: the loop will hear of it, and the session keeps the frame
        if sent == len(frame):
            return True
        self.direct = False
        self.rest.append(memoryview(frame)[sent:])
        return False

    def attach(self, wire: Wire, transport: asyncio.Transport) -> None:
        """Use this wire from now on."""
        self.wire, self.transport = wire, transport
        plain = transport.get_extra_info("socket") if transport.get_extra_info("ssl_object") is None else None
        if self.owner.direct and plain is not None:
            with self.lock:
                # One of our own: the transport closes its own when it likes, and another connection may get that number
                # while a thread writes.
                self.fd = os.dup(plain.fileno())
                self.serial += 1
            self.clock.call_soon(self.try_direct, self.serial)

    def detach(self) -> Wire | None:
        """Part from the present wire, which from then on reports nothing, and return it."""
        wire = self.wire
        # Late bytes and the loss of an old connection must not reach a session that goes on over a new one.
        if wire is not None:
            wire.link = None
        self.wire = self.transport = None
        self.paused = False
        with self.lock:
            if self.fd >= 0:
                # Under the lock: a thread may be writing to this very number.
                os.close(self.fd)
            self.fd = -1
            self.direct = False
            self.rest = []
        return wire

    def part(self, reason: str) -> Wire | None:
        """Write all that is queued and a goodbye; return the wire, which closes itself when the peer took it."""
        transport, session = self.transport, self.session
        if transport is not None:
            with self.lock:
                # All of it at once, whatever the peer takes: there is no later tick for the rest.
                self._write(transport, [*session.take_frames(), session.goodbye_frame(reason)])
        wire = self.detach()
        if wire is not None:
            wire.linger()
        return wire


class Wire(asyncio.Protocol):
    """One connection of a link.

    Parameters
    ----------
    link : Link
        Whose messages it carries; None once it carries none any more.
    first : list of frames
        What to write first: frames that the peer did not get over an earlier connection.
    """

    __slots__ = ("_clock", "_closed", "_first", "_linger_timer", "_splitter", "_waiting", "link", "transport")

    def __init__(self, link: Link, first: list[Frame]) -> None:
        self.link: Link | None = link
        self.transport: asyncio.Transport | None = None
        self._first = first
        self._splitter = Splitter()
        self._clock = link.clock
        self._closed = False
        self._waiting: list[Callable[[], object]] = []
        """To be called when the connection is gone."""
        self._linger_timer: Timer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        self.transport = transport
        link = self.link
        if link is None:
            transport.abort()
            return
        if (old := link.detach()) is not None:
            old.abort()  # half open: the peer would not come again if that still worked
        link.attach(self, transport)
        transport.set_write_buffer_limits(high=HIGH_WATER)
        if self._first:  # in this tick, and only from the next one on the link may be direct
            transport.writelines(self._first)
            self._first = []
        # Before anything is flushed: the handler hears of a peer before its first message, and may greet it.
        link.owner.opened(link)
        link.owner.mark(link)

    def data_received(self, data: bytes) -> None:
        link = self.link
        if link is None:
            self._await_goodbye(data)
            return
        session = link.session
        link.heard = True
        try:
            for frame in self._splitter.feed(data):
                # Not around the delivery: a handler may send, and another thread may express meanwhile.
                with link.lock:
                    messages = session.receive(frame)
                if messages:
                    link.owner.deliver(link, messages)
                    # The handler ended the session, or the peer came back over another wire: the rest of this data is
                    # nobody's.
                    if self.link is None:
                        return
        except FrameError as error:
            link.owner.broken(link, str(error))
            return
        if session.goodbye is not None:
            link.owner.ended(link, session.goodbye)
        # Not after a goodbye: nobody reads an acknowledgement any more.
        elif session.ack_due:
            link.owner.mark(link)

    def pause_writing(self) -> None:
        if self.link is not None:
            self.link.paused = True

    def resume_writing(self) -> None:
        if self.link is not None:
            self.link.paused = False
            self.link.owner.mark(self.link)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        self._closed = True
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()
        link = self.link
        # Not for a wire that was replaced: the session has another one, and nothing is lost.
        if link is not None and link.wire is self:
            link.detach()
            link.owner.lost(link, str(exc) if exc is not None else "the peer closed it without a goodbye")

    def _await_goodbye(self, data: bytes) -> None:
        """Close if the peer said goodbye too; both sides would wait for each other otherwise."""
        try:
            if any(is_goodbye(frame) for frame in self._splitter.feed(data)):
                self.close()
        except FrameError:
            self.abort()

    def linger(self) -> None:
        """Let the peer close, so that nothing that was written is lost; abort if it doesn't."""
        if self.transport is not None and not self._closed:
            self._linger_timer = self._clock.call_later(LINGER, self.transport.abort)

    def close(self) -> None:
        """Close after what was written."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()

    def on_close(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` when the connection is gone, or now if it is."""
        if self._closed:
            callback()
        else:
            self._waiting.append(callback)

    async def wait_for_close(self) -> None:
        """Return when the connection is gone."""
        gone = asyncio.Event()
        self.on_close(gone.set)
        await gone.wait()
