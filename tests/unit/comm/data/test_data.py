"""Results travel between a nanny and its peers: mapped, streamed, refused; real sockets, both loops."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from himalia import serialize
from himalia.comm.data.client import DataClient
from himalia.comm.data.server import DataServer
from himalia.comm.security import Credentials, make_certificate
from himalia.errors import ClosedError, ConnectError, HandshakeError, StoreFullError, UnreachableError
from himalia.messages.parts import HeldData, HostInfo
from himalia.names import HostId, Key, PeerId
from himalia.nanny.store.room import Room
from himalia.nanny.store.store import Store
from himalia.settings import MIB, Settings
from himalia.system import machine_identity
from tests.waiting import until

MACHINE = machine_identity()
SECRET = Credentials("cluster", b"s" * 32)
K = Key("k")


def wanted(keys: Iterable[Key]) -> list[tuple[Key, int]]:
    """Name results of whatever computed attempt."""
    return [(key, 0) for key in keys]


class DataStage:
    """A store and its data listener, in this process."""

    def __init__(self, directory: Path, limit: int) -> None:
        directory.mkdir(exist_ok=True)
        self.store = Store(directory=str(directory), limit=limit, settings=Settings())
        self.told: list[object] = []
        self.gone: list[PeerId] = []
        self.room = Room(self.store, time.monotonic, lambda waiting: True, self.look_soon)
        self.store.freed = self.room.look
        self.server = DataServer(
            self.store,
            room=self.room,
            credentials=SECRET,
            me=PeerId("nanny-1"),
            stored=lambda held, writer: self.told.append(held),
            gone=self.gone.append,
            damaged=lambda key, attempt: self.told.append((key, attempt)),
        )
        self.clients: list[DataClient] = []
        self.info = HostInfo(HostId(PeerId("nanny-1")), "", "here", 0, MACHINE, self.store.path, limit, str(directory))

    def look_soon(self) -> None:
        asyncio.get_running_loop().call_soon(lambda: self.room.look())

    async def listen(self, address: str) -> None:
        certificate = make_certificate() if address.startswith("tls") else None
        bound = await self.server.listen(address, certificate)
        pin = certificate.fingerprint if certificate is not None else ""
        i = self.info
        self.info = HostInfo(
            i.host, bound, i.hostname, i.pid, i.machine, i.arena, i.memory_limit, i.local_directory, pin
        )

    def client(self, *, maps: bool = True, role: str = "data-client", **options: Any) -> DataClient:
        me = PeerId(f"{role}-{len(self.clients)}")
        options = {"credentials": SECRET, "timeout": 5.0, **options}
        self.clients.append(DataClient(me=me, machine=MACHINE if maps else "", role=role, **options))
        return self.clients[-1]


@asynccontextmanager
async def nanny(directory: Path, limit: int = 64 * MIB, address: str = "") -> AsyncIterator[DataStage]:
    stage = DataStage(directory, limit)
    await stage.listen(address or f"unix://{directory}/data.sock")
    try:
        yield stage
        stage.store.validate()
    finally:
        for client in stage.clients:
            client.close()
        await until(lambda: not stage.server._connections)
        stage.server.close()
        stage.store.close()


async def begun(stage: DataStage, client: DataClient, request: asyncio.Future[Any]) -> None:
    """Return when the bytes of a request are under way, or it is over."""
    connections = stage.server._connections
    while not request.done() and not any(each._streaming or each._granted for each in connections.get(client.me, [])):
        await asyncio.sleep(0)


def count_looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which each look is added whether a reader that left still maps something."""
    looks: list[str] = []
    is_reading = Store.is_reading

    def look(self: Store, reader: str) -> bool:
        looks.append(reader)
        return is_reading(self, reader)

    monkeypatch.setattr(Store, "is_reading", look)
    return looks


Run = Callable[[Awaitable[Any]], Any]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    if request.param == "asyncio":
        return asyncio.run  # type: ignore[return-value]
    return pytest.importorskip("uvloop").run  # type: ignore[no-any-return]


@pytest.fixture
def place(tmp_path: Path, own_place: Path) -> Path:
    path = own_place / tmp_path.name[-12:] / str(len(tmp_path.name))  # short: the path of a socket
    path.mkdir(parents=True, exist_ok=True)
    return path


def random_array(nbytes: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(nbytes).random(nbytes // 8)


ADDRESSES = ["unix", "tcp://127.0.0.1:0", "tls://127.0.0.1:0"]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("maps", [True, False], ids=["mapped", "streamed"])
def test_values_of_any_size_come_back_equal_and_writable(run: Run, place: Path, address: str, maps: bool) -> None:
    async def main() -> None:
        async with nanny(place, address=address.replace("unix", f"unix://{place}/s")) as stage:
            client = stage.client(maps=maps)
            values = {Key(f"k{size}"): random_array(size) for size in (0, 8, 40_000, 300_000, 5_000_000, 20_000_000)}
            for key, value in values.items():
                sent = serialize.dumps(value)
                assert await client.put(stage.info, key, sent, attempt=3) == serialize.nbytes(sent)
                assert stage.store.get(key) == HeldData(key, 3, serialize.nbytes(sent))

            found = await client.get(stage.info, wanted([*values, Key("nowhere")]))

            assert found.pop(Key("nowhere")) is None
            assert list(found) == list(values)
            for key, frames in found.items():
                assert frames is not None
                array = serialize.loads(frames)
                np.testing.assert_array_equal(array, values[key])
                array[:] = 0
            assert stage.told == [stage.store.get(key) for key in values]

    run(main())


def test_many_requests_at_once_are_answered_each_with_its_own(run: Run, place: Path) -> None:
    async def main() -> None:
        async with nanny(place) as stage:
            for index in range(50):
                stage.store.put_inline(Key(f"k{index}"), 1, serialize.dumps_packed(index))
            mapping, streaming = stage.client(), stage.client(maps=False)
            big = random_array(MIB)
            await mapping.put(stage.info, K, serialize.dumps(big))

            async def ask(client: DataClient, index: int) -> None:
                key = Key(f"k{index}")
                found = await client.get(stage.info, wanted([K, key] if index % 2 else [key]))
                assert serialize.loads(found[key] or []) == index
                if index % 2:
                    np.testing.assert_array_equal(serialize.loads(found[K] or []), big)

            await asyncio.gather(*(ask(client, index) for index in range(50) for client in (mapping, streaming)))

    run(main())


def test_a_store_full_of_keys_is_read_in_one_request(run: Run, place: Path) -> None:
    async def main() -> None:
        async with nanny(place) as stage:
            keys = [Key(f"k{index}") for index in range(25_000)]
            for index, key in enumerate(keys):
                stage.store.put_inline(key, 1, serialize.dumps_packed(index))

            found = await stage.client().get(stage.info, wanted(keys))

            assert [serialize.loads(frames or []) for frames in found.values()] == list(range(25_000))

    run(main())


def test_a_nanny_fetches_straight_into_its_store(run: Run, place: Path) -> None:
    async def main() -> None:
        async with nanny(place / "a") as stage, nanny(place / "b") as other:
            big = serialize.dumps([random_array(MIB), "x", random_array(3 * MIB)])
            await stage.client().put(stage.info, K, big, attempt=4)
            stage.store.put_inline(Key("small"), 2, b"\x80small")

            client = other.client(role="data-nanny")
            found = await client.fetch(stage.info, wanted([K, Key("small"), Key("nowhere")]), other.store, other.room)

            assert found == {
                K: HeldData(K, 4, serialize.nbytes(big)),
                Key("small"): HeldData(Key("small"), 2, 6),
                Key("nowhere"): None,
            }
            assert [bytes(view) for view in other.store.views(K)] == [bytes(frame) for frame in big]
            assert other.store.granted == 0

    run(main())


def test_what_does_not_fit_is_said_for_its_key_alone(run: Run, place: Path) -> None:
    async def main() -> None:
        async with nanny(place / "a") as stage, nanny(place / "b", 2 * MIB) as other:
            await stage.client().put(stage.info, K, serialize.dumps(random_array(4 * MIB)))
            await stage.client().put(stage.info, Key("fits"), serialize.dumps(random_array(MIB)))

            found = await other.client(role="data-nanny").fetch(
                stage.info, wanted([K, Key("fits")]), other.store, other.room
            )

            assert isinstance(found[K], StoreFullError)
            assert isinstance(found[Key("fits")], HeldData)

    run(main())


@pytest.mark.parametrize("maps", [True, False])
def test_a_value_that_does_not_fit_is_refused_with_numbers_and_the_connection_goes_on(
    run: Run, place: Path, maps: bool
) -> None:
    async def main() -> None:
        async with nanny(place, 2 * MIB) as stage:
            client = stage.client(maps=maps)

            with pytest.raises(StoreFullError, match="no room for 4,19"):
                await client.put(stage.info, K, serialize.dumps(random_array(4 * MIB)))

            await client.put(stage.info, K, serialize.dumps(random_array(MIB)))
            assert stage.store.get(K) is not None
            assert stage.store.granted == 0

    run(main())


def test_a_range_is_reused_only_after_its_client_reported_the_mapping_gone(run: Run, place: Path) -> None:
    async def main() -> None:
        async with nanny(place) as stage:
            client = stage.client()
            await client.put(stage.info, K, serialize.dumps(random_array(MIB)))
            found = serialize.loads((await client.get(stage.info, wanted([K])))[K] or [])
            stage.store.free(K, 0)
            assert await client.get(stage.info, wanted([K])) == {K: None}  # all that it would have said was heard
            assert stage.store.nbytes > MIB

            del found

            await until(lambda: stage.store.nbytes == 0)

    run(main())


def test_arrays_outlive_their_client_unchanged_and_their_range_is_kept_until_they_are_gone(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("himalia.comm.data.server.PRESENCE_INTERVAL", 0.02)
    looks = count_looks(monkeypatch)

    async def main() -> None:
        async with nanny(place) as stage:
            client = stage.client()
            value = random_array(MIB)
            await client.put(stage.info, K, serialize.dumps(value))
            found = serialize.loads((await client.get(stage.info, wanted([K])))[K] or [])
            stage.store.free(K, 0)
            client.close()
            await until(lambda: len(looks) >= 3)

            for index in range(100):
                stage.store.grant(f"worker-{index}", MIB)
                stage.store.release_owner(f"worker-{index}")
            np.testing.assert_array_equal(found, value)
            assert stage.store.nbytes > MIB

            del found
            gc.collect()
            await until(lambda: stage.store.nbytes == 0)

    run(main())


def test_a_client_that_comes_back_still_counts_for_what_it_mapped(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("himalia.comm.data.server.PRESENCE_INTERVAL", 0.02)
    looks = count_looks(monkeypatch)

    async def main() -> None:
        async with nanny(place) as stage:
            client = stage.client()
            await client.put(stage.info, K, serialize.dumps(random_array(MIB)))
            found = await client.get(stage.info, wanted([K]))
            for connection in [*stage.server._connections[client.me]]:
                connection._abort()
            await until(lambda: not stage.server._connections)
            stage.store.free(K, 0)
            assert await client.get(stage.info, wanted([K])) == {K: None}

            seen = len(looks)
            assert await client.get(stage.info, wanted([K])) == {K: None}
            assert len(looks) == seen, "it is here again"
            assert stage.store.nbytes > MIB
            del found
            await until(lambda: stage.store.nbytes == 0)

    run(main())


def test_a_host_that_is_gone_is_unreachable_at_once(run: Run, place: Path) -> None:
    async def main() -> None:
        async with nanny(place) as stage:
            client = stage.client()
            stage.server.close()

            start = time.monotonic()
            with pytest.raises(UnreachableError):
                await client.get(stage.info, wanted([K]))
            assert time.monotonic() - start < 2

    run(main())


@pytest.mark.parametrize("what", ["get", "fetch", "put"])
def test_a_host_that_goes_away_in_the_middle_leaves_nothing_half_done(run: Run, place: Path, what: str) -> None:
    async def main() -> None:
        async with nanny(place / "a", 512 * MIB) as stage, nanny(place / "b", 512 * MIB) as other:
            await stage.client().put(stage.info, K, serialize.dumps(random_array(100 * MIB)))
            stage.store.put_inline(Key("small"), 1, b"\x80")
            client = other.client(maps=False)
            request: Awaitable[object]
            if what == "get":
                request = client.get(stage.info, wanted([Key("small"), K]))
            elif what == "fetch":
                request = client.fetch(stage.info, wanted([Key("small"), K]), other.store, other.room)
            else:
                request = client.put(stage.info, Key("new"), serialize.dumps(random_array(100 * MIB)))
            task = asyncio.ensure_future(request)
            await begun(stage, client, task)
            for connection in [*stage.server._connections[client.me]]:
                connection._abort()

            if what == "get":  # reading takes nothing: it is tried once more
                assert set(await task) == {Key("small"), K}  # type: ignore[call-overload]
            else:
                with pytest.raises(UnreachableError, match=r"the host here .* went away"):
                    await task
            await until(lambda: not stage.store.granted)
            assert (other.store.nbytes, other.store.granted, len(other.store)) == (0, 0, 0)
            assert stage.store.get(Key("new")) is None
            assert stage.store.free(K, 0)
            await until(lambda: stage.store.nbytes == 1)

            assert await client.get(stage.info, wanted([K])) == {K: None}

    run(main())


@pytest.mark.skipif(not hasattr(fcntl, "F_OFD_SETLK"), reason="needs locks of file descriptions, which Linux has")
def test_a_range_is_not_reused_while_a_client_that_was_cut_off_still_writes_to_it(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("himalia.comm.data.server.PRESENCE_INTERVAL", 0.02)
    looks = count_looks(monkeypatch)
    begun, go_on = threading.Event(), threading.Event()
    pwrite = os.pwrite

    def slow_pwrite(file: int, data: bytes, offset: int) -> int:
        begun.set()
        assert go_on.wait(10)
        return pwrite(file, data[: 1 << 20], offset)

    async def main() -> None:
        async with nanny(place) as stage:
            client = stage.client()
            free = stage.store.room
            putting = asyncio.ensure_future(client.put(stage.info, K, [bytes(8 * MIB)]))
            await until(begun.is_set)
            client.close()
            await until(lambda: len(looks) >= 3)
            assert stage.store.room <= free - 8 * MIB

            go_on.set()
            with pytest.raises(ClosedError):
                await putting
            await until(lambda: stage.store.room == free)

    monkeypatch.setattr("himalia.comm.data.mapping.os.pwrite", slow_pwrite)
    run(main())


@pytest.mark.parametrize("what", ["get", "fetch", "put"])
def test_a_cancelled_request_leaves_nothing_behind_and_the_connection_goes_on(run: Run, place: Path, what: str) -> None:
    async def main() -> None:
        async with nanny(place / "a", 256 * MIB) as stage, nanny(place / "b", 256 * MIB) as other:
            await stage.client().put(stage.info, K, serialize.dumps(random_array(20 * MIB)))
            client = other.client(maps=what == "put")
            await client.get(stage.info, wanted([Key("nowhere")]))
            request: Awaitable[object]
            if what == "get":
                request = client.get(stage.info, wanted([K]))
            elif what == "fetch":
                request = client.fetch(stage.info, wanted([K]), other.store, other.room)
            else:
                request = client.put(stage.info, Key("new"), serialize.dumps(random_array(20 * MIB)))
            task = asyncio.ensure_future(request)
            await begun(stage, client, task)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

            found = await client.get(stage.info, wanted([K]))
            assert found[K] is not None
            await until(lambda: not stage.store.granted)
            assert (other.store.nbytes, other.store.granted) == (0, 0)
            if what == "put":  # on its way already: kept, and told of
                await until(lambda: stage.store.get(Key("new")))

    run(main())


def test_another_nanny_at_the_same_address_is_not_taken_for_the_one_that_is_gone(run: Run, place: Path) -> None:
    async def main() -> None:
        async with nanny(place) as stage:
            i = stage.info
            gone = HostInfo(HostId(PeerId("nanny-0")), i.address, i.hostname, 0, i.machine, i.arena, 0, "")

            with pytest.raises(UnreachableError, match="another nanny"):
                await stage.client().get(gone, wanted([K]))

    run(main())


def test_only_data_roles_with_the_secret_are_let_in(run: Run, place: Path) -> None:
    async def main() -> None:
        async with nanny(place, address="tcp://127.0.0.1:0") as stage:
            stage.store.put_inline(K, 1, b"\x80")

            with pytest.raises(HandshakeError, match="secret"):
                await stage.client(credentials=Credentials("cluster", b"t" * 32)).get(stage.info, wanted([K]))
            with pytest.raises(HandshakeError):
                await stage.client(role="client").get(stage.info, wanted([K]))

    run(main())


@pytest.mark.parametrize("maps", [True, False])
def test_a_result_damaged_on_disk_is_not_found_and_the_nanny_is_told(run: Run, place: Path, maps: bool) -> None:
    async def main() -> None:
        async with nanny(place) as stage:
            client = stage.client(maps=maps)
            await client.put(stage.info, K, serialize.dumps(random_array(MIB)), attempt=7)
            stage.store._overflow.spill(10 * MIB, 10 * MIB)
            stage.told.clear()
            held = stage.store._held[K]
            assert held.disk is not None
            held.disk.crc ^= 1

            assert await client.get(stage.info, wanted([K])) == {K: None}
            assert stage.told == [(K, 7)]

    run(main())


def test_results_on_disk_are_read_back_for_whoever_asks(run: Run, place: Path) -> None:
    async def main() -> None:
        async with nanny(place, 8 * MIB) as stage:
            values = {Key(f"k{index}"): random_array(MIB) + index for index in range(20)}
            client = stage.client(maps=False)
            for key, value in values.items():
                await client.put(stage.info, key, serialize.dumps(value))
            assert stage.store.spilled > 10 * MIB

            found = await client.get(stage.info, wanted(values))

            for key, value in values.items():
                np.testing.assert_array_equal(serialize.loads(found[key] or []), value)

    run(main())


@pytest.mark.parametrize("maps", [True, False])
def test_what_is_on_disk_is_read_while_nothing_in_memory_can_move(run: Run, place: Path, maps: bool) -> None:
    async def main() -> None:
        async with nanny(place, 4 * MIB) as stage:
            client = stage.client(maps=maps)
            value = [random_array(2 * MIB), "x", random_array(MIB + 4096 * 8), b"", np.arange(7)]
            await client.put(stage.info, K, serialize.dumps(value))
            stage.store._overflow.spill(10 * MIB, 10 * MIB)
            stage.store.grant("worker", 3 * MIB)

            found = serialize.loads((await client.get(stage.info, wanted([K])))[K] or [])

            np.testing.assert_equal(found, value)
            assert stage.store.spilled > 3 * MIB
            assert stage.store.granted == 3 * MIB

    run(main())


@pytest.mark.parametrize("maps", [True, False])
def test_a_client_that_holds_more_than_its_share_gets_copies(run: Run, place: Path, maps: bool) -> None:
    async def main() -> None:
        async with nanny(place, 16 * MIB) as stage:
            client = stage.client(maps=maps)
            values = {Key(f"k{index}"): random_array(MIB + 8 * index) for index in range(48)}
            for key, value in values.items():
                await client.put(stage.info, key, serialize.dumps(value))

            held = {}
            for key in values:  # three times what the store may hold in memory
                held[key] = serialize.loads((await client.get(stage.info, wanted([key])))[key] or [])
            at_once = await client.get(stage.info, wanted(list(values)))

            for key, value in values.items():
                np.testing.assert_array_equal(held[key], value)
                np.testing.assert_array_equal(serialize.loads(at_once[key] or []), value)
            assert sum(stage.store.mapped.values()) <= 4 * MIB
            at_once.clear()
            held.clear()
            await until(lambda: not stage.store.mapped)

    run(main())


def test_two_clients_share_what_may_be_mapped(run: Run, place: Path) -> None:
    async def main() -> None:
        async with nanny(place, 16 * MIB) as stage:
            first, second = stage.client(), stage.client()
            await first.put(stage.info, K, serialize.dumps(random_array(3 * MIB)))
            await first.put(stage.info, Key("other"), serialize.dumps(random_array(2 * MIB)))

            held = [
                await client.get(stage.info, wanted([key])) for key in (K, Key("other")) for client in (first, second)
            ]

            assert list(stage.store.mapped) == [first.me]
            np.testing.assert_array_equal(serialize.loads(held[3][Key("other")] or []), random_array(2 * MIB))
            again = await first.get(stage.info, wanted([K]))  # of what it maps anyway
            np.testing.assert_array_equal(serialize.loads(again[K] or []), random_array(3 * MIB))
            assert stage.store._ledger._readers[first.me] == {0: 2}

    run(main())


def test_what_is_damaged_on_disk_is_missing_and_the_rest_of_the_request_comes(run: Run, place: Path) -> None:
    async def main() -> None:
        async with nanny(place, 64 * MIB) as stage:
            client = stage.client()
            values = {Key(f"k{index}"): random_array(3 * MIB + 8 * index) for index in range(4)}
            for key, value in values.items():
                await client.put(stage.info, key, serialize.dumps(value), attempt=7)
            stage.store._overflow.spill(64 * MIB, 64 * MIB)
            bad = stage.store._held[Key("k1")].disk
            assert bad is not None
            os.pwrite(stage.store._overflow._disk._file, b"???", bad.offset + bad.nbytes // 2)
            stage.told.clear()

            found = await client.get(stage.info, wanted(list(values)))

            assert found.pop(Key("k1")) is None
            for key, frames in found.items():
                np.testing.assert_array_equal(serialize.loads(frames or []), values[key])
            assert stage.told == [(Key("k1"), 7)]

    run(main())


def test_what_is_freed_while_it_is_read_from_disk_keeps_its_place_until_then(run: Run, place: Path) -> None:
    async def main() -> None:
        async with nanny(place, 256 * MIB) as stage:
            client = stage.client()
            value = random_array(64 * MIB)
            await client.put(stage.info, K, serialize.dumps(value))
            stage.store._overflow.spill(256 * MIB, 256 * MIB)
            task = asyncio.ensure_future(client.get(stage.info, wanted([K])))
            await begun(stage, client, task)

            stage.store.free(K, 0)
            await client.put(stage.info, Key("other"), serialize.dumps(random_array(64 * MIB)))
            stage.store._overflow.spill(256 * MIB, 256 * MIB)

            np.testing.assert_array_equal(serialize.loads((await task)[K] or []), value)
            assert len(stage.store._overflow._disk._free.ranges()) >= 1

    run(main())


@pytest.mark.parametrize(("maps", "address"), [(True, ""), (False, ""), (False, "tls://127.0.0.1:0")])
def test_a_value_waits_for_room_and_others_of_its_connection_with_it(
    run: Run, place: Path, maps: bool, address: str
) -> None:
    async def main() -> None:
        async with nanny(place, 16 * MIB, address) as stage:
            client = stage.client(maps=maps)
            stage.store.grant("worker", 14 * MIB)
            values = {Key(f"k{index}"): random_array((3 + index) * MIB) for index in range(4)}

            puts = [
                asyncio.ensure_future(client.put(stage.info, key, serialize.dumps(value)))
                for key, value in values.items()
            ]
            await until(lambda: len(stage.room) == 1)
            assert not any(put.done() for put in puts)

            stage.store.release_owner("worker")
            await asyncio.wait_for(asyncio.gather(*puts), 10)

            for key, value in values.items():
                found = serialize.loads((await client.get(stage.info, wanted([key])))[key] or [])
                np.testing.assert_array_equal(found, value)

    run(main())


def test_a_fetch_waits_for_room_in_the_store_that_asks(run: Run, place: Path) -> None:
    async def main() -> None:
        async with nanny(place / "a") as stage, nanny(place / "b", 16 * MIB) as other:
            values = {Key(f"k{index}"): random_array((4 + index) * MIB) for index in range(3)}
            for key, value in values.items():
                await stage.client().put(stage.info, key, serialize.dumps(value))
            other.store.grant("worker", 14 * MIB)
            client = other.client(role="data-nanny")

            task = asyncio.ensure_future(client.fetch(stage.info, wanted(list(values)), other.store, other.room))
            await until(lambda: other.room.others)
            assert not task.done()
            assert [request.what in values for request in other.room.others] == [True]

            other.store.release_owner("worker")
            found = await asyncio.wait_for(task, 10)

            assert all(isinstance(held, HeldData) for held in found.values())
            for key, value in values.items():
                np.testing.assert_array_equal(serialize.loads(other.store.views(key)), value)

    run(main())


@pytest.mark.parametrize("what", ["put", "fetch"])
def test_who_goes_away_while_it_waits_for_room_waits_no_more(run: Run, place: Path, what: str) -> None:
    async def main() -> None:
        async with nanny(place / "a", 64 * MIB) as stage, nanny(place / "b", 16 * MIB) as other:
            other.store.grant("worker", 14 * MIB)
            if what == "put":
                client = other.client()
                task = asyncio.ensure_future(client.put(other.info, K, serialize.dumps(random_array(4 * MIB))))
            else:
                await stage.client().put(stage.info, K, serialize.dumps(random_array(4 * MIB)))
                client = other.client(role="data-nanny")
                fetch = client.fetch(stage.info, wanted([K]), other.store, other.room)
                task = asyncio.ensure_future(fetch)  # type: ignore[arg-type]
            await until(lambda: len(other.room))

            client.close()

            with pytest.raises(UnreachableError):
                await task
            await until(lambda: not len(other.room))
            other.store.release_owner("worker")
            assert other.store.granted == 0

    run(main())


def test_garbage_from_a_peer_ends_its_connection_and_no_other(run: Run, place: Path) -> None:
    async def main() -> None:
        async with nanny(place) as stage:
            good, bad = stage.client(), stage.client()
            stage.store.put_inline(K, 1, b"\x80")
            for client in (good, bad):
                await client.get(stage.info, wanted([K]))
            link = bad._hosts[stage.info.host]._link
            assert link is not None
            assert link._transport is not None
            link._transport.write(b"\0\0\0\1garbage")
            await until(lambda: bad.me not in stage.server._connections)

            for client in (good, bad):
                found = await client.get(stage.info, wanted([K]))
                assert [bytes(frame) for frame in found[K] or []] == [b"\x80"]

    run(main())


def test_the_loop_stays_free_while_a_large_value_travels(run: Run, place: Path) -> None:
    async def main() -> None:
        async with nanny(place, 512 * MIB) as stage:
            client = stage.client(maps=False)
            frames = serialize.dumps(random_array(64 * MIB))
            turns = 0

            async def count() -> None:
                nonlocal turns
                while True:
                    await asyncio.sleep(0)
                    turns += 1

            counting = asyncio.ensure_future(count())
            await client.put(stage.info, K, frames)
            await client.get(stage.info, wanted([K]))
            counting.cancel()
            assert turns >= 16  # each way 64 MiB, of which a socket holds 8 at most

    run(main())


def test_a_closed_client_says_so(run: Run, place: Path) -> None:
    async def main() -> None:
        async with nanny(place) as stage:
            client = stage.client()
            client.close()
            client.close()

            with pytest.raises(ClosedError):
                await client.get(stage.info, wanted([K]))

    run(main())


def test_a_machine_whose_arena_can_not_be_opened_gets_bytes(run: Run, place: Path) -> None:
    async def main() -> None:
        async with nanny(place) as stage:
            i = stage.info
            stage.info = HostInfo(i.host, i.address, i.hostname, 0, i.machine, "/proc/0/fd/0", 0, "")
            client = stage.client()
            value = random_array(MIB)

            await client.put(stage.info, K, serialize.dumps(value))
            found = await client.get(stage.info, wanted([K]))

            np.testing.assert_array_equal(serialize.loads(found[K] or []), value)

    run(main())


def test_errors_of_the_data_plane_are_connect_errors() -> None:
    assert issubclass(UnreachableError, ConnectError)
    assert issubclass(HandshakeError, ConnectError)
