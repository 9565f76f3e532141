"""Calls on a real cluster, as a notebook makes them: arguments, results, errors, waiting, cancelling."""

from __future__ import annotations

import operator
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError as StandardCancelledError
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd
import pytest

import himalia
from himalia import Client, LocalCluster, as_completed, fire_and_forget, wait
from himalia.client.engine.awaiting import awaiting
from himalia.errors import CancelledError, KilledWorkerError, TimeoutError, UsageError
from tests.waiting import hold, wait_until


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster:
        cluster.wait_for_workers(2, timeout=30)
        yield cluster


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    with Client(cluster) as client:
        yield client


def inc(x: int) -> int:
    return x + 1


def add(x: Any, y: Any) -> Any:
    return x + y


def divide(x: float, y: float) -> float:
    return x / y


def later(x: int, seconds: float) -> int:
    time.sleep(seconds)
    return x


class Thing:
    def __init__(self, value: int) -> None:
        self.value = value

    def times(self, factor: int) -> int:
        return self.value * factor


# Arguments and results


def test_functions_of_every_kind(client: Client) -> None:
    captured = 10
    assert client.submit(inc, 1).result(timeout=20) == 2
    assert client.submit(lambda x: x + captured, 1).result(timeout=20) == 11
    assert client.submit(Thing(3).times, 4).result(timeout=20) == 12
    assert client.submit(Thing, 5).result(timeout=20).value == 5
    assert client.submit(sorted, [3, 1, 2], reverse=True).result(timeout=20) == [3, 2, 1]


def test_futures_are_replaced_wherever_they_are_in_the_arguments(client: Client) -> None:
    one, two = client.submit(inc, 0), client.submit(inc, 1)

    def total(items: list[int], named: dict[str, int], pair: tuple[int, int], *, last: int) -> int:
        return sum(items) + sum(named.values()) + sum(pair) + last

    future = client.submit(total, [one, two], {"a": two}, (one, one), last=two)
    assert future.result(timeout=20) == 3 + 2 + 2 + 2


def test_map_and_gather(client: Client) -> None:
    assert client.gather(client.map(inc, range(1000))) == list(range(1, 1001))
    assert client.gather(client.map(add, [1, 2, 3], [10, 20, 30])) == [11, 22, 33]
    nested = client.gather({"a": client.submit(inc, 1), "b": [client.submit(inc, 2), 7]})
    assert nested == {"a": 2, "b": [3, 7]}


def test_map_in_batches(client: Client) -> None:
    futures = client.map(inc, range(1000), batch_size=100)
    assert client.gather(futures) == list(range(1, 1001))


def test_numpy_and_pandas_travel_both_ways(client: Client) -> None:
    array = np.arange(1_000_000, dtype="f8")
    doubled = client.submit(operator.mul, array, 2).result(timeout=20)
    np.testing.assert_array_equal(doubled, array * 2)
    doubled[0] = 5  # results are writable, and nobody else's
    frame = pd.DataFrame({"x": range(1000), "name": [f"row {i}" for i in range(1000)]})
    pd.testing.assert_frame_equal(client.submit(pd.DataFrame.head, frame, 10).result(timeout=20), frame.head(10))


def test_large_results_are_shared_and_nobody_can_change_anothers(client: Client) -> None:
    zeros = client.submit(np.zeros, 5_000_000)

    def spoil(array: Any) -> float:
        array += 1
        return float(array.sum())

    spoiled = [client.submit(spoil, zeros, pure=False) for _ in range(4)]
    assert client.gather(spoiled) == [5_000_000.0] * 4
    assert zeros.result(timeout=20).sum() == 0


def test_scatter(client: Client) -> None:
    data = client.scatter({"a": list(range(10)), "b": np.ones(100_000)})
    assert client.submit(sum, data["a"]).result(timeout=20) == 45
    assert client.submit(np.sum, data["b"]).result(timeout=20) == 100_000
    single = client.scatter([1, 2, 3], broadcast=True)
    assert client.gather(single) == [1, 2, 3]


def test_the_same_pure_call_is_made_once(client: Client) -> None:
    first, second = client.submit(inc, 41), client.submit(inc, 41)
    assert first.key == second.key
    assert client.submit(inc, 41, pure=False).key != first.key


def test_a_call_that_nobody_holds_any_more_is_made_again(client: Client) -> None:
    assert len({client.submit(time.time).result(timeout=20) for _ in range(5)}) == 5


def test_a_tree_of_calls(client: Client) -> None:
    level = client.map(inc, range(256))
    while len(level) > 1:
        level = [client.submit(add, a, b) for a, b in zip(level[::2], level[1::2], strict=True)]
    assert level[0].result(timeout=30) == sum(range(1, 257))


def test_a_hundred_thousand_calls(client: Client) -> None:
    futures = client.map(inc, range(100_000))
    assert sum(client.gather(futures)) == sum(range(1, 100_001))


def test_futures_say_what_they_are(client: Client) -> None:
    future = client.submit(inc, 1, key="my-key")
    assert future.result(timeout=20) == 2
    assert (future.key, future.status, future.done(), future.type) == ("my-key", "finished", True, int)
    assert "my-key" in repr(future)
    assert "my-key" in future._repr_html_()
    assert "finished" in future.explain()


def test_results_are_released_when_the_last_future_goes(client: Client) -> None:
    future = client.submit(np.ones, 100_000, key="to-be-released")
    wait(future)
    wait_until(lambda: "to-be-released" in client.who_has())  # its pages shift while the keys of earlier tests go
    del future
    wait_until(lambda: "to-be-released" not in client.who_has())


# Errors


def test_an_exception_arrives_as_itself_with_the_users_frames(client: Client) -> None:
    future = client.submit(divide, 1, 0)
    with pytest.raises(ZeroDivisionError) as caught:
        future.result(timeout=20)
    assert caught.traceback[-1].name == "divide"
    notes = "\n".join(getattr(caught.value, "__notes__", []))
    assert future.key in notes
    assert future.status == "error"
    assert isinstance(future.exception(), ZeroDivisionError)
    assert future.traceback() is not None


def test_a_dependent_fails_with_the_root_cause(client: Client) -> None:
    future = client.submit(inc, client.submit(divide, 1, 0))
    with pytest.raises(ZeroDivisionError):
        future.result(timeout=20)


def test_gather_can_skip_errors(client: Client) -> None:
    futures = [client.submit(inc, 1), client.submit(divide, 1, 0), client.submit(inc, 2)]
    assert client.gather(futures, errors="skip") == [2, 3]
    with pytest.raises(ZeroDivisionError):
        client.gather(futures)


def test_retries(client: Client, tmp_path: Path) -> None:
    def flaky(path: str) -> int:
        with open(path, "a+") as file:
            file.write("x")
            file.seek(0)
            if len(file.read()) < 3:
                raise OSError("not yet")
        return 7

    assert client.submit(flaky, str(tmp_path / "a"), retries=2).result(timeout=20) == 7
    future = client.submit(flaky, str(tmp_path / "b"), retries=1)
    with pytest.raises(OSError, match="not yet"):
        future.result(timeout=20)
    future.retry()
    assert future.result(timeout=20) == 7


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_ends_a_program_only_ends_the_call(client: Client, kind: type[BaseException]) -> None:
    def leave() -> None:
        raise kind("bye")

    future = client.submit(leave, pure=False)
    assert isinstance(future.exception(timeout=20), kind)
    assert client.submit(inc, 1).result(timeout=20) == 2


def test_unpicklable_results_and_arguments_are_clear_errors(client: Client) -> None:
    future = client.submit(threading.Lock)
    with pytest.raises(Exception, match=r"(?i)lock"):
        future.result(timeout=20)
    with pytest.raises(Exception, match=r"(?i)lock"):
        client.submit(inc, threading.Lock())
    assert client.submit(inc, 1).result(timeout=20) == 2


def test_a_call_that_kills_its_worker_is_blamed_and_nothing_else(client: Client) -> None:
    innocents = client.map(later, range(100), seconds=0.01)
    poison = client.submit(os._exit, 3)
    with pytest.raises(KilledWorkerError, match="exit code 3"):
        poison.result(timeout=60)
    assert client.gather(innocents) == list(range(100))


# Waiting


def test_as_completed_and_wait(client: Client, tmp_path: Path) -> None:
    go = tmp_path / "go"
    slow, fast = client.submit(hold, str(go)), client.submit(inc, 1)
    done, not_done = wait([slow, fast], return_when="FIRST_COMPLETED", timeout=20)
    assert (done, not_done) == ({fast}, {slow})
    completed = as_completed([slow, fast], timeout=40)
    assert next(completed).key == fast.key
    go.touch()
    assert [future.key for future in completed] == [slow.key]
    results = {result for _, result in as_completed(client.map(inc, range(10)), with_results=True)}
    assert results == set(range(1, 11))


def test_a_timeout_leaves_the_call_alone(client: Client, tmp_path: Path) -> None:
    future = client.submit(hold, str(tmp_path / "go"))
    with pytest.raises(TimeoutError):
        future.result(timeout=0.05)
    (tmp_path / "go").touch()
    assert future.result(timeout=20) > 0


def test_done_callbacks(client: Client) -> None:
    called = threading.Event()
    client.submit(inc, 1).add_done_callback(lambda future: called.set())
    assert called.wait(10)


def test_a_submission_that_waits_for_room_goes_on_when_there_is_some(client: Client) -> None:
    assert client.submit(inc, 1).result(timeout=20) == 2
    time.sleep(0.5)  # the link is direct by now: submissions would leave without the loop
    client._engine.outbox.congested = True
    assert client.gather(client.map(inc, range(10))) == list(range(1, 11))


def test_many_threads_may_use_one_client(client: Client) -> None:
    results: list[int] = []

    def work(start: int) -> None:
        results.append(sum(client.gather(client.map(inc, range(start, start + 50)))))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(results) == [sum(range(i + 1, i + 51)) for i in range(8)]


def test_fire_and_forget_runs_without_a_future(client: Client, tmp_path: Path) -> None:
    mark = tmp_path / "done"
    fire_and_forget(client.submit(mark.write_text, "yes"))
    wait_until(mark.exists)


# Stopping


def test_cancelling_a_call_that_runs_frees_its_worker_within_two_seconds(client: Client) -> None:
    sleepers = [client.submit(time.sleep, 600 + i) for i in range(2)]
    time.sleep(0.3)
    started = time.monotonic()
    client.cancel(sleepers)
    assert client.submit(inc, 1000).result(timeout=20) == 1001
    assert time.monotonic() - started < 2
    assert all(future.cancelled() for future in sleepers)
    with pytest.raises(CancelledError):
        sleepers[0].result()
    assert issubclass(CancelledError, StandardCancelledError)


def test_cancelling_a_call_that_holds_the_gil_frees_its_worker(client: Client) -> None:
    def spin() -> int:
        return sum(range(10**12))  # one bytecode: no interrupt gets in

    spinners = [client.submit(spin, pure=False) for _ in range(2)]
    time.sleep(0.3)
    started = time.monotonic()
    client.cancel(spinners)
    assert client.submit(inc, 2000).result(timeout=20) == 2001
    assert time.monotonic() - started < 15  # a new worker has to start; the call would go on for hours


def test_interrupting_the_kernel_leaves_the_client_usable(client: Client, tmp_path: Path) -> None:
    future = client.submit(hold, str(tmp_path / "go"))

    def be_interrupted() -> None:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        future.result()

    with pytest.raises(KeyboardInterrupt):
        be_interrupted()
    assert client.submit(inc, 1).result(timeout=20) == 2
    (tmp_path / "go").touch()
    assert future.result(timeout=20) > 0


def test_interrupts_at_any_moment_leave_the_client_usable(client: Client) -> None:
    ended = threading.Event()
    chance = random.Random(0)
    is_meant = False

    def handle(number: int, frame: FrameType | None) -> None:
        if is_meant:  # between two rounds it would end the test
            raise KeyboardInterrupt

    def interrupt() -> None:
        while not ended.wait(0.0005 + 0.003 * chance.random()):
            os.kill(os.getpid(), signal.SIGINT)

    interrupts = 0
    thread = threading.Thread(target=interrupt)
    before = signal.signal(signal.SIGINT, handle)
    try:
        thread.start()
        for number in range(100_000, 100_000_000):
            try:
                is_meant = True
                assert client.submit(inc, number).result(timeout=20) == number + 1
                is_meant = False
            except KeyboardInterrupt:
                is_meant = False
                interrupts += 1
                if interrupts == 300:
                    break
    finally:
        is_meant = False
        ended.set()
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert client.gather(client.map(inc, range(100))) == list(range(1, 101))
    assert client.scheduler_info()["drift_repaired"] == 0


def test_restart_gives_new_workers_and_cancels_futures(client: Client) -> None:
    before = {worker["pid"] for worker in client.scheduler_info()["workers"].values()}
    future = client.submit(time.sleep, 600.5)
    client.restart(timeout=30)
    after = {worker["pid"] for worker in client.scheduler_info()["workers"].values()}
    assert len(after) == 2
    assert not before & after
    assert future.cancelled()
    assert client.submit(inc, 1).result(timeout=20) == 2


# The rest of the client


def test_run_reaches_every_worker_also_a_busy_one(client: Client) -> None:
    busy = [client.submit(time.sleep, 1 + i / 100) for i in range(2)]
    pids = client.run(os.getpid)
    assert len(set(pids.values())) == 2
    client.cancel(busy)
    with pytest.raises(UsageError, match="scheduler"):
        client.run_on_scheduler(os.getpid)


def test_named_workers_and_priorities(client: Client) -> None:
    address = next(iter(client.scheduler_info()["workers"]))
    pids = set(client.gather([client.submit(os.getpid, workers=[address], pure=False) for _ in range(10)]))
    assert pids == {client.scheduler_info()["workers"][address]["pid"]}


def test_introspection(client: Client) -> None:
    future = client.submit(np.ones, 1000)
    wait(future)
    assert sum(client.nthreads().values()) == 2
    assert future.key in client.who_has([future])
    assert future.key in {key for keys in client.has_what().values() for key in keys}
    assert client.nbytes(summary=False)[future.key] >= 8000
    assert client.get_versions(check=True)["scheduler"]


def test_a_real_executor(client: Client) -> None:
    with client.get_executor() as executor:
        assert list(executor.map(inc, range(5))) == [1, 2, 3, 4, 5]
        assert executor.submit(inc, 1).result(timeout=20) == 2


def test_telemetry_of_finished_calls(client: Client) -> None:
    started = time.time()
    client.gather(client.map(inc, range(5000, 5100)))
    report = client.telemetry(since=started - 1)
    mine = [record for record in report.records if record.group == "inc"]
    assert len(mine) >= 100
    assert {record.status for record in mine} == {"ok"}
    assert sum(summary.finished for summary in report.groups if summary.name == "inc") >= 100, "of all spans"


def test_a_client_by_name_and_by_address(cluster: LocalCluster) -> None:
    for where in (cluster.name, cluster.scheduler_address):
        with Client(where) as other:
            assert other.submit(inc, 1).result(timeout=20) == 2


async def use_asynchronously(address: str) -> int:
    async with Client(address, asynchronous=True) as client:
        future = client.submit(inc, 1)
        first: int = await future
        rest = await awaiting(client.gather(client.map(inc, range(3))))
        async for done in as_completed(client.map(inc, range(3))):
            first += await done.result()
        return first + sum(rest)


def test_asynchronous_use(cluster: LocalCluster) -> None:
    import asyncio

    assert asyncio.run(use_asynchronously(cluster.scheduler_address)) == 2 + 6 + 6


def test_the_version_is_known() -> None:
    assert himalia.__version__


def test_a_name_that_was_let_go_of_is_free_at_once_for_calls_and_values_of_any_size(client: Client) -> None:
    for turn in range(200):
        future = client.submit(add, [turn] * (1 + turn % 2 * 50_000), [], key="name")  # read in time, late, or never
        if turn % 3:
            future.result(30)
        if turn % 5:
            del future
        else:
            future.release()
        future = client.scatter({"name": turn})["name"] if turn % 4 == 3 else client.submit(inc, turn, key="name")
        assert future.result(30) == turn + (turn % 4 != 3)
        del future
