"""Chains of DataFrame operations become one call each; what is computed, and its keys, stay the same."""

from __future__ import annotations

from typing import Any

import pytest

dask = pytest.importorskip("dask", reason="dask is not installed: pip install 'himalia[dask]'")
np = pytest.importorskip("numpy", reason="numpy is not installed: pip install 'himalia[dask]'")
pd = pytest.importorskip("pandas", reason="pandas is not installed: pip install 'himalia[dask]'")
dd = pytest.importorskip("dask.dataframe", reason="dask's DataFrame is not installed: pip install 'himalia[dask]'")

from himalia import Client  # noqa: E402
from himalia.client.dask.fusing import fuse  # noqa: E402
from himalia.testing.stages.fake_cluster import FakeCluster  # noqa: E402


def rows(number: int) -> Any:
    return pd.DataFrame({"id": range(number, number + 10), "x": 1.5})


def chain() -> Any:
    """Four partitions, each read, filtered and changed."""
    frame = dd.from_map(rows, range(4))
    return frame[frame.id > 2].x + 1


def groups(cluster: FakeCluster) -> list[str]:
    return [task.group for task in cluster.submitted()]


def test_a_chain_is_one_call(client: Client, cluster: FakeCluster) -> None:
    series = chain()
    expected = series.compute(scheduler="sync")
    pd.testing.assert_series_equal(series.compute(), expected)
    assert not {"gt", "getitem", "add"} & set(groups(cluster))
    assert groups(cluster).count("rows-fused-add") == 4


def test_it_is_left_as_it_is_where_somebody_says_so(client: Client, cluster: FakeCluster) -> None:
    with dask.config.set({"optimization.fuse.active": False}):
        chain().compute()
    assert groups(cluster).count("add") == groups(cluster).count("gt") == 4


def test_what_is_persisted_is_used_by_its_own_keys(client: Client, cluster: FakeCluster) -> None:
    series = chain()
    kept = client.persist(series)
    assert set(kept.__dask_graph__()) >= set(dask.core.flatten(kept.__dask_keys__()))
    assert kept.sum().compute() == series.sum().compute(scheduler="sync")
    assert groups(cluster).count("rows-fused-add") == 4
    pd.testing.assert_series_equal(dask.persist(series)[0].compute(), series.compute(scheduler="sync"))


def test_what_two_need_is_computed_once(client: Client, cluster: FakeCluster) -> None:
    series = chain()
    low, high = dask.compute(series.min(), series.max())
    assert (low, high) == (2.5, 2.5)
    assert len([name for name in groups(cluster) if name.startswith("rows-fused")]) == 4


def test_a_key_within_a_chain_can_still_be_asked_for(client: Client, cluster: FakeCluster) -> None:
    expr = chain().expr.lower_completely()
    graph = expr.__dask_graph__()
    inside = next(key for key in graph if key not in set(dask.core.flatten(expr.__dask_keys__())))
    asked: Any = [inside, *dask.core.flatten(expr.__dask_keys__())]
    values: Any = client.get(expr, asked)
    assert len(values) == 5


def test_what_has_one_partition_is_computed_once(client: Client, cluster: FakeCluster) -> None:
    """Dask's fusing has it computed in the call of each partition that it is joined with."""
    many = dd.from_pandas(rows(0), npartitions=5)
    one = dd.from_pandas(rows(0), npartitions=1).map_partitions(lambda frame: frame.assign(r=np.random.random()))
    found = many.merge(one, on="id").compute()
    assert len(found) == 10
    assert found.r.nunique() == 1


def test_other_graphs_are_left_alone() -> None:
    graph = {"a": 1}
    assert fuse(graph) == (graph, {})
