"""Dask collections on a real cluster: the same answers as Dask's own threads give."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from himalia import Client, LocalCluster

dask = pytest.importorskip("dask", reason="needs dask: pip install 'himalia[dask]'")
import dask.array as da  # noqa: E402
import dask.bag as db  # noqa: E402
import dask.dataframe as dd  # noqa: E402


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster) as client:
        client.wait_for_workers(2, timeout=30)
        yield client


def pid_of(_: Any) -> int:
    import os

    return os.getpid()


def test_it_runs_on_the_cluster_and_not_here(client: Client) -> None:
    import os

    pids = set(db.from_sequence(range(8), npartitions=8).map(pid_of).compute())
    assert pids <= {worker["pid"] for worker in client.scheduler_info()["workers"].values()}
    assert os.getpid() not in pids


def test_arrays(client: Client) -> None:
    x = da.random.RandomState(0).random_sample((400, 400), chunks=(50, 50))
    expected = (x + x.T).sum().compute(scheduler="sync")
    assert (x + x.T).sum().compute() == pytest.approx(expected)
    np.testing.assert_allclose(x[:5].compute(), x[:5].compute(scheduler="sync"))
    np.testing.assert_allclose(x.rechunk((400, 10)).mean(axis=0).compute(), x.mean(axis=0).compute(scheduler="sync"))


def frame() -> Any:
    rows = 10_000
    pdf = pd.DataFrame(
        {"id": np.arange(rows) % 7, "name": [f"n{i % 11}" for i in range(rows)], "x": np.linspace(0, 1, rows)}
    )
    return pdf, dd.from_pandas(pdf, npartitions=10)


def test_dataframes(client: Client) -> None:
    pdf, ddf = frame()
    pd.testing.assert_series_equal(ddf.groupby("id").x.mean().compute().sort_index(), pdf.groupby("id").x.mean())
    assert len(ddf[ddf.x > 0.5].compute()) == (pdf.x > 0.5).sum()


def test_shuffles_and_merges(client: Client) -> None:
    pdf, ddf = frame()
    shuffled = ddf.shuffle("id").compute()
    assert len(shuffled) == len(pdf)
    right = pd.DataFrame({"id": range(7), "label": list("abcdefg")})
    merged = ddf.merge(dd.from_pandas(right, npartitions=2), on="id").compute()
    assert len(merged) == len(pdf)
    assert set(merged.label) == set("abcdefg")
    assert ddf.set_index("x").compute().index.is_monotonic_increasing


def test_bags_and_delayed(client: Client) -> None:
    assert db.from_sequence(range(100), npartitions=5).map(lambda x: x * 2).sum().compute() == 9900

    @dask.delayed  # type: ignore[untyped-decorator,unused-ignore]
    def inc(x: int) -> int:
        return x + 1

    total = dask.delayed(sum)([inc(i) for i in range(10)])
    assert total.compute() == 55
    assert dask.compute(inc(1), {"a": inc(2)}) == (2, {"a": 3})


def test_what_nobody_holds_any_more_is_computed_again(client: Client) -> None:
    now = dask.delayed(time.time)()
    assert now.compute() < now.compute()


def test_persist_and_futures_in_later_graphs(client: Client) -> None:
    x = da.ones((100, 100), chunks=(10, 10)).persist()
    assert (x + 1).sum().compute() == 20_000
    _, ddf = frame()
    kept = ddf.persist()
    assert len(kept) == 10_000
    future = client.submit(lambda: 41)
    assert (dask.delayed(future) + 1).compute() == 42


def test_client_compute_returns_futures(client: Client) -> None:
    future = client.compute(da.ones(10, chunks=5).sum())
    assert future.result(timeout=30) == 10
    first, second = client.compute([da.ones(10, chunks=5).sum(), da.zeros(4, chunks=2).sum()])
    assert (first.result(timeout=30), second.result(timeout=30)) == (10, 0)
    assert client.compute(da.ones(10, chunks=5).sum(), sync=True) == 10


def test_annotations_count(client: Client) -> None:
    address, info = next(iter(client.scheduler_info()["workers"].items()))
    with dask.annotate(workers=[address], retries=2):
        pids = [dask.delayed(pid_of)(i) for i in range(4)]
    with dask.config.set({"optimization.fuse.active": False}):
        assert set(dask.compute(*pids)) == {info["pid"]}


def test_an_error_of_a_collection_arrives_as_itself(client: Client) -> None:
    def fail(x: int) -> int:
        if x == 3:
            raise ValueError("three is bad")
        return x

    with pytest.raises(ValueError, match="three is bad"):
        db.from_sequence(range(5), npartitions=5).map(fail).compute()


def test_large_constants_travel_beside_the_graph(client: Client) -> None:
    array = np.random.default_rng(0).random((2000, 500))
    assert da.from_array(array, chunks=(500, 500)).sum().compute() == pytest.approx(array.sum())


def test_distributed_is_not_imported(client: Client) -> None:
    assert not any(
        module.split(".")[0] == "distributed" for module in client.run(lambda: list(sys.modules)).popitem()[1]
    )
