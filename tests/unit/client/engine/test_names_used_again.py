from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from himalia import Client, Future
from himalia.errors import CancelledError, DataLostError, UsageError
from himalia.messages.client import DataPlaced
from himalia.names import Key
from himalia.testing.stages.fake_cluster import FakeCluster, snooze

pytestmark = pytest.mark.filterwarnings("error:The key")


def same(x: Any) -> Any:
    return x


def twice(x: int) -> int:
    return 2 * x


SUBMISSIONS: dict[str, Callable[[Client, int], Any]] = {
    "submit": lambda client, x: client.submit(same, x, key="k"),
    "submit of something large": lambda client, x: client.submit(max, [x] * 50_000, key="k"),
    "map": lambda client, x: client.map(same, [x, 0], key=["k", "other"])[0],
    "scatter": lambda client, x: client.scatter({"k": x})["k"],
    "graph": lambda client, x: client.get({"k": (same, x)}, "k", sync=False),
}

NAMED = [name for name in SUBMISSIONS if name != "graph"]  # Dask makes its names of what they stand for


@pytest.mark.parametrize("first", SUBMISSIONS)
@pytest.mark.parametrize("second", SUBMISSIONS)
def test_a_key_that_was_let_go_of_a_moment_ago_is_free(client: Client, first: str, second: str) -> None:
    for turn in range(1, 4):
        future = SUBMISSIONS[first](client, turn)
        del future  # and nothing waits for that to be heard of
        future = SUBMISSIONS[second](client, turn + 10)
        assert future.result(5) == turn + 10
        future.release()
        assert SUBMISSIONS[first](client, turn + 20).result(5) == turn + 20


def test_a_future_of_a_name_that_was_let_go_of_knows_nothing(client: Client, cluster: FakeCluster) -> None:
    future = client.submit(same, 1, key="k")
    future.result(5)
    del future
    assert client.get_future("k").exception(5) is not None


def test_a_name_that_was_lost_is_submitted_again(
    client: Client, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("himalia.client.engine.gathering.RETRY_PAUSE", 0.001)
    (future,) = client.scatter({"k": bytes(100_000)}).values()
    cluster.lose.add(Key(future.key))
    with pytest.raises(DataLostError):
        future.result(5)
    assert client.submit(same, 5, key="k").result(5) == 5
    assert client.gather([future]) == [5]  # type: ignore[comparison-overlap]  # it is the same name


@pytest.mark.parametrize("again", NAMED)
def test_a_name_that_is_held_keeps_its_result_and_another_call_of_it_is_told_once(client: Client, again: str) -> None:
    held = client.submit(twice, 4, key="k")
    with pytest.warns(UserWarning, match=r"'k' is in use for the result of twice; .* was submitted under") as told:
        assert SUBMISSIONS[again](client, 5).result(5) == 8
    assert told[0].filename == __file__
    assert SUBMISSIONS[again](client, 6).result(5) == 8  # an error, if it warned again
    assert held.result(5) == 8


@pytest.mark.parametrize("where", [0, 1_000_000, 1_999_999])
def test_large_arguments_are_told_apart_too(client: Client, where: int) -> None:
    """By pieces of them: their beginning, their end, and what lies between."""
    one = bytearray(2_000_000)
    other = bytearray(one)
    other[max(0, where - 40_000) : where + 40_000] = b"x" * len(other[max(0, where - 40_000) : where + 40_000])
    held = client.submit(len, one, key="k")
    client.submit(len, bytearray(one), key="k")  # no warning: the same bytes
    with pytest.warns(UserWarning, match="len, with other arguments"):
        client.submit(len, other, key="k")
    assert held.result(5) == 2_000_000


def test_many_names_of_one_map_are_one_warning_with_a_count(client: Client) -> None:
    keys = [f"k{number}" for number in range(200)]
    held = client.map(twice, range(200), key=keys)
    with pytest.warns(UserWarning, match="So it is with 198 more of the keys") as told:
        client.map(twice, [0, *range(2, 201)], key=keys)
    assert len(told) == 1
    assert client.gather(held) == [2 * number for number in range(200)]


def test_the_same_call_of_a_name_is_nothing_to_warn_of(client: Client) -> None:
    held: list[Future[Any]] = [client.submit(twice, 4, key="k"), *client.map(twice, [4, 5], key=["k", "l"])]
    held += [client.submit(twice, 5, key="l"), *client.scatter({"data": [1, 2]}).values()]
    held += [*client.scatter({"data": [1, 2]}, broadcast=True).values(), client.submit(twice, 4)]
    assert client.gather(held) == [8, 8, 10, 10, [1, 2], [1, 2], 8]


def test_other_arguments_and_a_function_of_the_same_name_are_another_call(client: Client) -> None:
    held = client.submit(lambda: 1, key="k")
    with pytest.warns(UserWarning, match="lambda, with other arguments or in an earlier version; lambda was"):
        assert client.submit(lambda: 2, key="k").result(5) == 1
    assert held.result(5) == 1


def test_what_cannot_be_pickled_is_not_sent_so_it_may_have_any_name_that_is_held(client: Client) -> None:
    held = client.submit(same, 1, key="k")
    assert client.submit(same, (turn for turn in range(1)), key="k").result(5) == held.result(5)


def test_another_value_for_every_host_does_not_mix_with_the_one_that_is_held(
    client: Client, cluster: FakeCluster
) -> None:
    (held,) = client.scatter({"k": 1}).values()
    with pytest.warns(UserWarning, match="'k' is in use"):
        (future,) = client.scatter({"k": 2}, broadcast=True).values()
    assert future.result(5) == held.result(5) == 1
    assert len([message for message in cluster.seen if type(message) is DataPlaced]) == 1


def test_cancelling_a_future_again_does_not_cancel_what_has_its_name_now(client: Client) -> None:
    first = client.submit(snooze, 60, key="k")
    first.cancel()
    second = client.submit(same, 2, key="k")
    first.cancel()
    client.cancel([first, first])
    assert second.result(5) == 2
    with pytest.raises(CancelledError):
        first.result(5)


def test_a_cancelled_future_is_no_argument_once_its_name_stands_for_another_call(client: Client) -> None:
    first = client.submit(snooze, 60, key="k")
    first.cancel()
    second = client.submit(same, 2, key="k")
    with pytest.raises(UsageError, match="stands for another call since"):
        client.submit(same, first)
    assert client.submit(same, second).result(5) == 2


@pytest.mark.parametrize("again", NAMED)
def test_a_name_that_another_client_holds_is_told_of_too(
    client: Client, cluster: FakeCluster, caplog: pytest.LogCaptureFixture, again: str
) -> None:
    held = client.submit(twice, 4, key="k")
    assert held.result(5) == 8
    with Client(cluster, set_as_default=False) as other:
        result = SUBMISSIONS[again](other, 4).result(5)
        assert result == 8 or again == "scatter"  # it may not have heard yet that its value wasn't needed
    assert "'k' is in use for the result of twice; " in caplog.text


def test_a_name_that_pending_calls_still_need_is_told_of_too(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    needed = client.submit(same, 1, key="k")
    taker = client.submit(lambda x: snooze(60, x), needed)
    del needed
    assert client.submit(same, 2, key="k").result(5) == 1
    assert "'k' is in use for the result of same, with other arguments" in caplog.text
    taker.cancel()
