from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from himalia import Client, as_completed, progress, wait
from himalia.client.engine.awaiting import awaiting
from himalia.errors import ClosedError, StoreFullError, TimeoutError, UsageError
from himalia.messages.answers import Reply
from himalia.scheduler.machine import TRANSITIONS
from himalia.testing.stages import fake_cluster
from himalia.testing.stages.fake_cluster import FakeCluster, snooze


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 15))


def test_everything_is_awaited(cluster: FakeCluster) -> None:
    async def main() -> None:
        async with Client(cluster, asynchronous=True) as client:
            future = client.submit(abs, -1)
            assert await future == 1
            assert await future.result() == 1
            assert await awaiting(client.gather([future, [future]])) == [1, [1]]
            assert await (await awaiting(client.scatter(5))) == 5
            assert await client.submit(len, bytes(100_000)) == 100_000
            assert list(await awaiting(client.nthreads())) == ["tcp://nanny-0:1/0"]
            assert (await wait(future)).done == {future}
            assert await future.exception() is None  # type: ignore[misc]
            await progress(future)
            await client.cancel(future)  # type: ignore[misc,func-returns-value]
            assert future.cancelled()
        assert client.status == "closed"

    run(main())


def test_errors_are_raised_where_they_are_awaited(cluster: FakeCluster) -> None:
    async def main() -> None:
        async with Client(cluster, asynchronous=True) as client:
            with pytest.raises(ZeroDivisionError):
                await client.submit(lambda: 1 / 0)
            with pytest.raises(TimeoutError):
                await client.submit(snooze, 5, 1).result(0.05)

    run(main())


def test_an_answer_that_takes_too_long_is_an_error(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRANSITIONS, Reply, lambda *reply: None)

    async def main() -> None:
        async with Client(cluster, asynchronous=True) as client:
            with pytest.raises(TimeoutError, match="no answer within"):
                await client.restart(timeout=0.05)  # type: ignore[misc,func-returns-value]

    run(main())


def test_completed_futures_can_be_iterated_over(cluster: FakeCluster) -> None:
    async def main() -> None:
        async with Client(cluster, asynchronous=True) as client:
            seen = [await future async for future in as_completed(client.map(abs, range(3)))]
            assert sorted(seen) == [0, 1, 2]
            pairs = [pair async for pair in as_completed(client.map(abs, range(3)), with_results=True)]
            assert sorted(result for _, result in pairs) == [0, 1, 2]
            with pytest.raises(TimeoutError):
                _ = [future async for future in as_completed([client.submit(snooze, 5)], timeout=0.05)]

    run(main())


def test_calls_wait_in_order_for_arguments_that_are_being_stored(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fake_cluster.FakeData.put
    both_submitted = asyncio.Event()

    async def slowly(*args: Any, **kwargs: Any) -> int:
        await both_submitted.wait()
        return await store(*args, **kwargs)

    monkeypatch.setattr(fake_cluster.FakeData, "put", slowly)

    async def main() -> None:
        async with Client(cluster, asynchronous=True) as client:
            first = client.submit(len, bytes(100_000))
            second = client.submit(lambda x: x + 1, first)
            both_submitted.set()
            assert await second == 100_001

    run(main())


def test_an_argument_that_cannot_be_stored_is_an_error_of_its_call(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*args: Any, **kwargs: Any) -> int:
        raise StoreFullError("no room for it", 1, 0)

    monkeypatch.setattr(fake_cluster.FakeData, "put", full)

    async def main() -> None:
        async with Client(cluster, asynchronous=True) as client:
            future = client.submit(len, bytes(100_000))
            with pytest.raises(Exception, match="no room for it"):
                await future
            assert await client.submit(abs, -1) == 1

    run(main())


def test_a_future_of_a_blocking_client_can_be_awaited_in_any_loop(client: Client) -> None:
    async def main() -> None:
        assert await client.submit(abs, -1) == 1
        assert len(await client.submit(bytes, 100_000)) == 100_000

    run(main())


def test_misuse_is_explained(cluster: FakeCluster, client: Client) -> None:
    lazy = Client(cluster, asynchronous=True)
    with pytest.raises(UsageError, match="async with"):
        with lazy:
            pass
    with pytest.raises(ClosedError, match="Await it first"):
        lazy.submit(abs, 1)

    async def main() -> None:
        with pytest.raises(UsageError, match="asynchronous=True"):
            await client

    run(main())


def test_whoever_awaits_a_client_that_is_being_opened_gets_an_open_one(cluster: FakeCluster) -> None:
    async def main() -> None:
        client = Client(cluster, asynchronous=True)

        async def use(number: int) -> tuple[str, int]:
            return (await client).status, await client.submit(abs, -number)

        assert list(await asyncio.gather(use(1), use(2), use(3))) == [("running", 1), ("running", 2), ("running", 3)]
        await client.close()  # type: ignore[misc,func-returns-value]

    run(main())


def test_whoever_awaits_a_client_that_can_not_be_opened_is_told(cluster: FakeCluster) -> None:
    async def main() -> None:
        cluster.addresses[:] = ["tcp://127.0.0.1:1"]
        client = Client(cluster, asynchronous=True, timeout=0.2)

        async def use() -> object:
            return await client

        first, second = await asyncio.gather(use(), use(), return_exceptions=True)
        assert isinstance(first, Exception)
        assert isinstance(second, ClosedError)

    run(main())
