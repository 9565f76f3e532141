from __future__ import annotations

from html import unescape

from himalia.follow.thread_feed import ThreadFeed
from himalia.messages.answers import ProfileSamples
from himalia.show.unseen import no_samples
from himalia_widgets.cell.recorder import CellRecorder
from himalia_widgets.cell.report import UNSEEN, page
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
