"""The picture of a block's calls and the report, on a real cluster; both say what they can't show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from himalia import Client, LocalCluster, get_task_stream, performance_report
from himalia.errors import UsageError
from himalia.settings import DEFAULT

MORE = DEFAULT.telemetry_ring * 5 // 4


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        yield client


def test_calls_of_a_block_become_a_figure_and_a_file(client: Client, tmp_path: Path) -> None:
    place = tmp_path / "stream.html"
    with get_task_stream(plot="save", filename=str(place)) as stream:
        client.gather(client.map(abs, range(10)))
    assert len(stream.data) == 10
    drawn = [renderer.data_source for renderer in stream.figure.renderers]
    assert any(len(source.data["left"]) for source in drawn if source.name == "himalia-task_stream-calls")
    assert "abs" in place.read_text()


def test_a_way_to_plot_that_there_is_not_is_refused(client: Client) -> None:
    with pytest.raises(UsageError, match="save"):
        get_task_stream(plot="svg")


@pytest.mark.parametrize(("count", "is_said"), [(20, False), (MORE, True)])
def test_a_report_says_that_older_calls_are_missing(client: Client, tmp_path: Path, count: int, is_said: bool) -> None:
    place = tmp_path / "report.html"
    with performance_report(str(place)):
        client.gather(client.map(abs, range(-count, 0)))
    text = place.read_text()
    assert (f"of the {count:,} calls that ended" in text) == is_said
