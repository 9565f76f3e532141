"""A node in somebody else's hands: what it can do with the file for worker nodes, against a real cluster."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from himalia import Client, LocalCluster
from himalia.comm.connection import Greeting, open_authenticated
from himalia.comm.data.client import DataClient
from himalia.comm.endpoint import Endpoint
from himalia.comm.security import Credentials
from himalia.errors import ConnectError, HandshakeError
from himalia.messages.answers import Reply
from himalia.messages.client import ClientToScheduler, SchedulerToClient
from himalia.messages.nanny import NannyToScheduler, RegisterNanny, SchedulerToNanny
from himalia.messages.parts import HostInfo
from himalia.names import SCHEDULER, HostId, Key, PeerId
from himalia.registry import clusters
from himalia.registry.cluster_file import read_file, worker_path
from himalia.settings import DEFAULT
from tests.unit.test_bounds import example


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as started:
        yield started


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    with Client(cluster) as connected:
        yield connected


def stolen(cluster: LocalCluster) -> Credentials:
    """Return what a node has."""
    return read_file(worker_path(clusters.read(cluster.name).path)).credentials


class Heard:
    """A handler that remembers."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.left: list[str] = []

    def peer_joined(self, peer: PeerId, role: str) -> None:
        pass

    def peer_left(self, peer: PeerId, reason: str) -> None:
        self.left.append(reason)

    def messages_received(self, peer: PeerId, messages: list[Any]) -> None:
        self.got += messages


def attacker(credentials: Credentials, *, role: str = "nanny", me: str = "nanny-evil") -> tuple[Endpoint, Heard]:
    heard = Heard()
    answers = {"scheduler": SchedulerToClient if role == "client" else SchedulerToNanny}
    endpoint = Endpoint(
        me=PeerId(me), role=role, credentials=credentials, unions=answers, handler=heard, settings=DEFAULT
    )
    return endpoint, heard


def only_clients_say() -> list[type]:
    return [kind for kind in get_args(ClientToScheduler) if kind not in get_args(NannyToScheduler)]


@pytest.mark.parametrize("forge", [False, True])
def test_it_is_no_client(cluster: LocalCluster, forge: bool) -> None:
    async def main() -> None:
        keys = stolen(cluster)
        if forge:
            keys = dataclasses.replace(keys, keys={**keys.keys, "client": keys.key("nanny")})
        endpoint, _ = attacker(keys, role="client")
        with pytest.raises(HandshakeError):
            await endpoint.connect(cluster.addresses[0], alias=SCHEDULER, timeout=5.0)
        await endpoint.close()

    asyncio.run(main())


@pytest.mark.parametrize("kind", only_clients_say(), ids=lambda kind: kind.__name__)
def test_what_only_clients_say_ends_its_session_and_does_nothing(
    cluster: LocalCluster, client: Client, kind: type
) -> None:
    held = client.submit(os.getpid, pure=False)
    before = held.result()

    async def main() -> None:
        endpoint, heard = attacker(stolen(cluster))
        await endpoint.connect(cluster.addresses[0], alias=SCHEDULER, timeout=5.0)
        endpoint.send(SCHEDULER, example(kind))
        end = time.monotonic() + 5.0
        while not heard.left and time.monotonic() < end:
            await asyncio.sleep(0.01)
        assert heard.left and "sent something invalid" in heard.left[0]
        assert not [message for message in heard.got if isinstance(message, Reply)]
        await endpoint.close()

    asyncio.run(main())
    assert held.result() == before
    assert client.submit(sum, [1, 2], pure=False).result() == 3


def test_it_takes_over_neither_the_nanny_s_session_nor_the_client_s(cluster: LocalCluster, client: Client) -> None:
    held = client.submit(bytes, 1_000_000, pure=False)
    held.result()
    (host,) = hosts_of(client)

    async def main() -> None:
        for name in (host.host, client.id):
            endpoint, _ = attacker(stolen(cluster), me=name)
            with pytest.raises(HandshakeError, match="is the name of another process"):
                await endpoint.connect(cluster.addresses[0], alias=SCHEDULER, timeout=5.0)
            await endpoint.close()

    asyncio.run(main())
    assert held.result() == bytes(1_000_000)


def hosts_of(client: Client) -> list[HostInfo]:
    return list(client._engine.known_hosts.values())


def test_it_neither_maps_nor_places_data_at_another_nanny(cluster: LocalCluster, client: Client) -> None:
    (host,) = hosts_of(client)

    async def main() -> None:
        keys = stolen(cluster)
        own = keys.with_key("data-client", "nanny-evil", b"k" * 32).with_key("data-client", host.host, b"k" * 32)
        for credentials in (keys, own, dataclasses.replace(keys, keys={**keys.keys, "data-client": b"k" * 32})):
            reader = DataClient(credentials=credentials, me=PeerId("evil"), machine="", role="data-client", timeout=5.0)
            with pytest.raises(HandshakeError):
                await reader.put(host, Key("forged"), [b"x"])
            reader.close()
        nanny = DataClient(credentials=keys, me=PeerId("evil"), machine="", role="data-nanny", timeout=5.0)
        with pytest.raises(ConnectError, match="went away"):
            await nanny.put(host, Key("forged"), [b"x"])
        nanny.close()

    asyncio.run(main())


def test_a_reader_s_name_is_not_taken_while_it_reads(cluster: LocalCluster, client: Client) -> None:
    array = client.submit(bytes, 5_000_000, pure=False).result()
    (host,) = hosts_of(client)
    whole = cluster.credentials

    async def main() -> None:
        greeting = Greeting(
            role="data-client", incarnation=client.id, listener=host.host, name_secret=b"another process"
        )
        with pytest.raises(HandshakeError, match="is the name of another process"):
            await open_authenticated(
                host.address,
                greeting=greeting,
                credentials=whole,
                roles=("nanny",),
                protocol_factory=lambda peer: asyncio.Protocol(),
                timeout=5.0,
                fingerprint=host.fingerprint,
            )

    asyncio.run(main())
    assert array == bytes(5_000_000)


def test_a_nanny_is_not_the_scheduler_and_no_host_is_registered_under_another_s_name(
    cluster: LocalCluster, client: Client
) -> None:
    (host,) = hosts_of(client)

    async def main() -> None:
        endpoint, heard = attacker(stolen(cluster))
        await endpoint.connect(cluster.addresses[0], alias=SCHEDULER, timeout=5.0)
        endpoint.send(SCHEDULER, RegisterNanny(host, [], [], []))
        end = time.monotonic() + 5.0
        while not heard.left and time.monotonic() < end:
            await asyncio.sleep(0.01)
        assert heard.left
        await endpoint.close()

    asyncio.run(main())
    assert [known.host for known in hosts_of(client)] == [HostId(host.host)]
    assert client.submit(sum, [1, 2], pure=False).result() == 3
