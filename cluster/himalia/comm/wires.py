"""Where an endpoint's connections come from: sockets, or whatever a test puts in their place.

What an endpoint asks for is a connection whose two sides know who they are; how that is proven and carried is not its
business.  :data:`SOCKETS` is the real thing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final, Protocol

from himalia.comm.addresses import Address
from himalia.comm.connection import Acceptance, Greeting, Peer, listen_authenticated, open_authenticated
from himalia.comm.security import Credentials, ServerCertificate


class OpenDoor(Protocol):
    """What lets peers in at one address."""

    @property
    def address(self) -> str:
        """Where it is, with the real port."""

    def close(self) -> None:
        """Let nobody in any more; connections that were made live on."""


class Wires(Protocol):
    """What makes the connections of an endpoint.

    A protocol that is put on a connection gets its ``connection_made`` in the tick in which the peer is known.
    """

    async def listen(
        self,
        where: Address,
        *,
        greeting: Greeting,
        credentials: Credentials,
        roles: Collection[str],
        accept: Callable[[Peer], Acceptance],
        certificate: ServerCertificate | None,
    ) -> OpenDoor:
        """Let peers in; see :func:`himalia.comm.connection.listen_authenticated`."""

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
        """Connect, trying again until ``timeout``; see :func:`himalia.comm.connection.open_authenticated`."""


class Sockets:
    """Real connections; their time is the running loop's."""

    async def listen(
        self,
        where: Address,
        *,
        greeting: Greeting,
        credentials: Credentials,
        roles: Collection[str],
        accept: Callable[[Peer], Acceptance],
        certificate: ServerCertificate | None,
    ) -> OpenDoor:
        return await listen_authenticated(
            where, greeting=greeting, credentials=credentials, roles=roles, accept=accept, certificate=certificate
        )

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
        _, _, peer = await open_authenticated(
            where,
            greeting=greeting,
            credentials=credentials,
            roles=roles,
            protocol_factory=protocol_factory,
            timeout=timeout,
        )
        return peer


SOCKETS: Final = Sockets()
