from __future__ import annotations

import concurrent.futures

import pytest

from himalia import Client
from himalia.errors import UsageError
from himalia.testing.stages.fake_cluster import FakeCluster, snooze


def test_calls_run_on_the_cluster(client: Client) -> None:
    with client.get_executor() as executor:
        assert isinstance(executor, concurrent.futures.Executor)
        assert executor.submit(pow, 2, 3).result(5) == 8
        assert executor.submit(sorted, [1, 2], reverse=True).result(5) == [2, 1]
        assert list(executor.map(pow, [1, 2], [2, 2], chunksize=10)) == [1, 4]


def test_the_same_call_runs_each_time(client: Client, cluster: FakeCluster) -> None:
    with client.get_executor() as executor:
        assert [executor.submit(abs, -1).result(5) for _ in range(2)] == [1, 1]
    assert len(cluster.submitted()) == 2


def test_standard_functions_work_with_its_futures(client: Client) -> None:
    executor = client.get_executor()
    futures = [executor.submit(abs, -number) for number in range(5)]
    assert {future.result() for future in concurrent.futures.as_completed(futures, timeout=5)} == set(range(5))


def test_what_a_call_raised_is_raised(client: Client) -> None:
    future = client.get_executor().submit(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        future.result(5)


def test_cancelling_one_cancels_the_other(client: Client) -> None:
    future = client.get_executor().submit(snooze, 10)
    remote = future._remote
    assert future.cancel()
    assert remote is not None
    assert remote.cancelled()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()


def test_a_remote_cancellation_arrives(client: Client) -> None:
    future = client.get_executor().submit(snooze, 10)
    assert future._remote is not None
    future._remote.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(5)


def test_shut_down(client: Client) -> None:
    executor = client.get_executor()
    future = executor.submit(snooze, 10)
    executor.shutdown(cancel_futures=True)
    assert future.cancelled()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(abs, 1)
    assert client.submit(abs, -1).result(5) == 1


def test_map_has_a_timeout(client: Client) -> None:
    with client.get_executor() as executor:
        with pytest.raises(TimeoutError):
            list(executor.map(snooze, [5], timeout=0.05))


def test_an_asynchronous_client_has_no_executor() -> None:
    with pytest.raises(UsageError, match="asynchronous"):
        Client("tcp://127.0.0.1:1", asynchronous=True).get_executor()
