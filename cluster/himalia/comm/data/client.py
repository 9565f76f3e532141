"""The asking side of the data plane: clients read and place results, nannies fetch inputs.

This file decides how a value comes here: mapped if its host is this machine, else as bytes into memory of our own, or
(for nannies) straight into the store.  It never decides which host is asked, nor what follows when that host fails.

One connection per host, opened when it is first needed and kept; requests are pipelined.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from himalia.comm.buffers import Buffer, pack
from himalia.comm.buffers import nbytes as size_of
from himalia.comm.connection import Greeting, Peer, open_authenticated
from himalia.comm.data.connection import DataConnection, Outgoing
from himalia.comm.data.mapping import ArenaReader, ArenaWriter
from himalia.comm.data.transfers import Fetching, Getting, Transfer
from himalia.comm.data.wire import CHUNK, WireError, chunks, encode
from himalia.comm.security import NAME_SECRET, Credentials
from himalia.errors import ClosedError, StoreFullError, UnreachableError
from himalia.messages.data import DataFollows, DataReply, GetData, PutData, PutDone, PutGranted, PutStored, UnmapData
from himalia.messages.parts import HeldData, HostInfo
from himalia.names import HostId, Key, PeerId
from himalia.settings import DEFAULT, Settings
from himalia.version import __version__

if TYPE_CHECKING:
    from himalia.nanny.store.room import Room
    from himalia.nanny.store.store import Store

REPORT_INTERVAL: Final = 0.5
"""Seconds after which a mapping that is gone is reported at the latest, if no request tells it before."""
KEYS_AT_ONCE: Final = 10_000
"""Keys of one request, so that it stays a message of about a megabyte."""


class DataClient:
    """Reads results of hosts and places values there; loop thread only.

    Parameters
    ----------
    credentials : Credentials
        Of the cluster.
    me : PeerId
        Incarnation of this process.
    machine : str
        Identity of this machine and user (``system.machine_identity()``); empty: never map.
    role : str
        ``data-client`` or ``data-nanny``.
    settings : Settings
        ``inline_limit`` and ``copy_limit`` count.
    timeout : float
        Seconds a host has to let us in.
    """

    def __init__(
        self,
        *,
        credentials: Credentials,
        me: PeerId,
        machine: str,
        role: str,
        settings: Settings = DEFAULT,
        timeout: float = 10.0,
    ) -> None:
        self.credentials = credentials
        self.greeting = Greeting(role=role, incarnation=me, version=__version__, name_secret=NAME_SECRET)
        self.me = me
        self.machine = machine
        self.settings = settings
        self.timeout = timeout
        self._hosts: dict[HostId, _Host] = {}
        self._requests = itertools.count(1)
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def get(self, host: HostInfo, data: Iterable[tuple[Key, int]]) -> dict[Key, list[memoryview] | None]:
        """Read results of one host, each named by key and attempt.

        Returns
        -------
        dict
            For each key its frames, for ``serialize.loads``; ``None`` if the host doesn't have it.

        Raises
        ------
        ConnectError
            If the host can't be reached, or went away meanwhile.
        """
        results: dict[Key, list[memoryview] | None] = {}
        record = self._host(host)
        missing = dict(data)
        is_second = False
        while missing:
            link = await record.connect()
            start = partial(Getting, results=results, arena=record.reader)
            try:
                await self._ask(link, missing, start, record.reader is not None)
            except UnreachableError:  # a host ends a connection in the middle of a result that is damaged on its disk
                if is_second:
                    raise
                is_second = True
            finally:
                self._watch_mappings()
            # What came before the connection broke is kept; only the rest is asked for again.
            missing = {key: attempt for key, attempt in missing.items() if key not in results}
        return results

    async def fetch(
        self, host: HostInfo, data: Iterable[tuple[Key, int]], store: Store, room: Room
    ) -> dict[Key, HeldData | StoreFullError | None]:
        """Bring results of another host, each named by key and attempt, into the store of this one.

        Each as soon as there is ``room``; the host waits with us.

        Returns
        -------
        dict
            For each key what is in ``store`` now; ``None`` if the host doesn't have it; the error if there is no room.

        Raises
        ------
        ConnectError
            If the host can't be reached, or went away meanwhile; then nothing of what it gave is kept.
        """
        results: dict[Key, HeldData | StoreFullError | None] = {}
        started: list[Fetching] = []

        def start(count: int) -> Fetching:
            started.append(Fetching(count, results, store, room, self.me))
            return started[-1]

        link = await self._host(host).connect()
        try:
            await self._ask(link, dict(data), start, False)
        except BaseException:
            # All or nothing: the machine is told that the fetch failed, and asks elsewhere for each of its keys.
            for fetching in started:
                fetching.abandon()
            raise
        return results

    async def put(self, host: HostInfo, key: Key, frames: Sequence[Buffer], attempt: int = 0) -> int:
        """Place a value at one host and return its bytes, once it is in the store there.

        The value goes on its way even if the caller is cancelled.

        Raises
        ------
        ConnectError
            If the host can't be reached, or went away meanwhile.
        StoreFullError
            If there is no room.
        """
        record = self._host(host)
        # Connected first: only then it is known whether this host's arena can be written to.
        link = await record.connect()
        request = next(self._requests)
        if (nbytes := size_of(frames)) <= self.settings.inline_limit:
            stored = link.expect(request)
            link.send(PutData(request, key, pack(frames), attempt=attempt))
            return _checked(await stored, nbytes)
        sizes = tuple(map(len, frames))
        if record.writer is not None:
            message = PutData(request, key, None, sizes, True, attempt)
            writing = asyncio.get_running_loop().create_task(_write(link, record.writer, message, frames))
            # Nobody may be there to hear of its failure, which asyncio would then log.
            writing.add_done_callback(_retrieve)
            return _checked(await asyncio.shield(writing), nbytes)
        stored = link.expect(request)
        link.send_later(Outgoing(encode(PutData(request, key, None, sizes, False, attempt)), chunks(frames)))
        return _checked(await stored, nbytes)

    def forget(self, host: HostId) -> None:
        """Close the connection to a host that left; arrays that are mapped from it stay valid."""
        if (record := self._hosts.pop(host, None)) is not None:
            record.close()

    def close(self) -> None:
        """End all connections; arrays that are mapped stay valid.  May be called twice."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for host in list(self._hosts):
            self.forget(host)

    def _host(self, host: HostInfo) -> _Host:
        if self._is_closed:
            raise ClosedError("This client's connections are closed.")
        record = self._hosts.get(host.host)
        # Kept as long as the host is known: its mappings outlive its connections.
        if record is None:
            record = self._hosts[host.host] = _Host(self, host)
        return record

    async def _ask(self, link: _Link, data: dict[Key, int], start: Callable[[int], Transfer], is_mapped: bool) -> None:
        """Ask for data (key → attempt) until each has been answered, one way or the other."""
        keys = list(data)
        while keys:
            now, keys = keys[:KEYS_AT_ONCE], keys[KEYS_AT_ONCE:]
            request = next(self._requests)
            finished = link.begin(request, start(len(now)))
            link.send(GetData(request, [(key, data[key]) for key in now], is_mapped))
            await finished

    def _watch_mappings(self) -> None:
        """See to it that ends of mappings are reported, as long as there are any."""
        if self._timer is None and not self._is_closed and any(host.has_mappings for host in self._hosts.values()):
            self._timer = asyncio.get_running_loop().call_later(REPORT_INTERVAL, self._report)

    def _report(self) -> None:
        self._timer = None
        for host in self._hosts.values():
            host.report_unmapped()
        self._watch_mappings()


class _Host:
    """What a data client has of one host: a connection that may come and go, and the arena."""

    def __init__(self, owner: DataClient, info: HostInfo) -> None:
        self.info = info
        self.reader: ArenaReader | None = None
        self.writer: ArenaWriter | None = None
        self._owner = owner
        self._link: _Link | None = None
        self._opening: asyncio.Task[_Link] | None = None
        self._reported = 0
        self._is_local = bool(owner.machine) and owner.machine == info.machine and bool(info.arena)

    @property
    def has_mappings(self) -> bool:
        """Whether ranges were read whose end was not reported."""
        return self.reader is not None and self.reader.reads > self._reported

    async def connect(self) -> _Link:
        """Return the open connection, making one if there is none."""
        if self._link is not None and self._link.is_open:
            self.report_unmapped()
            return self._link
        # One attempt for all who ask meanwhile, or there would be a connection for each.
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open())
            self._opening.add_done_callback(_retrieve)
        return await asyncio.shield(self._opening)  # others may be waiting for it too

    def report_unmapped(self) -> None:
        """Tell the host of mappings that are gone."""
        if self.reader is None or not self.reader.unmapped or self._link is None or not self._link.is_open:
            return
        unmapped = self.reader.unmapped
        # As many as there are now: the collector may add more at any moment.
        offsets = [unmapped.popleft() for _ in range(len(unmapped))]
        # Against what was read: equal, there is nothing to watch for any more.
        self._reported += len(offsets)
        self._link.send(UnmapData(offsets))

    def close(self) -> None:
        """Close all; the nanny learns from the kernel when the last mapping is gone."""
        if self._opening is not None:
            self._opening.cancel()
        if self._link is not None:
            self.report_unmapped()
            self._link.close()
        if self.reader is not None:
            self.reader.close()
        if self.writer is not None:
            self.writer.close()

    async def _open(self) -> _Link:
        owner, info = self._owner, self.info
        try:
            _, link, peer = await open_authenticated(
                info.address,
                # The key to a host is made of its incarnation, so it has to be known before the first word.
                greeting=dataclasses.replace(owner.greeting, listener=info.host),
                credentials=owner.credentials,
                roles=("nanny",),
                protocol_factory=lambda _: _Link(info),
                timeout=owner.timeout,
                fingerprint=info.fingerprint,
                retry=False,
            )
            self._check(link, peer)
            # Kept over connections: arrays of the first one are views of its mappings.
            if self._is_local and self.reader is None:
                self._open_arena()
            self._link = link
            self.report_unmapped()
            return link
        finally:
            self._opening = None

    def _check(self, link: _Link, peer: Peer) -> None:
        """Refuse a nanny that took over the address of the one we know: its arena is another."""
        if peer.incarnation != self.info.host:
            link.close()
            raise UnreachableError(f"{link.name} is gone; another nanny listens at its address now.")

    def _open_arena(self) -> None:
        # after the handshake: the nanny lives, so the process id in the path is still its own
        try:
            self.reader = ArenaReader(
                self.info.arena, reader=self._owner.me, copy_limit=self._owner.settings.copy_limit
            )
            self.writer = ArenaWriter(self.info.arena, writer=self._owner.me)
        except OSError:  # a container that shares the machine but not its processes: bytes will do
            self._is_local = False


class _Link(DataConnection):
    """A connection to one host, and the requests that wait for its answers."""

    def __init__(self, info: HostInfo) -> None:
        super().__init__(DataReply, {DataFollows: self._follows, PutGranted: self._reply, PutStored: self._reply})
        self.name = f"the host {info.hostname or info.host} ({info.address})"
        self._transfers: dict[int, Transfer] = {}
        self._finished: dict[int, asyncio.Future[None]] = {}
        self._replies: dict[int, asyncio.Future[PutGranted | PutStored]] = {}

    def begin(self, request: int, transfer: Transfer) -> asyncio.Future[None]:
        """Feed the answers to ``request`` to a transfer; the future is done when it is finished."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def finished() -> None:
            self._transfers.pop(request, None)
            self._finished.pop(request, None)
            if not future.done():
                future.set_result(None)

        transfer.finished = finished
        self._transfers[request] = transfer
        self._finished[request] = future
        self._check_open(future)
        return future

    def expect(self, request: int) -> asyncio.Future[PutGranted | PutStored]:
        """A future of the next answer to a ``PutData`` or ``PutDone``."""
        future: asyncio.Future[PutGranted | PutStored] = asyncio.get_running_loop().create_future()
        self._replies[request] = future
        self._check_open(future)
        return future

    def lost(self, reason: str) -> None:
        for transfer in self._transfers.values():
            transfer.lost()
        waiting: list[asyncio.Future[Any]] = [*self._finished.values(), *self._replies.values()]
        self._transfers.clear()
        self._finished.clear()
        self._replies.clear()
        for future in waiting:
            if not future.done():
                future.set_exception(UnreachableError(f"{self.name} went away: {reason}."))

    def _check_open(self, future: asyncio.Future[None] | asyncio.Future[PutGranted | PutStored]) -> None:
        # It broke while its request was being prepared, and whoever waited then has been told already.
        if not self.is_open:
            self.lost("the connection is closed")
            assert future.done()

    def _follows(self, message: DataFollows) -> None:
        transfer = self._transfers.get(message.request)
        if transfer is None:
            raise WireError("an answer that nobody asked for")
        try:
            transfer.follows(message, self)
        except OSError as error:  # the arena could not be read
            raise WireError(f"the memory of {self.name} can't be read: {error}") from error

    def _reply(self, message: PutGranted | PutStored) -> None:
        future = self._replies.pop(message.request, None)
        if future is None:
            raise WireError("an answer that nobody asked for")
        if not future.done():
            future.set_result(message)


async def _write(
    link: _Link, writer: ArenaWriter, message: PutData, frames: Sequence[Buffer]
) -> PutGranted | PutStored:
    """Write a value into the arena of this machine; outlives a cancelled caller, so that the range is given back."""
    granted = link.expect(message.request)
    link.send(message)
    place = await granted
    if place.error or isinstance(place, PutStored):
        return place
    # Beside the loop what is larger: at 3 ms a MiB it would stand still for others.
    if sum(message.sizes) <= CHUNK:
        writer.write(place.offset, frames)
    else:
        await asyncio.get_running_loop().run_in_executor(None, writer.write, place.offset, frames)
    stored = link.expect(message.request)
    link.send(PutDone(message.request))
    return await stored


def _checked(reply: PutGranted | PutStored, needed: int) -> int:
    if reply.error or isinstance(reply, PutGranted):
        raise StoreFullError(reply.error, needed)
    return reply.nbytes


def _retrieve(task: asyncio.Task[_Link] | asyncio.Task[PutGranted | PutStored]) -> None:
    """Look at how a task ended, in case that nobody else does any more."""
    if not task.cancelled():
        task.exception()
