"""Values on their way to hosts and back: which host stores one, which is asked for one.

Decides to use this machine's hosts first, where values are mapped and not copied, then all in turn; and to try another
host when one can't be reached.  What a value is, and what follows from storing or missing it, is not its business.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from himalia.client.engine.events import MessageMade, ReadFailed
from himalia.client.engine.machine import ClientMachine
from himalia.client.engine.state import Record
from himalia.client.packing.calls import Parcel
from himalia.comm.data.client import DataClient
from himalia.errors import ClosedError, StoreFullError, UnreachableError
from himalia.machine import Event
from himalia.messages.client import DataPlaced, ReleaseKeys
from himalia.messages.parts import HostInfo
from himalia.names import HostId, Key, shorten

logger = logging.getLogger("himalia.client")

HOST_PATIENCE: Final = 30.0
"""Seconds to wait for a first host when a value has to be stored and there is none; dask.distributed
waits as long for workers to scatter to (``comm.timeouts.connect``)."""
PUTS_AT_ONCE: Final = 64
"""Values that are under way to hosts at the same time.  A worker of dask.distributed fetches 50."""


class Hosts:
    """The hosts of a cluster, as a client stores and reads values there; loop thread only.

    Parameters
    ----------
    machine : ClientMachine
        Knows who is there.
    data : DataClient
    identity : str
        Of this machine and user.
    tell : callable
        Tells the machine of a failed read, and of values that were stored in vain.
    """

    def __init__(self, machine: ClientMachine, data: DataClient, identity: str, tell: Callable[[Event], None]) -> None:
        self._machine = machine
        self._data = data
        self._identity = identity
        self._tell = tell
        self._next = 0
        self._leaving: set[asyncio.Future[list[DataPlaced]]] = set()
        """Values on their way that nobody waits for any more."""

    def forget(self, host: HostId) -> None:
        """Close the connection to a host that left."""
        self._data.forget(host)

    def close(self) -> None:
        """Close all connections; what is mapped stays valid."""
        self._data.close()

    async def place_all(
        self, parcels: Sequence[Parcel], hosts: Sequence[HostInfo] | None = None, broadcast: bool = False
    ) -> list[list[DataPlaced]]:
        """Store values; return for each what the scheduler has to be told.

        Parameters
        ----------
        parcels : sequence of Parcel
        hosts : sequence of HostInfo, optional
            Where; those of this machine, or else all in turn, if left out.
        broadcast : bool
            Store each at all of them, not at one.

        Raises
        ------
        StoreFullError
            If a host has no room.
        ConnectError
            If no host can be reached.
        """
        places = asyncio.Semaphore(PUTS_AT_ONCE)
        is_given_up = False

        async def place(parcel: Parcel) -> list[DataPlaced]:
            async with places:
                # Once one has failed, those that wait for their turn aren't begun.
                return [] if is_given_up else await self._place(parcel, hosts, broadcast)

        placing = [asyncio.ensure_future(place(parcel)) for parcel in parcels]
        try:
            # Shielded: a value on its way can't be called back halfway, so it arrives and is freed then.
            return list(await asyncio.gather(*[asyncio.shield(one) for one in placing]))
        except BaseException:  # also if nobody waits any more: what is on its way arrives all the same
            is_given_up = True
            for one in placing:
                self._leaving.add(one)
                one.add_done_callback(self._let_go)
            raise

    def _let_go(self, placing: asyncio.Future[list[DataPlaced]]) -> None:
        """Have hosts free a value that was stored with others that could not be, and that nobody will hear of."""
        self._leaving.discard(placing)
        if placing.cancelled() or placing.exception() is not None or self._machine.gone:
            return
        for message in placing.result():
            # Only what this client wants can be let go of, so it is wanted first; unless a future here does so already.
            is_held = message.key in self._machine.records
            self._tell(MessageMade(msgspec.structs.replace(message, wanted=not is_held)))
            if not is_held:
                self._tell(MessageMade(ReleaseKeys([message.key])))

    async def _place(self, parcel: Parcel, hosts: Sequence[HostInfo] | None, broadcast: bool) -> list[DataPlaced]:
        # Negative, since the scheduler's attempts count up from 1; random, since other clients may store the same key.
        attempt = parcel.attempt or -1 - secrets.randbits(62)
        if broadcast:
            # Only to wait for a first one.
            await self._choose_host(set(), hosts)
            everywhere = hosts if hosts is not None else list(self._machine.hosts.values())
            return list(await asyncio.gather(*[self._put(parcel, host, attempt) for host in everywhere]))
        tried: set[HostId] = set()
        full: StoreFullError | None = None
        while True:
            try:
                host = await self._choose_host(tried, hosts)
            except UnreachableError:
                # That one had no room says more than that no other is left.
                if full is not None:
                    raise full from None
                raise
            try:
                return [await self._put(parcel, host, attempt)]
            except StoreFullError as error:  # it never fits there; another host's store may be larger
                tried.add(host.host)
                full = error
            except OSError as error:
                tried.add(host.host)
                logger.info("%s could not be stored at %s: %s", shorten(parcel.key), host.address, error)

    async def read(self, records: Sequence[Record]) -> dict[Key, list[memoryview]]:
        """Fetch the values of finished records, each host asked once; what couldn't be had is reported and left out."""
        groups: dict[HostId, list[tuple[Key, int]]] = {}
        for record in records:
            holders = record.holders  # looked at once: another thread may cancel it between two looks
            if holders:
                groups.setdefault(self._nearest(holders), []).append((record.key, record.attempt))
        found: dict[Key, list[memoryview]] = {}
        await asyncio.gather(*[self._read_host(host, wanted, found) for host, wanted in groups.items()])
        return found

    async def _read_host(self, host: HostId, wanted: list[tuple[Key, int]], found: dict[Key, list[memoryview]]) -> None:
        values: dict[Key, list[memoryview] | None] = {}
        info = self._machine.hosts.get(host)
        # One that has left meanwhile is as good as one that doesn't answer.
        if info is not None:
            try:
                values = await self._data.get(info, wanted)
            except OSError as error:
                logger.info("%d results could not be read at %s: %s", len(wanted), info.address, error)
        for key, attempt in wanted:
            frames = values.get(key)
            if frames is not None:
                found[key] = frames
            else:
                self._tell(ReadFailed(key, attempt, host))

    async def _put(self, parcel: Parcel, host: HostInfo, attempt: int) -> DataPlaced:
        nbytes = await self._data.put(host, parcel.key, parcel.frames, attempt=attempt)
        return DataPlaced(
            parcel.key, parcel.group, host.host, nbytes, parcel.type_name, parcel.wanted, attempt, parcel.origin
        )

    async def _choose_host(self, tried: set[HostId], among: Sequence[HostInfo] | None) -> HostInfo:
        deadline = time.monotonic() + HOST_PATIENCE
        while True:
            known = self._machine.hosts.values() if among is None else among
            hosts = [info for info in known if info.host not in tried]
            if hosts:
                near = [info for info in hosts if info.machine == self._identity] or hosts
                # Where the user named hosts, all of them take their turn, those of other machines too.
                chosen = near if among is None else hosts
                self._next += 1
                return chosen[self._next % len(chosen)]
            if self._machine.gone:
                raise ClosedError(self._machine.gone)
            if tried or among is not None or time.monotonic() > deadline:
                raise UnreachableError(
                    f"A value has to be stored on a host, and the cluster has none that can be reached "
                    f"({len(tried)} tried). Start workers, then try again."
                )
            await asyncio.sleep(0.02)

    def _nearest(self, holders: Sequence[HostId]) -> HostId:
        for host in holders:
            info = self._machine.hosts.get(host)
            if info is not None and info.machine == self._identity:
                return host
        return holders[0]
