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
import logging
import ssl
from collections.abc import Callable, Collection
from typing import Final, Generic, TypeVar, cast

from himalia.comm.addresses import Address, parse
from himalia.comm.handshake import HANDSHAKE_TIMEOUT, DialerHandshake, Greeting, Peer, Refused
from himalia.comm.listening import Acceptance, Listener
from himalia.comm.security import Credentials, ServerCertificate
from himalia.comm.security import fingerprint as fingerprint_of
from himalia.comm.sockets import foreign_uid, hand_over, reason_of, tune
from himalia.comm.tls import client_context
from himalia.errors import ConnectError, HandshakeError, StartError, UnreachableError, UsageError

__all__ = ["Acceptance", "Greeting", "Listener", "Peer", "listen_authenticated", "open_authenticated"]

logger = logging.getLogger("himalia.comm")

FIRST_RETRY: Final = 0.02
"""Seconds after which a dialer tries again; doubled each time up to :data:`LAST_RETRY`.
dask.distributed begins with 0.01, gRPC with 1."""
LAST_RETRY: Final = 1.0

WORKER_END: Final = ".worker.json"

P = TypeVar("P", bound=asyncio.BaseProtocol)


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
    try:
        credentials.key(greeting.role)
    except KeyError:
        raise HandshakeError(
            f"the cluster file that was given has no key for a {greeting.role}: NAME{WORKER_END} is for nodes that run "
            f"workers, NAME.json for clients"
        ) from None
    pinned = credentials.fingerprint if fingerprint is None else fingerprint
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    pause, reason = FIRST_RETRY, ""
    while True:
        left = deadline - loop.time()
        # A new one for each try: a nonce is used once, and an abandoned protocol may still hear of its end.
        dialing = _Dialing(where, greeting, credentials, roles, pinned, protocol_factory)
        try:
            # Never 0, which would end the one attempt before it begins.
            return await _dial(where, dialing, max(0.001, min(left, HANDSHAKE_TIMEOUT)))
        except (OSError, TimeoutError) as error:
            # Our own errors are OSErrors as well; a refusal stays one, however often it is asked.
            if isinstance(error, ConnectError) and not isinstance(error, UnreachableError):
                raise
            left = deadline - loop.time()
            if not reason or not isinstance(error, TimeoutError):  # the last attempt may just have had no time
                reason = reason_of(error)
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
    # A cluster has one certificate, and listens at addresses that need none.
    if where.scheme != "tls":
        certificate = None
    listener = Listener(where, greeting, credentials, roles, accept, certificate)
    try:
        await listener.open()
    except OSError as error:
        raise StartError(f"can't listen at {where}: {reason_of(error)}") from error
    return listener


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
        # The dialer as well: a file in a shared folder may be somebody else's trap.
        if (stranger := foreign_uid(transport.get_extra_info("socket"))) is not None:
            self._fail(HandshakeError(f"{self._where}: {stranger}"))
            return
        shown = _certificate_of(transport)
        # Before a word of ours is sent. Without a pin the proof, which is over the certificate too, says the same a
        # round trip later.
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
        # Says nothing if there was a reason before: the first one counts.
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
        # Given up meanwhile, and nobody else would ever close it.
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
            # Not aborted: a refusal may have been written just now.
            self._transport.close()


async def _dial(where: Address, dialing: _Dialing[P], timeout: float) -> tuple[asyncio.Transport, P, Peer]:
    """Make one attempt."""
    loop = asyncio.get_running_loop()
    connection: tuple[object, object]
    try:
        async with asyncio.timeout(timeout):
            if where.scheme == "unix":
                connection = await loop.create_unix_connection(lambda: dialing, where.path)
            else:
                context = client_context() if where.scheme == "tls" else None
                connection = await loop.create_connection(lambda: dialing, where.host, where.port, ssl=context)
            del connection
            return await dialing.done
    # Cancelled, too: a connection may be half made.
    except BaseException as error:
        dialing.abandon()
        if isinstance(error, ssl.SSLError):
            what = error.reason or error
            raise HandshakeError(f"{where} does not speak TLS as a himalia cluster does: {what}") from error
        raise


def _check_scheme(where: Address, credentials: Credentials) -> None:
    """Refuse what would be open to others."""
    if where.scheme == "tcp" and not where.is_loopback:
        raise UsageError(f"{where} is beyond loopback, where himalia speaks TLS only: write tls://{str(where)[6:]}")
    if credentials.is_empty and where.scheme != "unix":
        raise UsageError(f"{where} needs the cluster's secret; only Unix sockets do without")


def _certificate_of(transport: asyncio.Transport) -> str:
    """The fingerprint of what the peer showed; empty without TLS."""
    tls = transport.get_extra_info("ssl_object")
    return fingerprint_of(tls.getpeercert(binary_form=True)) if tls is not None else ""
