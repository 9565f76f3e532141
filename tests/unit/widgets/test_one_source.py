"""Each view works on a cluster of somebody else's kind: what it takes is a source, and nothing of our engine."""

from __future__ import annotations

import asyncio
import io
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from bokeh.document import Document

from himalia.follow.progress import show_bars, show_lines
from himalia.follow.recorder import record
from himalia.follow.source import Followable, Source
from himalia.follow.thread_feed import ThreadFeed
from himalia.messages.telemetry import TaskRecord
from himalia.telemetry.recording_format import Recording
from himalia_widgets.cell.cell_bar import CellBar
from himalia_widgets.dashboard.documents import OpenPage, SharedColumns
from himalia_widgets.dashboard.layout import PAGES
from himalia_widgets.dashboard.tables import describe_summary
from himalia_widgets.replay.source import ReplaySource
from himalia_widgets.view.followed import Followed
from himalia_widgets.widget.board import Board
from tests.unit.widgets.foreign import ForeignCluster, ForeignProgress, ForeignSource
from tests.unit.widgets.replay.test_replay import START, recorded
from tests.unit.widgets.synthetic import MadeUpCluster
from tests.waiting import wait_until

REFUSED = "This cluster was started elsewhere: scale it there."


def recording() -> ReplaySource:
    return ReplaySource(recorded(5), "moons")


class Film:
    """A recording as something to be followed."""

    name = cluster_name = "moons"

    def __init__(self) -> None:
        self.source = recording()
        self.addresses = [f"film://{id(self)}"]

    def source_factory(self, *, full: bool = False) -> Any:
        return lambda: self.source


def test_ours_theirs_and_a_recording_are_sources() -> None:
    sources: list[Source] = [ForeignSource(), recording()]
    assert [source.is_live for source in sources] == [True, False]


def test_a_widget_shows_it_and_says_what_cannot_be_done() -> None:
    cluster = ForeignCluster({"scale": REFUSED, "restart": "Restart it there."})
    sent: list[dict[str, Any]] = []
    board = Board(cluster, lambda message, buffers: sent.append(dict(message)))
    board.take({"type": "look", "view": "a", "tab": "workers"})
    wait_until(lambda: cluster.source.followers)
    made = MadeUpCluster(hosts=1, workers=2)
    cluster.source.tell(made.step(5.0), made.info())
    wait_until(lambda: any("workers" in message for message in sent))
    board.take({"type": "ask", "id": 1, "page": "p", "action": "scale", "workers": 5})
    wait_until(lambda: any(message["type"] == "answer" for message in sent))
    board.take({"type": "bye", "view": "a"})
    wait_until(lambda: not cluster.source.followers)
    assert [message["error"] for message in sent if message["type"] == "answer"] == [REFUSED]
    assert [message["scale"]["reason"] for message in sent if "scale" in message][-1] == REFUSED
    assert [message["header"]["no_restart"] for message in sent if "header" in message][-1] == "Restart it there."
    assert (cluster.source.asked, cluster.expected) == ([], 2)


@pytest.mark.parametrize("path", ["/status", "/profile"])
def test_a_page_of_the_dashboard_shows_it(path: str) -> None:
    source, made = ForeignSource(), MadeUpCluster()
    followed = Followed(source)
    source.tell(made.step(5.0), made.info())
    assert describe_summary(followed.history)["workers"] == 4
    page = next(page for page in PAGES if page.path == path)
    opened = OpenPage(page, followed, SharedColumns(), Document())
    opened.draw()
    assert opened.version == followed.history.stamp
    opened.drawn.source.data = {"seen": list(opened.drawn.source.tags)}
    asyncio.run(opened.sample())
    sampled = [plot for plot in opened.plots if plot.name == "profile"]
    assert all(list(plot.sources["frames"].data["name"]) == ["main", "inner"] for plot in sampled)


def test_a_bar_under_a_cell_counts_what_it_counts() -> None:
    cluster, made = ForeignCluster(), MadeUpCluster()
    cluster.source.tell(made.step(5.0), made.info())
    told: list[str] = []
    bar = CellBar(ThreadFeed.of(cluster), "client-1", lambda markup, text: told.append(text))
    bar.end()
    wait_until(lambda: told)
    bar.drop()
    tasks = sum(group.counts.total for group in cluster.source.groups("client-1"))
    assert f" of {tasks:,} tasks" in told[-1]


def keys_in(path: Path) -> set[str]:
    found: set[str] = set()
    for frame in Recording(path.read_bytes(), path.name).frames():
        if frame.kind == "telemetry":
            push = frame.telemetry()
            blocks = [msgspec.msgpack.decode(block, type=list[TaskRecord]) for block in push.blocks]
            found |= {one.key for some in (*blocks, push.records) for one in some}
    return found


def test_progress_shows_what_it_counts() -> None:
    shown: list[str] = []
    show_bars(ForeignProgress(3), lambda markup: shown.append, complete=True).join(10)
    assert [re.findall(r"\d+ / 3", markup) for markup in shown] == [["1 / 3"], ["2 / 3"], ["3 / 3"]]

    out = io.StringIO()
    show_lines(ForeignProgress(2), out)
    assert [re.findall(r"\d of 2", text) for text in out.getvalue().split("\r")[1:]] == [
        ["0 of 2"],
        ["1 of 2"],
        ["2 of 2"],
        ["2 of 2"],
    ]


def test_the_recorder_records_it_and_it_is_replayed(tmp_path: Path) -> None:
    cluster, made = ForeignCluster(), MadeUpCluster()
    push = made.step(5.0)
    with record(cluster, tmp_path / "run.himalia", last=300.0, limit=10**7, logs=True) as recorder:
        wait_until(lambda: cluster.source.followers)
        cluster.source.tell(push, made.info())
        wait_until(lambda: cluster.source.groups(""))
    assert keys_in(recorder.path) == {one.key for one in push.records}
    replayed = ReplaySource.read(str(recorder.path))
    assert replayed.history.total == len(push.records)
    assert len(replayed.history.workers) == 4


def test_the_past_of_a_recording_can_be_recorded(tmp_path: Path) -> None:
    film: Followable = Film()
    source = film.source_factory()()
    assert isinstance(source, ReplaySource)
    source.seek(START + 2)
    recorder = record(film, tmp_path / "cut.himalia", last=300.0, limit=10**7, logs=False)
    recorder.stop()
    assert {key.rpartition("-")[0] for key in keys_in(recorder.path)} == {"inc-0", "inc-1"}


def test_what_follows_a_recording_is_told_again_when_time_goes_back() -> None:
    source = recording()
    other = Followed(source)
    assert other.history.total == source.history.total == 20
    source.seek(START + 2)
    assert other.history.total == source.history.total == 8
    source.seek(START + 4)
    assert other.history.total == source.history.total == 16


def test_a_recording_says_that_nothing_can_be_done() -> None:
    source = recording()
    assert "has happened" in source.obstacle("scale")
    assert source.obstacle("restart") == source.obstacle("scale")
