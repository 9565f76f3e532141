"""Dask collections on a fake cluster; they lack dask, if they are skipped: pip install himalia[dask]."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

dask = pytest.importorskip("dask", reason="dask is not installed: pip install 'himalia[dask]'")
np = pytest.importorskip("numpy", reason="numpy is not installed: pip install 'himalia[dask]'")

from dask import delayed  # noqa: E402
from dask._task_spec import Alias, List, Task, TaskRef  # noqa: E402

from himalia import Client, futures_of, wait  # noqa: E402
from himalia.client.engine.awaiting import awaiting  # noqa: E402
from himalia.client.future import record_of  # noqa: E402
from himalia.errors import UsageError  # noqa: E402
from himalia.messages.client import Submit  # noqa: E402
from himalia.messages.parts import TaskOptions  # noqa: E402
from himalia.testing.stages.fake_cluster import FakeCluster, install  # noqa: E402


def inc(x: int) -> int:
    return x + 1


def groups(cluster: FakeCluster) -> list[str]:
    return [task.group for task in cluster.submitted()]


# which scheduler Dask uses


def test_dask_computes_on_the_default_client(client: Client, cluster: FakeCluster) -> None:
    assert delayed(inc)(1).compute() == 2
    assert groups(cluster) == ["inc"]
    assert dask.base.get_scheduler() == client.get


def test_without_a_client_dask_is_as_it_was(cluster: FakeCluster) -> None:
    before = dict(dask.config.config)
    with Client(cluster):
        assert dask.config.get("dataframe.shuffle.method") == "tasks"
    assert "scheduler" not in dask.config.config
    method = before.get("dataframe", {}).get("shuffle", {}).get("method")
    assert dask.config.get("dataframe.shuffle.method", None) == method


def test_a_choice_of_the_user_stands(cluster: FakeCluster) -> None:
    with dask.config.set({"scheduler": "sync", "array.rechunk.method": "p2p"}):
        with Client(cluster):
            assert dask.config.get("scheduler") == "sync"
            assert dask.config.get("array.rechunk.method") == "p2p"
        assert dask.config.get("scheduler") == "sync"
        assert dask.config.get("array.rechunk.method") == "p2p"


def test_dask_is_told_when_it_is_imported_later_and_not_imported_for_it() -> None:
    script = """
import sys
from himalia.client.dask import hook
class Client:
    asynchronous = False
    def get(self): pass
client = Client()
hook.use(client)
assert "dask" not in sys.modules
import dask
assert dask.config.get("scheduler").__self__ is client
assert not any(type(finder).__name__ == "_DaskFinder" for finder in sys.meta_path)
hook.use(None)
assert dask.config.get("scheduler", None) is None
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


def test_a_client_can_be_named_for_one_computation(cluster: FakeCluster) -> None:
    with Client(cluster, set_as_default=False) as client:
        assert delayed(inc)(1).compute(scheduler=client) == 2
    assert groups(cluster) == ["inc"]


# kinds of collections


def test_arrays(client: Client) -> None:
    da = pytest.importorskip("dask.array")
    x = da.arange(100, chunks=10)
    assert (x + x).sum().compute() == 9900
    matrix = da.ones((20, 20), chunks=(5, 5))
    assert (matrix + matrix.T).sum().compute() == 800
    assert (x.rechunk(30) ** 2).sum().compute() == int((np.arange(100) ** 2).sum())


def test_bags(client: Client) -> None:
    db = pytest.importorskip("dask.bag")
    assert db.from_sequence(range(10), npartitions=3).map(inc).filter(lambda x: x > 5).sum().compute() == 40


def test_data_frames(client: Client) -> None:
    pd = pytest.importorskip("pandas")
    dd = pytest.importorskip("dask.dataframe")
    table = pd.DataFrame({"a": np.arange(100) % 7, "b": np.arange(100.0)})
    frame = dd.from_pandas(table, npartitions=5)
    assert (frame.groupby("a").b.mean().compute().sort_index() == table.groupby("a").b.mean()).all()
    assert len(frame.merge(frame.rename(columns={"b": "c"}), on="a").compute()) == len(table.merge(table, on="a"))
    assert frame.set_index("b").index.compute().is_monotonic_increasing
    persisted = frame.persist()
    assert len(futures_of(persisted)) == 5
    assert persisted.b.sum().compute() == table.b.sum()


def test_delayed_calls_in_containers_and_with_keywords(client: Client) -> None:
    call = delayed(lambda x, y=0: (x, y))
    assert call([call(1), {"a": call(2)}], y=(call(3),)).compute() == ([(1, 0), {"a": (2, 0)}], ((3, 0),))


def test_futures_inside_of_collections(client: Client) -> None:
    future = client.submit(inc, 9)
    assert delayed(inc)(future).compute() == 11
    assert delayed(sum)([future, delayed(inc)(0)]).compute() == 11


def test_an_error_of_a_task_is_raised(client: Client) -> None:
    with pytest.raises(ZeroDivisionError):
        delayed(lambda: 1 / 0)().compute()


# get, compute, persist


def test_get_takes_graphs_of_the_old_kind_and_nested_keys(client: Client) -> None:
    graph = {"x": 1, "y": (inc, "x"), "z": "y", ("t", 0): (sum, ["x", "y"])}
    assert client.get(graph, ["x", ["y", "z"], ("t", 0)]) == [1, [2, 2], 3]
    futures: Any = client.get(graph, ["y"], sync=False)
    assert futures[0].key == "y"


def test_compute_gives_a_future_for_each_collection_in_their_order(client: Client) -> None:
    da = pytest.importorskip("dask.array")
    db = pytest.importorskip("dask.bag")
    mixed = [
        da.ones(4, chunks=2).sum(),
        delayed(inc)(1),
        da.zeros(4, chunks=2).sum(),
        5,
        db.from_sequence([1, 2]).sum(),
    ]
    assert client.gather(client.compute(mixed)) == [4, 2, 0, 5, 3]
    assert client.compute(mixed[0]).result(5) == 4
    assert client.compute({"a": mixed[1], "b": [mixed[3]]}, sync=True) == {"a": 2, "b": [5]}
    as_they_are: object = client.compute([1, 2])
    assert as_they_are == [1, 2]


def test_persisted_collections_are_made_of_futures(client: Client, cluster: FakeCluster) -> None:
    da = pytest.importorskip("dask.array")
    x = da.arange(40, chunks=10) + 1
    persisted, call = client.persist([x, delayed(inc)(1)])
    wait([persisted, call])
    assert len(futures_of([persisted, call])) == 5
    before = len(cluster.submitted())
    assert persisted.sum().compute() == 820
    assert call.compute() == 2
    assert not any(group.startswith("add") or group == "inc" for group in groups(cluster)[before:])
    assert dask.persist(x)[0].sum().compute() == 820


def test_what_is_known_already_is_not_computed_again(client: Client, cluster: FakeCluster) -> None:
    call = delayed(inc, pure=True)(1)
    future = client.compute(call)
    assert client.compute(delayed(inc)(call)).result(5) == 3
    assert groups(cluster) == ["inc", "inc"]
    assert future.result(5) == 2


# graphs


def test_the_function_itself_is_what_runs(client: Client, cluster: FakeCluster) -> None:
    function = delayed(inc)
    assert dask.compute(*[function(number) for number in range(5)]) == (1, 2, 3, 4, 5)
    assert len({task.function for task in cluster.submitted()}) == 1
    assert all(task.function for task in cluster.submitted())


def test_dependencies_come_before_dependents_in_the_order_of_dask(client: Client, cluster: FakeCluster) -> None:
    da = pytest.importorskip("dask.array")
    x = da.random.random((200, 200), chunks=(10, 10))
    (x + x.T).sum().compute()
    seen: set[str] = set()
    for task in cluster.submitted():
        assert seen.issuperset(task.dependencies)
        seen.add(task.key)
    ranks = [task.order for task in cluster.submitted()]
    assert ranks == sorted(ranks)
    lasts = [message.last for message in cluster.seen if isinstance(message, Submit)]
    assert len(lasts) > 1
    assert lasts == [False] * (len(lasts) - 1) + [True]


def test_aliases_are_not_computed(client: Client, cluster: FakeCluster) -> None:
    assert client.get({"x": (inc, 1), "a": "x", "b": "a", "y": (inc, "b")}, ["y", "b"]) == [3, 2]
    assert [task.key for task in cluster.submitted()] == ["b", "y"]


def test_every_key_that_is_asked_for_keeps_its_name(client: Client, cluster: FakeCluster) -> None:
    graph = {"x": (inc, 1), "a": "x", "b": "a", "c": "x"}
    futures: Any = client.get(graph, ["a", "b", "c"], sync=False)
    assert client.gather(futures) == [2, 2, 2]
    assert {task.key for task in cluster.submitted()} == {"a", "b", "c"}
    by_name = Task("y", inc, TaskRef("b"))  # what Dask may leave of a future
    assert client.get({"y": by_name, "again": futures[1]}, ["y", "again"]) == [3, 2]


def test_integers_of_numpy_in_keys_are_integers(client: Client) -> None:
    graph = {("x", np.int64(0)): (inc, 1), "y": (inc, ("x", 0))}
    assert client.get(graph, [("x", 0), "y"]) == [2, 3]
    futures: Any = client.get(graph, [("x", np.int64(0))], sync=False)
    assert record_of(futures[0]).key == "('x', 0)"


def test_an_alias_of_itself_and_a_key_that_is_not_there_are_explained(client: Client) -> None:
    with pytest.raises(UsageError, match="alias of itself"):
        client.get({"a": Alias("a", "b"), "b": Alias("b", "a")}, "a")
    with pytest.raises(UsageError, match="neither in it nor a future's key"):
        client.get({"a": Task("a", inc, TaskRef("nowhere"))}, "a")
    assert client.submit(inc, 1).result(5) == 2


def test_tasks_inside_of_tasks_are_evaluated(client: Client) -> None:
    graph = {
        "a": Task("a", inc, 0),
        "b": Task("b", inc, Task(None, inc, TaskRef("a"))),
        "c": Task("c", sum, List(TaskRef("a"), Task(None, inc, TaskRef("b")))),
    }
    assert client.get(graph, ["b", "c"]) == [3, 5]


def test_small_constants_ride_along_large_ones_are_stored_once(client: Client, cluster: FakeCluster) -> None:
    small, large = 5, np.ones(50_000)
    graph = {"s": small, "l": large, **{f"x{number}": (_add_up, "s", "l", number) for number in range(5)}}
    assert client.get(graph, [f"x{number}" for number in range(5)]) == [50_005 + number for number in range(5)]
    placed = [message for message in cluster.seen if type(message).__name__ == "DataPlaced"]
    assert len(placed) == 1
    assert all(len(task.call) < 1000 for task in cluster.submitted())


def _add_up(small: int, large: Any, number: int) -> int:
    return small + int(large.sum()) + number


def test_an_array_repeated_in_the_arguments_of_many_tasks_is_stored_once(client: Client, cluster: FakeCluster) -> None:
    da = pytest.importorskip("dask.array")
    large = np.ones(50_000)
    x = da.ones(40, chunks=10).map_blocks(lambda block, other: block + other[0], large, dtype=float)
    assert x.sum().compute() == 80
    assert len([message for message in cluster.seen if type(message).__name__ == "DataPlaced"]) <= 2


def test_annotations_reach_the_tasks(client: Client, cluster: FakeCluster) -> None:
    da = pytest.importorskip("dask.array")
    with dask.annotate(priority=7, retries=3, resources={"GPU": 1}, workers=["n0-0"], allow_other_workers=True):
        x = da.ones(10, chunks=5) + 1
    with dask.annotate(priority=lambda key: key[1]):
        y = x * 2
    assert y.sum().compute(optimize_graph=False) == 40
    by_group: dict[str, list[TaskOptions | None]] = {}
    for task in cluster.submitted():
        by_group.setdefault(task.group, []).append(task.options)
    assert by_group["add"] == [TaskOptions(7.0, 3, ("n0-0",), True, {"GPU": 1.0})] * 2
    assert {options.priority if options else 0 for options in by_group["mul"]} == {0, 1}
    assert by_group["sum"] == [None, None]


def test_options_of_a_computation_are_for_tasks_without_annotations(client: Client, cluster: FakeCluster) -> None:
    with dask.annotate(priority=1):
        call = delayed(inc)(1)
    client.compute(call, priority=9, retries=2).result(5)
    assert cluster.submitted()[0].options == TaskOptions(1.0, 2)


def test_functions_of_a_notebook_inside_of_nodes_are_pickled_once(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from himalia.client.packing import functions

    da = pytest.importorskip("dask.array")
    made: list[Any] = []
    original = functions.PickledFunction.__init__

    def count(self: Any, function: Any, *more: Any) -> None:
        made.append(function)
        original(self, function, *more)

    monkeypatch.setattr(functions.PickledFunction, "__init__", count)
    x = da.ones(100, chunks=5).map_blocks(lambda block: block + 1).map_blocks(lambda block: block * 2)
    assert x.sum().compute() == 400
    assert len([function for function in made if "lambda" in function.__name__]) <= 2


def test_an_asynchronous_client_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    install(monkeypatch)

    async def main(cluster: FakeCluster) -> None:
        async with Client(cluster, asynchronous=True) as client:
            assert await client.compute(delayed(inc)(1)) == 2
            assert await awaiting(client.get({"x": (inc, 1)}, ["x"])) == [2]
            assert "scheduler" not in dask.config.config

    with FakeCluster() as cluster:
        asyncio.run(main(cluster))
