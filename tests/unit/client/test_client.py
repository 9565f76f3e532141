from __future__ import annotations

import gc
import io
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import himalia
from himalia import Client, Future, default_client, progress, wait
from himalia.client.packing.functions import BODY_LIMIT
from himalia.errors import (
    CancelledError,
    ClosedError,
    DataLostError,
    NoSuitableWorkerError,
    TimeoutError,
    UnreachableError,
    UsageError,
)
from himalia.messages.client import CancelKeys, FollowTelemetry, ReleaseKeys, Submit
from himalia.messages.parts import FunctionBody, TaskOptions
from himalia.names import Key
from himalia.testing.stages.fake_cluster import FakeCluster, snooze
from tests.waiting import wait_until


def inc(x: int) -> int:
    return x + 1


def fail(x: int) -> int:
    raise ValueError(f"no {x}")


def sent(cluster: FakeCluster, kind: type) -> list[Any]:
    return [message for message in cluster.seen if type(message) is kind]


# submit


def test_a_call_runs_on_the_cluster(client: Client) -> None:
    future = client.submit(inc, 1)
    assert future.result(5) == 2
    assert (future.status, future.done(), future.type) == ("finished", True, int)


def test_lambdas_closures_and_methods(client: Client) -> None:
    amount = 4
    assert client.submit(lambda x, y=1: x + y + amount, 1, y=2).result(5) == 7
    assert client.submit([3, 3].count, 3).result(5) == 2


def test_the_same_call_is_one_task_while_a_future_of_it_lives(client: Client, cluster: FakeCluster) -> None:
    futures = [client.submit(inc, 1) for _ in range(3)]
    assert len({future.key for future in futures}) == 1
    assert client.gather(futures) == [2, 2, 2]
    assert len(cluster.submitted()) == 1


def test_an_impure_call_is_another_task_each_time(client: Client) -> None:
    assert client.submit(inc, 1, pure=False).key != client.submit(inc, 1, pure=False).key


def test_a_key_is_a_name_and_the_second_call_of_that_name_does_not_run(client: Client) -> None:
    first = client.submit(inc, 1, key="mine")
    with pytest.warns(UserWarning, match="'mine' is in use"):
        second = client.submit(inc, 100, key="mine")
    assert first.key == "mine"
    assert second.result(5) == 2


def test_futures_are_found_anywhere_in_the_arguments(client: Client) -> None:
    one, two = client.submit(inc, 0), client.submit(inc, 1)
    together = client.submit(lambda *args, **kwargs: (args, kwargs), [one, (two,)], {"a": {"b": one}}, c=two)
    assert together.result(5) == (([1, (2,)], {"a": {"b": 1}}), {"c": 2})


def test_a_future_captured_by_a_function_is_its_value_there(client: Client) -> None:
    one = client.submit(inc, 0)
    value: Any = one
    assert client.submit(lambda: value + 1).result(5) == 2
    assert client.gather(client.map(lambda x: value + x, [1, 2])) == [2, 3]


def test_a_function_rides_in_its_first_call_and_is_named_later(client: Client, cluster: FakeCluster) -> None:
    for number in range(3):
        client.submit(inc, number).result(5)
    assert [bool(task.function) for task in cluster.submitted()] == [False, True, True]
    assert len(sent(cluster, FunctionBody)) == 1


def test_large_arguments_are_stored_at_a_host_first(client: Client, cluster: FakeCluster) -> None:
    assert client.submit(len, bytes(100_000)).result(5) == 100_000
    (task,) = cluster.submitted()
    assert task.call == b""
    assert task.argument in task.dependencies


def test_a_function_with_a_large_closure_is_stored_at_a_host(client: Client, cluster: FakeCluster) -> None:
    large = bytes(BODY_LIMIT + 1)
    assert client.submit(lambda: len(large)).result(5) == BODY_LIMIT + 1
    assert client.gather(client.map(lambda x: len(large) + x, range(2))) == [BODY_LIMIT + 1, BODY_LIMIT + 2]
    assert not sent(cluster, FunctionBody)


def test_options_reach_the_scheduler(client: Client, cluster: FakeCluster) -> None:
    options: dict[str, Any] = {
        "priority": 3,
        "retries": 2,
        "resources": {"GPU": 1},
        "workers": ["n0-0"],
        "allow_other_workers": True,
    }
    client.submit(inc, 1, **options).result(5)
    client.gather(client.map(inc, [5], **options))
    expected = TaskOptions(3.0, 2, ("n0-0",), True, {"GPU": 1.0})
    assert [task.options for task in cluster.submitted()] == [expected, expected]


def test_what_cannot_be_pickled_is_explained(client: Client) -> None:
    with pytest.raises(UsageError, match="lock"):
        client.submit(inc, threading.Lock())


def test_a_call_in_the_place_of_a_function_is_explained(client: Client) -> None:
    with pytest.raises(TypeError, match=r"Write submit\(f, x\)"):
        client.submit(inc(1))  # type: ignore[arg-type]


# map


def test_map_takes_several_iterables_generators_and_keywords(client: Client) -> None:
    futures = client.map(lambda x, y, z: (x, y, z), (n for n in range(3)), [10, 20], z=5)
    assert client.gather(futures) == [(0, 10, 5), (1, 20, 5)]


def test_map_of_nothing(client: Client) -> None:
    assert client.map(inc, []) == []
    with pytest.raises(UsageError):
        client.map(inc)


def test_map_is_sent_in_pieces(client: Client, cluster: FakeCluster) -> None:
    assert client.gather(client.map(inc, range(500), batch_size=100)) == list(range(1, 501))
    assert [len(message.tasks) for message in sent(cluster, Submit)] == [100] * 5
    assert len({message.batch for message in sent(cluster, Submit)}) == 1


def test_map_of_equal_arguments_runs_each_once(client: Client, cluster: FakeCluster) -> None:
    assert client.gather(client.map(inc, [1, 1, 2])) == [2, 2, 3]
    assert len(cluster.submitted()) == 2


def test_map_and_submit_name_the_same_call_the_same(client: Client) -> None:
    (mapped,) = client.map(inc, [1])
    assert mapped.key == client.submit(inc, 1).key


def test_keys_of_map(client: Client) -> None:
    assert [future.key for future in client.map(inc, [1, 2], key=["a", "b"])] == ["a", "b"]
    assert all(future.key.startswith("mine-") for future in client.map(inc, [3, 4], key="mine"))
    for keys in (["a"], ["a", "b", "c"]):
        with pytest.raises(UsageError, match="keys"):
            client.map(inc, [1, 2], key=keys)


def test_map_over_futures_and_large_values(client: Client) -> None:
    values: list[Any] = [client.submit(inc, 0), bytes(50_000), 7]
    assert client.gather(client.map(lambda x: x if type(x) is int else len(x), values)) == [1, 50_000, 7]


def test_a_large_keyword_of_map_is_stored_once(client: Client, cluster: FakeCluster) -> None:
    futures = client.map(lambda x, data: len(data) + x, range(5), data=bytes(100_000))
    assert client.gather(futures) == [100_000 + x for x in range(5)]
    assert not any(task.argument for task in cluster.submitted())


# results and errors


def test_a_users_exception_arrives_as_itself(client: Client) -> None:
    future = client.submit(fail, 3)
    with pytest.raises(ValueError, match="no 3") as caught:
        future.result(5)
    shown = "".join(traceback.format_exception(caught.value))
    assert 'File "/somewhere/user.py", line 12, in inner' in shown
    assert future.key in shown
    assert type(future.exception()) is ValueError
    assert traceback.extract_tb(future.traceback())[-1].name == "inner"


def test_a_good_future_has_no_exception(client: Client) -> None:
    future = client.submit(inc, 1)
    assert future.exception(5) is None
    assert future.traceback() is None


def test_the_error_of_an_input_is_the_error_of_what_depends_on_it(client: Client) -> None:
    first = client.submit(fail, 1)
    with pytest.raises(ValueError, match="no 1") as caught:
        client.submit(inc, first).result(5)
    assert "depends on it and was not run" in caught.value.__notes__[1]


def test_errors_of_gather_are_raised_or_skipped(client: Client) -> None:
    futures = [client.submit(inc, 1), client.submit(fail, 2), client.submit(inc, 3)]
    with pytest.raises(ValueError, match="no 2"):
        client.gather(futures)
    assert client.gather(futures, errors="skip") == [2, 4]
    assert client.gather({"a": futures[:2]}, errors="skip") == {"a": [2]}
    with pytest.raises(UsageError):
        client.gather(futures, errors="ignore")  # type: ignore[call-overload]


def test_gather_does_not_wait_for_others_once_one_has_failed(client: Client) -> None:
    started = time.monotonic()
    with pytest.raises(ValueError, match="no 1"):
        client.gather([client.submit(snooze, 3), client.submit(fail, 1)])
    assert time.monotonic() - started < 2


def test_gather_keeps_the_containers(client: Client) -> None:
    one = client.submit(inc, 0)
    assert client.gather([one, (one, {"a": {one}}), 5]) == [1, (1, {"a": {1}}), 5]
    assert client.gather(one) == 1
    assert client.gather(iter([one])) == [1]


def test_a_result_that_takes_too_long_goes_on(client: Client) -> None:
    future = client.submit(snooze, 0.3, 5)
    with pytest.raises(TimeoutError, match="goes on"):
        future.result("50ms")
    assert future.result(5) == 5


def test_large_results_are_fetched(client: Client) -> None:
    assert len(client.submit(bytes, 200_000).result(5)) == 200_000


def test_a_result_that_was_lost_is_computed_again(client: Client, cluster: FakeCluster) -> None:
    future = client.submit(bytes, 200_000)
    future.exception(5)
    cluster.lose.add(Key(future.key))
    assert len(future.result(5)) == 200_000


def test_scattered_data_that_were_lost_are_an_error_with_a_name(
    client: Client, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("himalia.client.engine.gathering.RETRY_PAUSE", 0.001)  # it has to hear it several times
    future = client.scatter(bytes(200_000))
    cluster.lose.add(Key(future.key))
    with pytest.raises(DataLostError):
        future.result(20)


def test_a_failed_call_can_be_run_again(client: Client, tmp_path: Any) -> None:
    marker = str(tmp_path / "there")

    def sometimes() -> int:
        return os.stat(marker).st_size

    future = client.submit(sometimes)
    assert future.exception(5) is not None
    open(marker, "w").close()
    future.retry()
    assert future.result(5) == 0


def test_an_interrupt_ends_the_wait_and_leaves_the_client_usable(client: Client) -> None:
    future = client.submit(snooze, 0.5, 5)
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        future.result()
    assert time.monotonic() - started < 0.4
    assert future.result(5) == 5


# the life of futures


def test_a_result_is_released_with_its_last_future(client: Client, cluster: FakeCluster) -> None:
    future = client.submit(inc, 1)
    future.result(5)
    key = future.key
    del future
    wait_until(lambda: any(key in message.keys for message in sent(cluster, ReleaseKeys)))
    assert key not in client.who_has()


def test_a_status_is_a_plain_word(client: Client) -> None:
    future = client.submit(inc, 1)
    future.result(5)
    assert (future.status, repr(future.status), type(future.status)) == ("finished", "'finished'", str)


def test_a_released_future_is_of_no_use(client: Client) -> None:
    future = client.submit(inc, 1)
    future.result(5)
    future.release()
    assert future.status == "cancelled"
    with pytest.raises(CancelledError):
        future.result()
    with pytest.raises(UsageError):
        pickle.dumps(future)


def test_garbage_collection_inside_of_the_client_does_no_harm(client: Client) -> None:
    for number in range(300):
        ring: list[Any] = [client.submit(inc, number)]
        ring.append(ring)  # only the garbage collector can free it, whenever it runs
    gc.collect()
    assert client.submit(inc, 1).result(5) == 2


def test_cancelling(client: Client, cluster: FakeCluster) -> None:
    future = client.submit(snooze, 10, pure=False)
    dependent = client.submit(lambda x: x, future)
    future.cancel("enough")
    assert future.cancelled()
    with pytest.raises(CancelledError, match="enough"):
        future.result()
    wait_until(dependent.cancelled)
    assert sent(cluster, CancelKeys)[0].reason == "enough"


def test_a_call_that_was_cancelled_can_be_submitted_again(client: Client) -> None:
    first = client.submit(inc, 1)
    first.cancel()
    assert client.submit(inc, 1).result(5) == 2


def test_callbacks_run_in_a_thread_of_their_own(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Any] = []
    future = client.submit(inc, 1)
    future.add_done_callback(lambda done: 1 / 0)
    future.add_done_callback(lambda done: seen.append((done.result(), threading.current_thread().name)))
    wait_until(lambda: seen)
    assert seen == [(2, "himalia-callbacks")]
    assert "ZeroDivisionError" in caplog.text


def test_a_future_that_was_pickled_outside_of_a_call_finds_its_result(client: Client) -> None:
    future = client.submit(inc, 1)
    copy = pickle.loads(pickle.dumps(future))
    assert isinstance(copy, Future)
    assert copy.result(5) == 2


def test_a_future_of_another_client(client: Client, cluster: FakeCluster) -> None:
    future = client.submit(inc, 1)
    future.result(5)
    with Client(cluster, set_as_default=False) as other:
        assert other.get_future(future.key).result(5) == 2
        unknown = other.get_future("nobody-knows")
        with pytest.raises(DataLostError, match="not on this cluster"):
            unknown.result(5)
        assert unknown.status == "lost"


def test_explain(client: Client) -> None:
    future = client.submit(inc, 1)
    future.result(5)
    assert "finished" in future.explain()


# scatter


def test_scattered_values_come_back_in_their_container(client: Client) -> None:
    futures = client.scatter({"a": 1, "b": [2]})
    assert futures["a"].key == "a"
    assert client.gather(futures) == {"a": 1, "b": [2]}
    assert client.gather(client.scatter([1, "two", bytes(100_000)])) == [1, "two", bytes(100_000)]
    assert client.submit(inc, client.scatter(4)).result(5) == 5


def test_equal_values_are_stored_once_unless_told_otherwise(client: Client) -> None:
    assert client.scatter([1])[0].key == client.scatter([1])[0].key
    one, other = client.scatter([1, 1], hash=False)
    assert one.key != other.key


def test_a_value_for_every_host(monkeypatch: pytest.MonkeyPatch) -> None:
    from himalia.testing.stages.fake_cluster import install

    install(monkeypatch)
    with FakeCluster(hosts=3) as cluster, Client(cluster) as client:
        future = client.scatter(7, broadcast=True)
        assert len(client.who_has(future)[future.key]) == 3
        only = client.scatter(8, workers="n1-0")
        assert client.who_has(only)[only.key] == ("tcp://nanny-1:1",)
        with pytest.raises(UsageError, match="fits none"):
            client.scatter(9, workers="nowhere")


# questions


def test_questions(client: Client) -> None:
    future = client.submit(inc, 1)
    future.result(5)
    address = "tcp://nanny-0:1"
    assert client.nthreads() == client.ncores() == {f"{address}/0": 4}
    assert client.who_has(future) == {future.key: (address,)}
    assert client.has_what() == {address: (future.key,)}
    assert list(client.nbytes()) == ["inc"]
    assert list(client.nbytes(summary=False)) == [future.key]
    assert list(client.scheduler_info()["workers"]) == [f"{address}/0"]
    assert client.scheduler_info(n_workers=0)["workers"] == {}
    assert client.get_worker_logs(n=1) == {"n0-0": ["two"]}
    client.wait_for_workers(1, timeout=1)
    with pytest.raises(TimeoutError, match="1 of 5 workers"):
        client.wait_for_workers(5, timeout=0.1)


def test_run_calls_a_function_in_every_worker(client: Client) -> None:
    assert client.run(lambda x, y: x + y, 1, y=2) == {"tcp://nanny-0:1/0": 3}
    with pytest.raises(ZeroDivisionError):
        client.run(lambda: 1 / 0)
    (error,) = client.run(lambda: 1 / 0, on_error="return").values()
    assert type(error) is ZeroDivisionError
    assert client.run(lambda: 1 / 0, on_error="ignore") == {}
    assert client.run(lambda: 1, wait=False) is None
    with pytest.raises(NoSuitableWorkerError, match="no worker 'nobody'"):
        client.run(lambda: 1, workers=["nobody"])


def test_the_scheduler_runs_no_user_code(client: Client) -> None:
    with pytest.raises(UsageError, match="runs no user code"):
        client.run_on_scheduler(print)


def test_versions(client: Client) -> None:
    versions = client.get_versions()
    assert versions["client"]["himalia"] == himalia.__version__
    with pytest.raises(UsageError, match="Versions differ"):
        client.get_versions(check=True)  # the fake scheduler says 0


def test_telemetry_can_be_read_and_followed(client: Client, cluster: FakeCluster) -> None:
    seen: list[Any] = []
    stop = client.follow_telemetry(seen.append, interval=0.01)
    client.gather(client.map(inc, range(10)))
    wait_until(lambda: any(group.finished == 10 for push in seen for group in push.groups))
    stop()
    report = client.telemetry()
    assert report.total == len(report.records) == 10
    assert report.groups[0].name == "inc"
    wait_until(lambda: sent(cluster, FollowTelemetry)[-1].interval == 0)


def test_restart_cancels_everything(client: Client) -> None:
    future = client.submit(inc, 1)
    client.restart(timeout=5)
    wait_until(future.cancelled)
    assert client.submit(inc, 1).result(5) == 2


# beginning and end


def test_nobody_at_the_address(cluster: FakeCluster) -> None:
    cluster.addresses = ["tcp://nobody:1"]
    with pytest.raises(UnreachableError, match="nobody"):
        Client(cluster, timeout=0.2)
    with pytest.raises(UsageError):
        default_client()


def test_a_thing_that_is_no_cluster() -> None:
    with pytest.raises(UsageError, match="can't be connected to"):
        Client(object())


def test_options_of_a_cluster_need_a_client_that_starts_one(cluster: FakeCluster) -> None:
    with pytest.raises(UsageError, match="n_workers"):
        Client(cluster, n_workers=3)


def test_a_closed_client_says_so(cluster: FakeCluster) -> None:
    client = Client(cluster)
    waiting = client.submit(snooze, 10)
    done = client.submit(inc, 1)
    done.result(5)
    client.close()
    client.close()
    assert (client.status, waiting.status) == ("closed", "cancelled")
    assert done.result() == 2
    for ask in (lambda: client.submit(inc, 1), client.nthreads, lambda: client.scatter(1)):
        with pytest.raises(ClosedError):
            ask()


def test_threads_end_with_the_last_client(cluster: FakeCluster) -> None:
    before = set(threading.enumerate())
    with Client(cluster) as one, Client(cluster) as other:
        one.submit(inc, 1).add_done_callback(print)
        assert one.loop is other.loop
    wait_until(lambda: not {thread for thread in set(threading.enumerate()) - before if "himalia" in thread.name})


def test_a_scheduler_that_is_gone_wakes_those_who_wait(client: Client, cluster: FakeCluster) -> None:
    future = client.submit(snooze, 10)
    wait_until(lambda: cluster.submitted())
    (endpoint,) = cluster.clients.values()
    threading.Timer(0.1, lambda: client.loop.call_soon_threadsafe(endpoint.cut, "it died")).start()
    with pytest.raises(ClosedError, match="it died"):
        future.result(5)
    assert client.status == "lost"
    with pytest.raises(ClosedError, match="it died"):
        client.submit(inc, 1)


def test_shutdown_ends_the_cluster(cluster: FakeCluster) -> None:
    client = Client(cluster)
    client._lifetime.cluster = None
    client.shutdown()
    assert client.status == "closed"
    assert type(cluster.seen[-1]).__name__ == "Close"


def test_a_forked_child_leaves_its_parents_client_alone(client: Client) -> None:
    future = client.submit(inc, 1)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            del future
            gc.collect()
            try:
                client.submit(inc, 5)
            except ClosedError:
                code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert future.result(5) == 2


@pytest.mark.parametrize("what", ["result", "wait", "add_done_callback", "gather"])
def test_a_forked_child_doesn_t_wait_for_what_only_its_parent_hears_of(client: Client, what: str) -> None:
    future, done = client.submit(snooze, 30), client.submit(inc, 1)
    assert done.result(5) == 2
    waits: dict[str, Callable[[], object]] = {
        "result": lambda: future.result(20),
        "wait": lambda: wait([done, future], 20),
        "add_done_callback": lambda: future.add_done_callback(print),
        "gather": lambda: client.gather([done, future]),
    }
    child = os.fork()
    if child == 0:
        code = 1
        signal.alarm(20)  # or one that waits would outlive a test that fails
        try:
            waits[what]()
        except ClosedError as error:
            code = 0 if "belongs to the process that this one was forked from" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def test_text_and_html(client: Client) -> None:
    assert repr(client) == f"<Client: '{client.scheduler_address}' workers=1 threads=4, memory=1.00 GiB>"
    client.name = "<b>"
    assert "&lt;b&gt;" in client._repr_html_()


def test_progress_is_a_line_of_text(client: Client) -> None:
    out = io.StringIO()
    progress(client.map(inc, range(3)), file=out)
    assert "3 of 3 | 100%" in out.getvalue()


# defaults


def test_the_client_made_last_is_the_default_until_it_is_closed(cluster: FakeCluster) -> None:
    with Client(cluster) as outer:
        with Client(cluster) as inner:
            assert default_client() is inner
            with outer.as_current():
                assert default_client() is outer
            assert default_client() is inner
        assert default_client() is outer
        with Client(cluster, set_as_default=False):
            assert default_client() is outer
    with pytest.raises(UsageError, match="no client"):
        default_client()
