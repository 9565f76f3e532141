"""The memory sampler on a real cluster."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator

import pytest
from bokeh.embed import json_item

from himalia import Client, LocalCluster, MemorySampler
from himalia.errors import UsageError
from tests.waiting import wait_until

SIZE = 30_000_000


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        yield client


def test_results_that_are_held_show_up_in_the_store_and_workers_use_memory(client: Client) -> None:
    ms = MemorySampler()
    with ms.sample("store", client=client, measure="store"), ms.sample("processes", interval=0.1):
        future = client.submit(bytes, SIZE)
        future.result()
        wait_until(lambda: ms.samples["store"][-1][1] >= SIZE)
        wait_until(lambda: ms.samples["processes"][-1][1] > 1_000_000)
    count = len(ms.samples["store"])
    time.sleep(1.2)
    assert len(ms.samples["store"]) == count


def wait_for_two_samples(ms: MemorySampler, label: str) -> None:
    wait_until(lambda: len(ms.samples[label]) >= 2)


def test_samples_become_a_frame_and_a_figure_aligned_or_not(client: Client) -> None:
    pytest.importorskip("pandas")
    ms = MemorySampler()
    for label in ("a", "<b>$$b$$"):
        with ms.sample(label):
            wait_for_two_samples(ms, label)
    assert list(ms.to_pandas().columns) == ["a", "<b>$$b$$"]
    assert abs(ms.to_pandas().index[0].timestamp() - time.time()) < 60
    assert ms.to_pandas(align=True).index[0].total_seconds() == 0.0
    assert len(ms.to_pandas(align=True).iloc[0].dropna()) == 2
    for align in (False, True):
        drawn = json.dumps(json_item(ms.plot(align=align)))
        assert r"<b>$\u200b$b$\u200b$" in drawn  # in a plot, $$ begins a formula
        assert "$$b$$" not in drawn
    assert repr(ms).startswith("<MemorySampler 'a': ")


def test_a_block_of_an_event_loop_is_sampled_too(client: Client) -> None:
    ms = MemorySampler()

    async def block() -> None:
        async with ms.sample(client=client):
            pass

    asyncio.run(block())
    assert len(ms.samples["sample 1"]) >= 1


def test_what_can_not_be_measured_is_refused(client: Client) -> None:
    with pytest.raises(UsageError, match="process, store, spilled"):
        MemorySampler().sample(measure="cpu")
