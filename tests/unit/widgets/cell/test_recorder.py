from __future__ import annotations

from himalia.follow.thread_feed import ThreadFeed
from himalia_widgets.cell.recorder import CellRecorder
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
