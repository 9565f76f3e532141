"""The nanny's data listener: gives results to clients and other nannies, and takes what clients place.

This file decides how a request is answered and when a reader counts as gone; what is in the store, and where, is the
store's business.  A reader is known by its incarnation, not by its connection: what it mapped stays counted until it
reports the end of the mapping, or is gone as a process (``comm/data/presence.py``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from himalia.comm.connection import Acceptance, Greeting, Listener, Peer, listen_authenticated
from himalia.comm.data.connection import DataConnection, Outgoing
from himalia.comm.data.layout import frame_offsets, range_length
from himalia.comm.data.wire import WireError, encode, nowhere
from himalia.comm.security import Credentials, ServerCertificate
from himalia.errors import HandshakeError, StoreDamagedError
from himalia.messages.data import DataFollows, DataRequest, GetData, PutData, PutDone, PutGranted, PutStored, UnmapData
from himalia.messages.parts import HeldData
from himalia.names import Key, PeerId
from himalia.version import __version__

if TYPE_CHECKING:
    from himalia.nanny.store.room import Request, Room
    from himalia.nanny.store.store import Store

PUT_SHARE: Final = 8
"""One connection is granted up to this part (one eighth) of the store ahead of what it wrote, or one value: a client
that is stopped while it writes keeps no more.  Half of what clients may map (``nanny/store/store.py``)."""
PRESENCE_INTERVAL: Final = 1.0
"""Seconds between two looks at whether a reader without a connection still maps something; one takes
13 µs, measured."""


class DataServer:
    """Serves one store; loop thread only.

    Parameters
    ----------
    store : Store
        Of this nanny.
    credentials : Credentials
        Of the cluster.
    me : PeerId
        Incarnation of this nanny, which peers expect to meet.
    stored : callable, optional
        Told of each value that a client placed here, and by whom.
    gone : callable, optional
        Told of each client whose last connection ended.
    damaged : callable, optional
        Told of each result that a peer asked for and that can't be read from disk any more.
    room : Room
        Where values wait that have no room in the store now.
    """

    def __init__(
        self,
        store: Store,
        *,
        credentials: Credentials,
        me: PeerId,
        room: Room,
        stored: Callable[[HeldData, PeerId], None] | None = None,
        gone: Callable[[PeerId], None] | None = None,
        damaged: Callable[[Key, int], None] | None = None,
    ) -> None:
        self.store = store
        self.room = room
        self.stored = stored or _ignore_stored
        self.gone = gone or _ignore_gone
        self.damaged = damaged or _ignore_damaged
        self._credentials = credentials
        self._greeting = Greeting(role="nanny", incarnation=me, version=__version__)
        self._listeners: list[Listener] = []
        self._connections: dict[PeerId, list[_Serving]] = {}
        self._leaving: dict[PeerId, asyncio.TimerHandle] = {}
        self._claims: dict[PeerId, bytes] = {}
        """What each reader showed for its name, as long as anything is kept for it."""
        self._is_closed = False

    async def listen(self, address: str, certificate: ServerCertificate | None = None) -> str:
        """Accept peers at ``address`` and return it with the real port; may be called for several addresses.

        Raises
        ------
        StartError
            If the address is in use or can't be bound.
        """
        listener = await listen_authenticated(
            address,
            greeting=self._greeting,
            credentials=self._credentials,
            roles=("data-client", "data-nanny"),
            accept=self._accept,
            certificate=certificate,
        )
        self._listeners.append(listener)
        return listener.address

    def admit_clients(self, key: bytes) -> None:
        """Let clients in that know the key which the scheduler gave this nanny for them."""
        self._credentials = self._credentials.with_key("data-client", self._greeting.incarnation, key)
        for listener in self._listeners:
            # Those that listen already, too: the key comes from the scheduler, after the doors are open.
            listener.credentials = self._credentials

    def close(self) -> None:
        """End all connections and forget all readers; may be called twice."""
        self._is_closed = True
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for timer in self._leaving.values():
            timer.cancel()
        self._leaving.clear()
        for connections in list(self._connections.values()):
            for connection in connections:
                connection.close()

    def _accept(self, peer: Peer) -> Acceptance:
        if self._is_closed:
            raise HandshakeError("this nanny is closing")
        # owners of ranges are called by these names: "/" is in those of the workers', and ours is our own fetches'
        # In the name of a reader one can hand back and unmap what it has; a name is no secret, its claim is.
        known = self._claims.get(peer.incarnation)
        if "/" in peer.incarnation or peer.incarnation == self._greeting.incarnation or not peer.claim:
            raise HandshakeError(f"{peer.incarnation} is no name of a reader")
        if known is not None and not peer.is_same_as(known):
            raise HandshakeError(f"{peer.incarnation} is the name of another process, which reads here")
        return Acceptance(_Serving(self, peer))

    def joined(self, connection: _Serving) -> None:
        """Count a connection of a reader."""
        self._connections.setdefault(connection.peer, []).append(connection)
        self._claims[connection.peer] = connection.claim
        # It is back, over a new connection: what it maps stays counted.
        if (timer := self._leaving.pop(connection.peer, None)) is not None:
            timer.cancel()

    def left(self, connection: _Serving) -> None:
        """Forget a connection, and its reader once no process maps anything in its name."""
        others = self._connections[connection.peer]
        others.remove(connection)
        if not others:
            del self._connections[connection.peer]
            if not self._is_closed:
                self.gone(connection.peer)
                self._release(connection.peer)

    def _release(self, peer: PeerId) -> None:
        self._leaving.pop(peer, None)
        # The kernel is asked, for a client's arrays outlive its connections (comm/data/presence.py).
        if self.store.is_reading(peer):
            loop = asyncio.get_running_loop()
            self._leaving[peer] = loop.call_later(PRESENCE_INTERVAL, self._release, peer)
        else:
            # Only now: until then its name stands for mappings that nobody else may report as gone.
            self._claims.pop(peer, None)
            self.store.release_owner(peer)


class _Serving(DataConnection):
    """One connection of one peer."""

    hears_out = False

    def __init__(self, server: DataServer, peer: Peer) -> None:
        is_client = peer.role == "data-client"  # another nanny reads, and neither places nor maps anything here
        super().__init__(
            DataRequest if is_client else GetData,
            {GetData: self._get, PutData: self._put, PutDone: self._put_done, UnmapData: self._unmap},
        )
        self.peer = peer.incarnation
        self.claim = peer.claim
        self._may_map = is_client
        self._server = server
        self._store = server.store
        self._puts: deque[PutData] = deque()  # that wait for others of this connection
        self._waiting: dict[int, Request] = {}  # that wait for room
        self._granted: dict[int, tuple[PutData, int, int]] = {}  # request -> what is put, and its grant

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._server.joined(self)
        super().connection_made(transport)

    def lost(self, reason: str) -> None:
        for message, offset, length in self._granted.values():
            # What the peer writes by itself it may still be writing, connected or not: that stays its own until it is
            # gone (``DataServer._release``), or its bytes would get into what the range is used for next.
            if not message.map:
                self._store.hand_back(self.peer, [(offset, length)])
        self._granted.clear()
        for request in self._waiting.values():
            self._server.room.forget(request)
        self._waiting.clear()
        self._puts.clear()
        self._server.left(self)

    def _get(self, message: GetData) -> None:
        request, is_mapped = message.request, message.map and self._may_map
        # Each is looked up when its turn to be written comes: by then it may be freed, or on disk.
        for key, attempt in message.data:
            self.send_later(lambda key=key, attempt=attempt: self._answer(request, key, attempt, is_mapped))  # type: ignore[misc]

    def _answer(self, request: int, key: Key, attempt: int, is_mapped: bool) -> Outgoing:
        store = self._store
        held = store.get(key, attempt)
        if held is None:
            return Outgoing(encode(DataFollows(request, key, 0, False)))
        try:
            if store.is_small(key, attempt) or (is_mapped and store.may_map(key, self.peer, attempt)):
                place = store.place(key, self.peer, attempt)
                return Outgoing(encode(DataFollows(request, key, held.attempt, True, place)))
            # A reader elsewhere, or one that maps its share already: it gets the bytes.
            sizes, pieces, done = store.stream(key, attempt)
        # As if it weren't here: whoever asked goes to another host, and the scheduler is told.
        except StoreDamagedError as error:
            self._server.damaged(key, error.attempt)
            return Outgoing(encode(DataFollows(request, key, 0, False)))
        follows = DataFollows(request, key, held.attempt, True, None, sizes)
        return Outgoing(encode(follows), self._checked(key, pieces), lambda _: done())

    def _checked(self, key: Key, pieces: Iterator[memoryview]) -> Iterator[memoryview]:
        try:
            # Damage shows at the last piece, when the peer has most of it: the connection ends, and nothing is half
            # believed.
            yield from pieces
        except StoreDamagedError as error:
            self._server.damaged(key, error.attempt)
            raise

    def _put(self, message: PutData) -> None:
        if message.inline is not None:
            nbytes = self._store.put_inline(message.key, message.attempt, message.inline)
            self._acknowledge(message, nbytes)
            return
        sizes = message.sizes
        if not sizes or min(sizes) < 0:
            raise WireError(f"a value of {len(sizes)} frames, or one of negative size")
        if message.map:
            self._puts.append(message)
            self._next_puts()
        elif self._ask(message):
            self.hold()

    def _next_puts(self) -> None:
        """Ask for room for what this client wants to write, unless enough of its own is under way."""
        # One of them waits for room at a time, or a small one would overtake a large one for ever.
        while self._puts and not self._waiting:
            granted = sum(length for _, _, length in self._granted.values())
            message = self._puts[0]
            if granted and granted + range_length(message.sizes) > self._store.limit // PUT_SHARE:
                return
            # Taken out before it asks: an answer that comes at once looks at the next.
            self._puts.popleft()
            self._ask(message)

    def _ask(self, message: PutData) -> bool:
        """Ask for room for a value; whether it has to wait."""
        request = self._server.room.ask(
            self.peer,
            range_length(message.sizes),
            lambda offset, length: self._has_room(message, offset, length),
            lambda error: self._refuse(message, str(error)),
        )
        if request is not None:
            self._waiting[message.request] = request
        return request is not None

    def _has_room(self, message: PutData, offset: int, length: int) -> None:
        request, sizes = message.request, message.sizes
        self._waiting.pop(request, None)
        self._granted[request] = message, offset, length
        if message.map:
            self.send(PutGranted(request, offset))
            self._next_puts()
            return
        window = self._store.writable(self.peer, offset, length)
        starts, _ = frame_offsets(sizes)
        targets = [window[start : start + size] for start, size in zip(starts, sizes, strict=True)]
        self._expect(iter(targets), lambda: self._adopt(request))

    def _refuse(self, message: PutData, error: str) -> None:
        self._waiting.pop(message.request, None)
        if message.map:
            self.send(PutGranted(message.request, 0, error))
            self._next_puts()
        else:
            # Its bytes are on their way already, and the next message is behind them.
            self._expect(nowhere(sum(message.sizes)), lambda: self.send(PutStored(message.request, 0, error)))

    def _expect(self, targets: Iterator[memoryview], received: Callable[[], None]) -> None:
        self.reader.expect(targets, received)
        if self.reader.is_held:
            self.go_on()

    def _put_done(self, message: PutDone) -> None:
        # Only what was granted to this very connection.
        if message.request not in self._granted:
            raise WireError("a value was announced as written that has no place")
        self._adopt(message.request)

    def _adopt(self, request: int) -> None:
        message, offset, length = self._granted.pop(request)
        nbytes = self._store.adopt(message.key, message.attempt, self.peer, offset, message.sizes)
        used = range_length(message.sizes)
        if used < length:
            self._store.hand_back(self.peer, [(offset + used, length - used)])
        self._acknowledge(message, nbytes)
        self._next_puts()

    def _acknowledge(self, message: PutData, nbytes: int) -> None:
        self._server.stored(HeldData(message.key, message.attempt, nbytes), self.peer)
        self.send(PutStored(message.request, nbytes))

    def _unmap(self, message: UnmapData) -> None:
        self._store.unmap(self.peer, message.offsets)


def _ignore_stored(held: HeldData, writer: PeerId) -> None:
    """Tell nobody."""


def _ignore_gone(writer: PeerId) -> None:
    """Tell nobody."""


def _ignore_damaged(key: Key, attempt: int) -> None:
    """Tell nobody."""
