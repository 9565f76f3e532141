from __future__ import annotations

import sys
from html import unescape
from pathlib import Path

import pytest

from himalia.follow.thread_feed import ThreadFeed
from himalia.messages.answers import ProfileSamples
from himalia.show.unseen import no_samples
from himalia_widgets import hooks
from himalia_widgets.cell.recorder import CellRecorder
from himalia_widgets.cell.report import UNSEEN, cards, page
from tests.unit.widgets.foreign import ForeignCluster
from tests.unit.widgets.synthetic import MadeUpCluster
from tests.waiting import wait_until


def test_what_others_follow_is_left_as_it_came() -> None:
    cluster, made, seen = ForeignCluster(), MadeUpCluster(), []
    recorder = CellRecorder(cluster)
    recorder.begin()
    leave = ThreadFeed.of(cluster).subscribe(lambda telemetry: seen.append(len(telemetry.records)))
    push = made.step(5.0)
    told = len(push.records)
    cluster.source.tell(push, made.info())
    wait_until(lambda: told in seen)
    recorder.end()
    leave()
    assert told != 0
    assert len(recorder.history.calls) == 0  # single calls are asked for at the end
    assert recorder.history.hosts


def test_what_was_not_pushed_yet_is_asked_for_at_the_end() -> None:
    cluster, made = ForeignCluster(), MadeUpCluster()
    recorder = CellRecorder(cluster)
    recorder.begin()
    cluster.source.unpushed = [(made.step(5.0), made.info())]
    recorder.end()
    assert set(recorder.history.hosts) == set(made.info().hosts)


WRITER = "himalia_widgets.cell.report"


class Witness(CellRecorder):
    """Notes whether what writes reports was loaded when the block ended."""

    was_loaded = True

    def end(self) -> None:
        self.was_loaded = WRITER in sys.modules
        super().end()


def test_a_block_is_no_longer_for_the_time_that_it_takes_to_follow_it_and_to_load_what_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, WRITER)
    recorder = Witness(ForeignCluster())
    made = recorder.started
    recorder.begin()
    assert recorder.started > made
    hooks.end_report(recorder, str(tmp_path / "report.html"), "")
    assert not recorder.was_loaded


def test_the_numbers_of_a_report_fill_their_rows_of_four() -> None:
    recorder, made = CellRecorder(ForeignCluster()), MadeUpCluster()
    recorder.history.take_info(made.info())
    found = cards(recorder)
    assert found.count("<div><b>") % 4 == 0
    assert "<b>4 with 8 threads</b>workers" in found


def test_a_report_without_samples_says_why_in_a_line() -> None:
    recorder = CellRecorder(ForeignCluster())
    recorder.begin()
    recorder.end()
    recorder.samples = ProfileSamples({})
    text = page(recorder)
    assert no_samples(UNSEEN) in unescape(text)
    assert "id='plot-profile'" not in text
    recorder.samples = ProfileSamples({}, {"tcp://host:1": "py-spy may not look"})
    text = page(recorder)
    assert "tcp://host:1: py-spy may not look" in text
    assert "No samples" not in text
    recorder.samples = ProfileSamples({"w": [(1.0, "main (a.py:1)", 3)]})
    text = page(recorder)
    assert "id='plot-profile'" in text
    assert "No samples" not in text.split("<script")[0]
