"""A door: a socket that lets authenticated peers in, and what strangers before it cost.

Nothing is made for a connection before its peer said something: neither a transport nor TLS state.  Connections are
accepted a few at a time, so that a crowd doesn't keep the loop from those who are in.  Who has to go when there are too
many is decided by :mod:`himalia.comm.crowd`; what is said, by the handshake.  Where descriptors run out strangers go
first, some are always kept for the process itself, and the door neither closes nor spins.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import ipaddress
import logging
import os
import resource
import socket
import ssl
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, cast

from himalia.bucket import Complaints
from himalia.comm.addresses import Address
from himalia.comm.crowd import MAX_PENDING, Crowd
from himalia.comm.handshake import HANDSHAKE_TIMEOUT, Greeting, ListenerHandshake, Peer, Refused
from himalia.comm.introduction import Welcome
from himalia.comm.security import Credentials, ServerCertificate
from himalia.comm.sockets import bind_unix, foreign_uid, hand_over, tune
from himalia.comm.tls import server_context
from himalia.errors import HandshakeError

logger = logging.getLogger("himalia.comm")

BACKLOG: Final = 4096
"""Connections that the kernel keeps for us (Linux' own limit by default): a crowd waits there, and we behind it."""
AT_ONCE: Final = 8
"""Connections accepted in one tick of the loop: below 1 ms, then those who are in have their turn."""
MAX_KNOWN: Final = 1024
"""Handshakes under way of peers whose first message was good; more can only be repetitions of one.
Linux keeps as many half-open connections (``tcp_max_syn_backlog``)."""
RESERVE: Final = 16
"""Descriptors that no stranger gets: for spill files, logs and whatever else this process has to open.
PostgreSQL keeps 10 (``NUM_RESERVED_FDS``), Redis 32 (``CONFIG_MIN_RESERVED_FDS``)."""
FULL_PAUSE: Final = 0.1
"""Seconds until we accept again after there was no descriptor for it."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """How a listener receives a peer that proved itself."""

    protocol: asyncio.BaseProtocol
    received: int = 0
    """Messages of the resumed session that this side has."""


class Listener:
    """A socket that lets authenticated peers in."""

    def __init__(
        self,
        where: Address,
        greeting: Greeting,
        credentials: Credentials,
        roles: Collection[str],
        accept: Callable[[Peer], Acceptance],
        certificate: ServerCertificate | None,
    ) -> None:
        self._where = where
        self._greeting = greeting
        self.credentials = credentials
        self._roles = roles
        self._accept = accept
        self._certificate = certificate
        self._context: ssl.SSLContext | None = None
        self._sockets: list[socket.socket] = []
        self._inode: tuple[int, int] | None = None
        self._resuming: asyncio.TimerHandle | None = None
        self.crowd: Crowd[_Accepting] = Crowd()
        self._known: dict[_Accepting, None] = {}
        self._complaints = Complaints(logger, burst=1)  # of strangers: a port scan must not fill a disk

    @property
    def address(self) -> str:
        """Where it listens, with the real port."""
        return str(self._where)

    @property
    def context(self) -> ssl.SSLContext | None:
        """TLS of this door, if it speaks that."""
        return self._context

    async def open(self) -> None:
        """Bind and start to accept."""
        if self._where.scheme == "unix":
            self._sockets = [bind_unix(self._where.path)]
            status = os.stat(self._where.path)
            # To know at the end whether the file there is still ours.
            self._inode = status.st_dev, status.st_ino
            self.crowd.per_address = MAX_PENDING  # one address for all, and the kernel lets in this user alone
        else:
            self._context = server_context(self._certificate) if self._certificate is not None else None
            self._sockets = await _bind_all(self._where.host, self._where.port)
            self._where = dataclasses.replace(self._where, port=self._sockets[0].getsockname()[1])
        for sock in self._sockets:
            sock.setblocking(False)
            sock.listen(BACKLOG)
        self._resume()

    def close(self) -> None:
        """Stop to accept and remove a Unix socket's file; accepted connections live on."""
        self._pause(None)
        for sock in self._sockets:
            sock.close()
        self._sockets = []
        # A copy, since each takes itself out.
        for accepting in [*self.crowd.everybody(), *self._known]:
            accepting.abort()
        with contextlib.suppress(OSError):
            status = os.stat(self._where.path) if self._inode is not None else None
            # Another process may have bound a socket of its own there since.
            if status is not None and (status.st_dev, status.st_ino) == self._inode:
                os.unlink(self._where.path)

    # Accepting

    def _resume(self) -> None:
        """Accept from now on."""
        self._resuming = None
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            loop.add_reader(sock.fileno(), self._accept_some, sock)

    def _pause(self, seconds: float | None) -> None:
        """Accept nobody for a while, or ever again."""
        if self._resuming is not None:
            self._resuming.cancel()
            self._resuming = None
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            loop.remove_reader(sock.fileno())
        if seconds is not None:
            self._resuming = loop.call_later(seconds, self._resume)

    def _accept_some(self, sock: socket.socket) -> None:
        for _ in range(AT_ONCE):
            # What was accepted a moment ago may have paused the door, or closed it.
            if self._resuming is not None or not self._sockets:
                return
            try:
                connection, name = sock.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._make_room(os.strerror(error.errno).lower())
                    # What couldn't be accepted stays in the kernel's queue, and the socket readable: without a pause
                    # the loop would do nothing else.
                    self._pause(FULL_PAUSE)
                return  # nobody is there any more
            self._enter(connection, name)

    def _enter(self, connection: socket.socket, name: object) -> None:
        connection.setblocking(False)
        where = f"{name[0]}:{name[1]}" if isinstance(name, tuple) and len(name) >= 2 else "a process of this host"
        # Before it costs anything, and whatever the file's mode says.
        if (stranger := foreign_uid(connection)) is not None:
            self.complain(f"{where}: {stranger}")
            connection.close()
            return
        # The kernel gives out the lowest free number, so a high one tells that nearly all are taken.
        if connection.fileno() >= resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVE:
            self._make_room("this process has no descriptors left for more connections")
            if connection.fileno() >= resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVE:
                connection.close()
                return
        address = _group(name)
        accepting = _Accepting(self, connection, where)
        self.crowd.enter(accepting, address, now=asyncio.get_running_loop().time())
        accepting.begin()
        # Last: who has spoken by now outlasts those who haven't.
        self._thin_out(address)

    def _thin_out(self, address: str) -> None:
        """Send away who is too many, or wait until somebody had the time to speak."""
        now = asyncio.get_running_loop().time()
        while True:
            surplus, wait = self.crowd.surplus(address, now=now)
            if surplus is None:
                break
            self.complain(f"{surplus.where}: too many wait to be let in, the oldest has to go")
            surplus.abort()
        if wait > 0:
            self._pause(wait)

    def _make_room(self, why: str) -> None:
        """Send all strangers away: what they hold is needed."""
        self.complain(f"{len(self.crowd)} strangers were sent away: {why}")
        for accepting in self.crowd.everybody():
            accepting.abort()

    # What one connection needs of its door

    def handshake(self, where: str, welcome: Callable[[Peer], Welcome]) -> ListenerHandshake:
        """The handshake for one more connection."""
        pin = self._certificate.fingerprint if self._certificate is not None else ""
        return ListenerHandshake(self._greeting, self.credentials, self._roles, where, pin, welcome)

    def accept(self, peer: Peer) -> Acceptance:
        """Ask the owner how to receive a peer."""
        return self._accept(peer)

    def knows(self, accepting: _Accepting) -> None:
        """Take a connection out of the crowd: its first message shows a proof."""
        self.crowd.leave(accepting)
        self._known[accepting] = None
        if len(self._known) > MAX_KNOWN:
            # The oldest: who is honest needs a round trip more, not seconds.
            next(iter(self._known)).abort()

    def release(self, accepting: _Accepting) -> None:
        """Forget a connection whose handshake ended, one way or the other."""
        self.crowd.leave(accepting)
        self._known.pop(accepting, None)

    def complain(self, text: str) -> None:
        """Log a refusal, but not each of a flood."""
        now = asyncio.get_running_loop().time()
        self._complaints.write(now, "refused a connection: %s", text, level=logging.WARNING)


class _Accepting(asyncio.Protocol):
    """An accepted connection until its peer is known."""

    def __init__(self, listener: Listener, sock: socket.socket, where: str) -> None:
        self._listener = listener
        self._socket: socket.socket | None = sock
        """Until the transport has it."""
        self.where = where
        self._opening: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._handshake: ListenerHandshake | None = listener.handshake(where, self._welcome)
        self._acceptance: Acceptance | None = None
        loop = asyncio.get_running_loop()
        # From the first moment: who says nothing at all goes by this, too.
        self._timer: asyncio.TimerHandle | None = loop.call_later(HANDSHAKE_TIMEOUT, self._time_out)

    def begin(self) -> None:
        """Wait for the peer's first byte; only then it costs more than a descriptor."""
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        try:
            # Only a peek: what was said is for TLS or the handshake to read.
            spoke = self._socket.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            loop.add_reader(self._socket.fileno(), self._spoke)
            return
        except OSError:
            spoke = False
        if not spoke:
            self.abort()
            return
        self._listener.crowd.speaks(self)
        self._opening = loop.create_task(self._open(self._socket))

    def _spoke(self) -> None:
        assert self._socket is not None
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self.begin()

    async def _open(self, sock: socket.socket) -> None:
        """Put a transport on the socket, with TLS if this door speaks that."""
        loop, context = asyncio.get_running_loop(), self._listener.context
        # Asyncio refuses a time limit where there is no TLS.
        timeout = HANDSHAKE_TIMEOUT if context is not None else None
        try:
            await loop.connect_accepted_socket(lambda: self, sock, ssl=context, ssl_handshake_timeout=timeout)
        except OSError as error:  # what is no TLS, too
            if self._handshake is not None:
                self._listener.complain(f"{self.where}: {error}")
            self._finish()
            sock.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        self._socket = None
        if self._handshake is None:  # sent away meanwhile
            self._transport.abort()
            return
        tune(self._transport)

    def data_received(self, data: bytes) -> None:
        if self._handshake is None or self._transport is None:
            return
        try:
            reply = self._handshake.receive(data)
        except HandshakeError as error:
            self._listener.complain(str(error))
            if isinstance(error, Refused):
                self._transport.write(error.reply)
            self._finish()
            self._transport.close()
            return
        if reply:
            self._transport.write(reply)
        if self._handshake.peer is not None and self._acceptance is not None:
            leftover = self._handshake.leftover
            self._finish()
            hand_over(self._transport, self._acceptance.protocol, leftover)
        elif self._handshake.is_known:
            self._listener.knows(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish()

    def abort(self) -> None:
        """End it at once."""
        self._finish()
        if self._transport is not None:
            self._transport.abort()
            return
        sock, self._socket = self._socket, None
        if sock is None:
            return
        if self._opening is None:
            asyncio.get_running_loop().remove_reader(sock.fileno())
            sock.close()
            return
        with contextlib.suppress(OSError):  # the transport that is being made will see the end, and close it
            sock.shutdown(socket.SHUT_RDWR)

    def _welcome(self, peer: Peer) -> Welcome:
        self._acceptance = self._listener.accept(peer)
        return Welcome(self._acceptance.received)

    def _time_out(self) -> None:
        self._listener.complain(f"{self.where}: no handshake within {HANDSHAKE_TIMEOUT:g} s")
        self.abort()

    def _finish(self) -> None:
        self._handshake = None
        self._listener.release(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def _bind_all(host: str, port: int) -> list[socket.socket]:
    """Return sockets bound to all addresses that ``host`` means here, at one port.

    Raises
    ------
    OSError
        If one of them can't be bound; then none is.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        # Each once: a name may be listed twice for one address.
        for family, kind, protocol, _, name in dict.fromkeys(found):
            sock = socket.socket(family, kind, protocol)
            sockets.append(sock)
            # Else the port of a listener that just ended is taken for a minute, by connections in TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Else ``::`` takes the IPv4 port as well, and 0.0.0.0 can't be bound beside it.
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((name[0], port, *name[2:]))
            # Where any port will do, all addresses get the one that the first got.
            port = port or sock.getsockname()[1]
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _group(name: object) -> str:
    """Whom a connection counts as: an IPv4 address, the /64 of an IPv6 one, or all of a Unix socket."""
    if not isinstance(name, tuple) or not name:
        return ""
    try:
        address = ipaddress.ip_address(str(name[0]).partition("%")[0])
    except ValueError:
        return str(name[0])
    if address.version == 4:
        return str(address)
    # Whoever has one IPv6 address has the 2^64 of its network.
    return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))
