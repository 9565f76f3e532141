from __future__ import annotations

import threading
import time

import pytest

from himalia import Client, as_completed, fire_and_forget, wait
from himalia.errors import CancelledError, TimeoutError, UsageError
from himalia.testing.stages.fake_cluster import FakeCluster, snooze
from tests.waiting import wait_until


def fail() -> None:
    raise ValueError("no")


def test_futures_come_as_they_settle(client: Client) -> None:
    slow, fast = client.submit(snooze, 0.2, "slow"), client.submit(snooze, 0, "fast")
    assert list(as_completed([slow, fast])) == [fast, slow]


def test_with_results(client: Client) -> None:
    futures = client.map(snooze, [0, 0.1], ["a", "b"])
    assert [result for _, result in as_completed(futures, with_results=True)] == ["a", "b"]


def test_errors_are_raised_or_stand_for_the_result(client: Client) -> None:
    future = client.submit(fail)
    with pytest.raises(ValueError, match="no"):
        list(as_completed([future], with_results=True))
    ((_, error),) = as_completed([future], with_results=True, raise_errors=False)
    assert type(error) is ValueError
    assert list(as_completed([future])) == [future]


def test_a_future_given_twice_comes_twice(client: Client) -> None:
    future = client.submit(snooze, 0.05, 1)
    assert list(as_completed([future, future])) == [future, future]


def test_more_futures_may_be_added_meanwhile(client: Client) -> None:
    completed = as_completed([client.submit(snooze, 0, 3)], with_results=True)
    seen = []
    for _, number in completed:
        seen.append(number)
        if number:
            completed.add(client.submit(snooze, 0, number - 1))
    assert seen == [3, 2, 1, 0]


def test_batches(client: Client) -> None:
    completed = as_completed(client.map(snooze, [0] * 20, range(20)), with_results=True)
    batches = list(completed.batches())
    assert sorted(number for batch in batches for _, number in batch) == list(range(20))
    assert completed.is_empty()


def test_counting(client: Client) -> None:
    future = client.submit(snooze, 0.1, 1)
    completed = as_completed([future])
    assert (completed.count(), completed.has_ready(), completed.next_batch(block=False)) == (1, False, [])
    wait(future)
    assert completed.has_ready()
    assert completed.next() is future
    assert completed.count() == 0
    assert completed.next_batch() == []
    with pytest.raises(StopIteration):
        completed.next()


def test_the_whole_iteration_may_have_a_timeout(client: Client) -> None:
    with pytest.raises(TimeoutError):
        list(as_completed([client.submit(snooze, 5, 1)], timeout=0.05))


def test_only_futures_can_be_completed() -> None:
    with pytest.raises(TypeError, match="takes futures"):
        as_completed([3])  # type: ignore[list-item]


def test_cleared(client: Client) -> None:
    completed = as_completed(client.map(snooze, [0.05, 0], [1, 2]))
    completed.clear()
    assert list(completed) == []


def test_waiting_for_all(client: Client) -> None:
    futures = client.map(snooze, [0, 0.1], [1, 2])
    done, not_done = wait(futures, timeout=5)
    assert done == set(futures)
    assert not not_done


def test_what_is_shown_of_many_is_their_number(client: Client) -> None:
    waited = wait(client.map(snooze, [0] * 1200, range(1200)), timeout=20)
    assert repr(waited) == "DoneAndNotDoneFutures(done={1,200 futures}, not_done=set())"


def test_waiting_for_the_first(client: Client) -> None:
    slow, fast = client.submit(snooze, 5, 1), client.submit(snooze, 0, 2)
    done, not_done = wait([slow, fast], return_when="FIRST_COMPLETED")
    assert (done, not_done) == ({fast}, {slow})


def test_waiting_for_the_first_error(client: Client) -> None:
    slow, fast, bad = client.submit(snooze, 5, 1), client.submit(snooze, 0, 2), client.submit(fail)
    done, not_done = wait([slow, fast, bad], return_when="FIRST_EXCEPTION")
    assert bad in done
    assert not_done >= {slow}


def test_what_failed_before_is_waited_for_no_more(client: Client) -> None:
    slow, bad = client.submit(snooze, 20, 1), client.submit(fail)
    assert bad.exception() is not None
    started = time.monotonic()
    with pytest.raises(ValueError, match="no"):
        client.gather([slow, bad])
    wait([slow, bad], return_when="FIRST_EXCEPTION")
    assert time.monotonic() - started < 10


def test_waiting_too_long(client: Client) -> None:
    with pytest.raises(TimeoutError):
        wait(client.submit(snooze, 5, 1), timeout="20ms")


def test_waiting_for_what_was_cancelled(client: Client) -> None:
    future = client.submit(snooze, 5, 1)
    future.cancel()
    with pytest.raises(CancelledError):
        wait([future])


def test_waiting_for_nothing_and_wrongly() -> None:
    assert wait([]) == (set(), set())
    with pytest.raises(UsageError, match="return_when"):
        wait([], return_when="SOMETIMES")  # type: ignore[arg-type]


def test_a_call_that_is_forgotten_runs_to_its_end(client: Client, cluster: FakeCluster) -> None:
    ran = threading.Event()
    EVENTS.append(ran)
    fire_and_forget(client.submit(set_last_event))
    assert client._engine.kept
    FORGOTTEN.set()
    assert ran.wait(5)
    wait_until(lambda: not client._engine.kept)


EVENTS: list[threading.Event] = []
FORGOTTEN = threading.Event()


def set_last_event() -> None:
    assert FORGOTTEN.wait(5)
    EVENTS[-1].set()
