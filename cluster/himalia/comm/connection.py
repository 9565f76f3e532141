"""Opens and accepts authenticated connections; what is spoken on them afterwards is the caller's protocol.

Both sides run the handshake on the raw transport, then put the caller's protocol on it: its
``connection_made(transport)`` is called, then it gets what the peer sent already.  It may be an ``asyncio.Protocol`` or
an ``asyncio.BufferedProtocol``.

::

    transport, protocol, peer = await open_authenticated(
        address,  # "unix://…", "tcp://…" (loopback only) or "tls://…"
        greeting=Greeting(role="data-client", incarnation=me),
        credentials=credentials,
        roles=("nanny",),  # what the listener may be
        protocol_factory=lambda peer: MyProtocol(peer),
        timeout=10.0,  # seconds, all attempts together
        fingerprint=host.fingerprint,  # default: credentials.fingerprint
        retry=True,  # False: one attempt only
    )  # HandshakeError: one of the two refused. UnreachableError: nobody answered.

    listener = await listen_authenticated(
        address,  # port 0: any; a stale Unix socket file is replaced, a live one is StartError
        greeting=Greeting(role="nanny", incarnation=me),
        credentials=credentials,
        roles=("data-client", "data-nanny"),  # what dialers may be
        accept=lambda peer: Acceptance(MyServerProtocol(peer)),  # or raise HandshakeError to refuse
        certificate=None,  # ServerCertificate, needed for tls://
    )
    listener.address
    listener.close()  # close() leaves accepted connections alone

Beyond loopback only TLS is spoken; a Unix socket's peer must have the own uid; without a secret there is only that.
This module never retries a refusal and never reads a byte more than the handshake needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import logging
import os
import socket
import ssl
import stat
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, cast

from himalia.comm.addresses import Address, parse
from himalia.comm.handshake import (
    HANDSHAKE_TIMEOUT,
    DialerHandshake,
    Greeting,
    ListenerHandshake,
    Peer,
    Refused,
    Welcome,
)
from himalia.comm.security import (
    Credentials,
    ServerCertificate,
    client_context,
    peer_uid,
    server_context,
)
from himalia.comm.security import (
    fingerprint as fingerprint_of,
)
from himalia.errors import ConnectError, HandshakeError, StartError, UnreachableError, UsageError

__all__ = ["Acceptance", "Greeting", "Listener", "Peer", "listen_authenticated", "open_authenticated"]

logger = logging.getLogger("himalia.comm")

MAX_PENDING: Final = 512
"""Connections that may be in their handshake at once; further ones are closed unheard.  Guess."""
COMPLAINT_INTERVAL: Final = 5.0
"""Seconds between two log lines about refused strangers: a port scan must not fill a disk."""
FIRST_RETRY: Final = 0.02
"""Seconds after which a dialer tries again; doubled each time up to :data:`LAST_RETRY`.  Guess."""
LAST_RETRY: Final = 1.0

_TCP_OPTIONS: Final = {
    "TCP_KEEPIDLE": 5, "TCP_KEEPALIVE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 5, "TCP_USER_TIMEOUT": 15000
}  # fmt: skip
"""A host that vanished is noticed after about 15 s (the last is ms).  TCP_KEEPALIVE is macOS's name of TCP_KEEPIDLE."""

P = TypeVar("P", bound=asyncio.BaseProtocol)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """How a listener receives a peer that proved itself."""

    protocol: asyncio.BaseProtocol
    received: int = 0
    """Messages of the resumed session that this side has."""


async def open_authenticated(
    address: str | Address,
    *,
    greeting: Greeting,
    credentials: Credentials,
    roles: Collection[str],
    protocol_factory: Callable[[Peer], P],
    timeout: float,
    fingerprint: str | None = None,
    retry: bool = True,
) -> tuple[asyncio.Transport, P, Peer]:
    """Connect, prove who we are, and put a protocol on the connection; see the module's docstring.

    Raises
    ------
    HandshakeError
        One of the two sides refused, or something else listens there; trying again is useless.
    UnreachableError
        Nobody answered within ``timeout`` seconds.
    UsageError
        The address can't be used this way.
    """
    where = parse(address) if isinstance(address, str) else address
    _check_scheme(where, credentials)
    pinned = credentials.fingerprint if fingerprint is None else fingerprint
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    pause, reason = FIRST_RETRY, ""
    while True:
        left = deadline - loop.time()
        dialing = _Dialing(where, greeting, credentials, roles, pinned, protocol_factory)
        try:
            return await _dial(where, dialing, max(0.001, min(left, HANDSHAKE_TIMEOUT)))
        except (OSError, TimeoutError) as error:
            if isinstance(error, ConnectError) and not isinstance(error, UnreachableError):
                raise
            left = deadline - loop.time()
            if not reason or not isinstance(error, TimeoutError):  # the last attempt may just have had no time
                reason = _reason(error)
            if not retry or left <= 0:
                raise UnreachableError(f"nobody answered at {where} within {timeout:g} s: {reason}") from error
        await asyncio.sleep(min(pause, left))
        pause = min(2 * pause, LAST_RETRY)


async def listen_authenticated(
    address: str | Address,
    *,
    greeting: Greeting,
    credentials: Credentials,
    roles: Collection[str],
    accept: Callable[[Peer], Acceptance],
    certificate: ServerCertificate | None = None,
) -> Listener:
    """Listen, and hand over each connection whose peer proved itself; see the module's docstring.

    Raises
    ------
    StartError
        If the address is in use or can't be bound.
    UsageError
        If the address can't be used this way.
    """
    where = parse(address) if isinstance(address, str) else address
    _check_scheme(where, credentials)
    if where.scheme == "tls" and certificate is None:
        raise UsageError(f"to listen at {where} a certificate of the cluster is needed")
    if where.scheme != "tls":
        certificate = None
    listener = Listener(where, greeting, credentials, roles, accept, certificate)
    try:
        await listener.open()
    except OSError as error:
        raise StartError(f"can't listen at {where}: {_reason(error)}") from error
    return listener


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
        self._credentials = credentials
        self._roles = roles
        self._accept = accept
        self._certificate = certificate
        self._server: asyncio.AbstractServer | None = None
        self._inode: tuple[int, int] | None = None
        self._pending: set[_Accepting] = set()
        self._complaints = 0
        self._quiet_until = 0.0

    @property
    def address(self) -> str:
        """Where it listens, with the real port."""
        return str(self._where)

    async def open(self) -> None:
        """Bind and start to accept."""
        loop = asyncio.get_running_loop()
        if self._where.scheme == "unix":
            sock = _bind_unix(self._where.path)
            status = os.stat(self._where.path)
            self._inode = status.st_dev, status.st_ino
            self._server = await loop.create_unix_server(self._begin, sock=sock)
            return
        context = server_context(self._certificate) if self._certificate is not None else None
        timeout = HANDSHAKE_TIMEOUT if context is not None else None
        server = await loop.create_server(
            self._begin, self._where.host, self._where.port, ssl=context, ssl_handshake_timeout=timeout, backlog=1024
        )
        self._server = server
        self._where = dataclasses.replace(self._where, port=server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Stop to accept and remove a Unix socket's file; accepted connections live on."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for accepting in list(self._pending):
            accepting.abort()
        with contextlib.suppress(OSError):
            status = os.stat(self._where.path) if self._inode is not None else None
            if status is not None and (status.st_dev, status.st_ino) == self._inode:
                os.unlink(self._where.path)

    def _begin(self) -> _Accepting:
        return _Accepting(self)

    def handshake(self, where: str, welcome: Callable[[Peer], Welcome]) -> ListenerHandshake:
        """Return the handshake for one more connection."""
        pin = self._certificate.fingerprint if self._certificate is not None else ""
        return ListenerHandshake(self._greeting, self._credentials, self._roles, where, pin, welcome)

    def accept(self, peer: Peer) -> Acceptance:
        """Ask the owner how to receive a peer."""
        return self._accept(peer)

    def admit(self, accepting: _Accepting) -> bool:
        """Count a connection that begins its handshake; False if there are too many."""
        if len(self._pending) >= MAX_PENDING or self._server is None:
            return False
        self._pending.add(accepting)
        return True

    def release(self, accepting: _Accepting) -> None:
        """Forget a connection whose handshake ended, one way or the other."""
        self._pending.discard(accepting)

    def complain(self, text: str) -> None:
        """Log a refusal, but not each of a flood."""
        now = asyncio.get_running_loop().time()
        if now < self._quiet_until:
            self._complaints += 1
            return
        more = f" ({self._complaints} more since the last such line)" if self._complaints else ""
        logger.warning("refused a connection: %s%s", text, more)
        self._complaints = 0
        self._quiet_until = now + COMPLAINT_INTERVAL


class _Accepting(asyncio.Protocol):
    """An accepted connection until its peer is known."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._transport: asyncio.Transport | None = None
        self._handshake: ListenerHandshake | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._acceptance: Acceptance | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        self._transport = transport
        where = _peer_name(transport)
        if not self._listener.admit(self):
            self._listener.complain(f"{where}: too many at once")
            transport.abort()
            return
        if (stranger := _foreign_uid(transport)) is not None:
            self._listener.complain(f"{where}: {stranger}")
            self.abort()
            return
        tune(transport)
        self._handshake = self._listener.handshake(where, self._welcome)
        self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_TIMEOUT, self._time_out, where)

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

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish()

    def abort(self) -> None:
        """End it at once."""
        self._finish()
        if self._transport is not None:
            self._transport.abort()

    def _welcome(self, peer: Peer) -> Welcome:
        self._acceptance = self._listener.accept(peer)
        return Welcome(self._acceptance.received)

    def _time_out(self, where: str) -> None:
        self._listener.complain(f"{where}: no handshake within {HANDSHAKE_TIMEOUT:g} s")
        self.abort()

    def _finish(self) -> None:
        self._handshake = None
        self._listener.release(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Dialing(asyncio.Protocol, Generic[P]):
    """A connection of this side's until the peer is known; ``done`` gets the outcome."""

    def __init__(
        self,
        where: Address,
        greeting: Greeting,
        credentials: Credentials,
        roles: Collection[str],
        pinned: str,
        protocol_factory: Callable[[Peer], P],
    ) -> None:
        self._where = where
        self._start = greeting, credentials, roles
        self._pinned = pinned
        self._factory = protocol_factory
        self._handshake: DialerHandshake | None = None
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[tuple[asyncio.Transport, P, Peer]] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        self._transport = transport
        if (stranger := _foreign_uid(transport)) is not None:
            self._fail(HandshakeError(f"{self._where}: {stranger}"))
            return
        shown = _certificate_of(transport)
        if shown and self._pinned and shown != self._pinned:
            self._fail(HandshakeError(
                f"{self._where} shows the certificate {shown[:16]}…, this cluster's is {self._pinned[:16]}…: another "
                f"cluster listens there now, or somebody is in between"
            ))  # fmt: skip
            return
        tune(transport)
        self._handshake = DialerHandshake(*self._start, str(self._where), shown)
        transport.write(self._handshake.start())

    def data_received(self, data: bytes) -> None:
        if self._handshake is None or self._transport is None:
            return
        try:
            reply = self._handshake.receive(data)
        except HandshakeError as error:
            if isinstance(error, Refused):
                self._transport.write(error.reply)
            self._fail(HandshakeError(str(error)))
            return
        if reply:
            self._transport.write(reply)
        if (peer := self._handshake.peer) is not None:
            self._hand_over(self._transport, peer, self._handshake.leftover)

    def connection_lost(self, exc: Exception | None) -> None:
        hint = " (if it speaks TLS, write tls://)" if self._where.scheme == "tcp" else ""
        self._fail(UnreachableError(f"{self._where} closed the connection during the handshake{hint}"))

    def abandon(self) -> None:
        """Nobody waits any more: close whatever there is."""
        self._handshake = None
        self.done.cancel()
        if not self.done.cancelled() and self.done.exception() is not None:
            return  # closed already, after a last word to the peer
        if self._transport is not None:
            self._transport.abort()

    def _hand_over(self, transport: asyncio.Transport, peer: Peer, leftover: bytes) -> None:
        self._handshake = None
        if self.done.done():
            transport.abort()
            return
        protocol = self._factory(peer)
        self.done.set_result((transport, protocol, peer))
        hand_over(transport, protocol, leftover)

    def _fail(self, error: ConnectError) -> None:
        self._handshake = None
        if not self.done.done():
            self.done.set_exception(error)
        if self._transport is not None:
            self._transport.close()


async def _dial(where: Address, dialing: _Dialing[P], timeout: float) -> tuple[asyncio.Transport, P, Peer]:
    """Make one attempt."""
    loop = asyncio.get_running_loop()
    connection: tuple[Any, Any]
    try:
        async with asyncio.timeout(timeout):
            if where.scheme == "unix":
                connection = await loop.create_unix_connection(lambda: dialing, where.path)
            else:
                context = client_context() if where.scheme == "tls" else None
                connection = await loop.create_connection(lambda: dialing, where.host, where.port, ssl=context)
            del connection
            return await dialing.done
    except BaseException as error:
        dialing.abandon()
        if isinstance(error, ssl.SSLError):
            what = error.reason or error
            raise HandshakeError(f"{where} does not speak TLS as a himalia cluster does: {what}") from error
        raise


def hand_over(transport: asyncio.Transport, protocol: asyncio.BaseProtocol, leftover: bytes) -> None:
    """Put ``protocol`` on an open transport, and give it what was read before its time."""
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    if not leftover or transport.is_closing():
        return
    if not isinstance(protocol, asyncio.BufferedProtocol):
        assert isinstance(protocol, asyncio.Protocol)
        protocol.data_received(leftover)
        return
    view = memoryview(leftover)
    while view and not transport.is_closing():
        buffer = memoryview(protocol.get_buffer(len(view))).cast("B")
        size = min(len(buffer), len(view))
        buffer[:size] = view[:size]
        protocol.buffer_updated(size)
        view = view[size:]


def tune(transport: asyncio.Transport) -> None:
    """Send small frames at once, and notice a host that vanished without a word."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family == socket.AF_UNIX:
        return
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in _TCP_OPTIONS.items():
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    for option in options:
        with contextlib.suppress(OSError):
            sock.setsockopt(*option)


def _check_scheme(where: Address, credentials: Credentials) -> None:
    """Refuse what would be open to others."""
    if where.scheme == "tcp" and not where.is_loopback:
        raise UsageError(f"{where} is beyond loopback, where himalia speaks TLS only: write tls://{str(where)[6:]}")
    if not credentials.secret and where.scheme != "unix":
        raise UsageError(f"{where} needs the cluster's secret; only Unix sockets do without")


def _foreign_uid(transport: asyncio.Transport) -> str | None:
    """Return why the peer of a Unix socket is not to be talked to, if so."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family != socket.AF_UNIX:
        return None
    try:
        uid = peer_uid(sock.fileno())
    except OSError as error:
        return f"the system doesn't tell whose process is at the other end: {error}"
    return None if uid == os.geteuid() else f"a process of user {uid} is at the other end, this is user {os.geteuid()}"


def _certificate_of(transport: asyncio.Transport) -> str:
    """Return the fingerprint of what the peer showed; empty without TLS."""
    tls = transport.get_extra_info("ssl_object")
    return fingerprint_of(tls.getpeercert(binary_form=True)) if tls is not None else ""


def _peer_name(transport: asyncio.Transport) -> str:
    name = transport.get_extra_info("peername")
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) and len(name) >= 2 else "a process of this host"


def _bind_unix(path: str) -> socket.socket:
    """Return a socket bound to ``path``, for the own user only; a file that nobody listens at any more is replaced."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        sock.bind(path)
        os.chmod(path, 0o600)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _remove_stale(path: str) -> None:
    """Remove the socket file of a listener that is gone; anything else stays, and ``bind`` will complain."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            probe.connect(path)
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        os.unlink(path)
    except BlockingIOError:  # somebody listens and is busy
        return


def _reason(error: BaseException) -> str:
    """Return what went wrong in a few words."""
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer"
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return "the address is in use; stop what listens there, or choose another port"
    if isinstance(error, socket.gaierror):
        return f"the host name can't be resolved ({error.strerror})"
    if isinstance(number, int) and number > 0:
        return os.strerror(number).lower()
    return str(error) or type(error).__name__
