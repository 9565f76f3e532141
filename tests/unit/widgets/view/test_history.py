from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from himalia.messages.answers import ClusterInfo, HostView
from himalia.messages.client import Telemetry
from himalia.messages.parts import Timing
from himalia.messages.telemetry import (
    ClusterEvent,
    GroupSummary,
    HostMetrics,
    SchedulerStatus,
    StoreMove,
    TaskRecord,
    TransferSummary,
)
from himalia.names import HostId, Key, PeerId
from himalia.telemetry.snapshot import GROUPS
from himalia_widgets.view.history import History
from tests.unit.widgets import synthetic

HOST = HostId(PeerId("h"))
NOW = 1_700_000_000.0


def push(time: float = 0.0, **fields: object) -> Telemetry:
    plain = Telemetry(time, [], [], 0, {})
    return msgspec.structs.replace(plain, **fields)


def test_thin_and_full_streams_tell_the_same() -> None:
    thin, full = synthetic.history(20), synthetic.history(20, full=True)
    assert thin.calls.total == full.calls.total == thin.total
    assert thin.groups == full.groups
    assert thin.calls["start"].tolist() == full.calls["start"].tolist()


def test_metrics_that_are_told_twice_count_once() -> None:
    history = History()
    metrics = HostMetrics(
        time=NOW - 0.1, transfers=[TransferSummary(HOST, 100, 1.0, 2)], moves=[StoreMove("spill", NOW - 1, 0.5, 10)]
    )
    history.take(push(hosts={"h": metrics}), now=NOW)
    history.take(push(hosts={"h": metrics}), now=NOW + 0.25)
    assert len(history.moves) == 1
    assert history.links.totals[(HOST, "h")].nbytes == 100
    assert len(history.trends.hosts["h"]) == 1


@pytest.mark.parametrize(
    ("ahead", "moved"), [(0.0, 0.0), (4.9, 0.0), (-35.0, 0.0), (3600.0, -3600.0), (-86400.0, 86400.0)]
)
def test_only_a_clock_that_is_plainly_wrong_is_corrected(ahead: float, moved: float) -> None:
    history = History()
    record = TaskRecord(Key("x-1"), "x", HOST, "w", "ok", Timing(NOW + ahead - 1, 0.0, 0.5, 0.0), 8)
    history.take(push(hosts={HOST: HostMetrics(time=NOW + ahead)}, records=[record]), now=NOW)
    assert history.calls["start"].tolist() == pytest.approx([NOW + ahead - 1 + moved], abs=0.01)


def test_a_clock_that_is_a_little_wrong_is_corrected_once_it_is_known_to_be() -> None:
    history = History()
    for beat in range(3):
        history.take(push(hosts={HOST: HostMetrics(time=NOW + beat - 20.0)}), now=NOW + beat)
    assert history.skew == {HOST: 20.0}
    history.take(push(hosts={HOST: HostMetrics(time=NOW + 3)}), now=NOW + 3)
    assert history.skew == {}


def test_events_are_remembered_once() -> None:
    history = History()
    events = [ClusterEvent(number, 1.0, "worker-started", "w", "") for number in range(3)]
    history.take(push(10.0, events=events[:2]), now=NOW)
    history.take(push(11.0, events=events), now=NOW + 1)
    assert [event.number for event in history.events] == [0, 1, 2]
    assert history.local(history.events[0].time) == NOW - 9.0


def test_who_has_left_is_forgotten() -> None:
    history = synthetic.history(5)
    assert set(history.trends.workers) == {"lab-0-0", "lab-0-1", "lab-1-0", "lab-1-1"}
    info = synthetic.MadeUpCluster(hosts=1).info()
    history.take_info(info)
    assert set(history.hosts) == set(history.trends.hosts) == set(info.hosts)
    assert set(history.trends.workers) == {"lab-0-0", "lab-0-1"}
    assert [worker.name for _, worker in history.workers] == ["lab-0-0", "lab-0-1"]


def test_it_is_bounded_in_groups_and_keeps_those_with_work() -> None:
    history = History(records=10)
    history.take(push(groups=[GroupSummary("busy", "cell", waiting=1, tasks=1)]), now=NOW)
    history.take(push(groups=[GroupSummary(f"f{n}", "cell") for n in range(GROUPS + 10)]), now=NOW)
    assert len(history.groups) == len(history.paces) == GROUPS
    assert ("busy", "cell") in history.groups


def test_it_counts_what_was_thinned_out() -> None:
    history = History()
    history.take(push(skipped=90, status=SchedulerStatus(total=90)), now=NOW)
    assert history.total == 90


def test_every_change_raises_the_version() -> None:
    history = History()
    history.take(push(), now=NOW)
    history.take_info(ClusterInfo())
    assert history.version == 2


def test_numbers_over_time_are_of_all_hosts_together() -> None:
    history = History()
    for step in range(4):
        hosts = {
            f"h{n}": HostMetrics(store_bytes=100, workers={f"w{n}": (0.5, 10, 1)}, time=NOW + step) for n in range(3)
        }
        history.take(push(hosts=hosts), now=NOW + step)
    assert history.trends.cluster.column("store").tolist() == [300.0] * 4
    assert history.trends.cluster.column("workers_memory").tolist() == [30.0] * 4
    assert history.trends.cluster.column("cpu").tolist() == [1.5] * 4


def calls_of(host: HostId, *starts: float) -> list[TaskRecord]:
    return [TaskRecord(Key(f"x-{at}"), "x", host, "w", "ok", Timing(at, 0.0, 0.1, 0.0), 8) for at in starts]


def follow(history: History, beats: range, *, lag: Callable[[float], float], offset: float = 0.0) -> None:
    """Have a push arrive each half second; ``lag`` says how late, ``offset`` by how much the host's clock is behind."""
    for beat in beats:
        sent = beat / 2
        host = HostMetrics(time=NOW + sent - 0.1 - offset)
        records = calls_of(HOST, NOW + sent - 0.3 - offset)
        history.take(push(1000.0 + sent, hosts={HOST: host}, records=records), now=NOW + sent + lag(sent))


def starts(history: History) -> list[float]:
    return [round(float(start) - NOW, 2) for start in history.calls["start"]]


@pytest.mark.parametrize("stall", [6.0, 14.0, 50.0, 600.0])
def test_a_stall_of_who_looks_moves_nothing(stall: float) -> None:
    history = History()
    at = {"until": 20.0 + stall}
    follow(history, range(1400), lag=lambda sent: max(0.0, at["until"] - sent) if sent >= 20.0 else 0.0)
    assert starts(history) == [round(beat / 2 - 0.3, 2) for beat in range(1400)]
    assert history.skew == {}
    rate = history.trends.rate.column("time")
    assert (np.diff(rate) > 0.0).all()


def test_who_begins_to_look_behind_a_backlog_has_the_past_right_in_the_end() -> None:
    history = History()
    follow(history, range(100), lag=lambda sent: max(0.0, 30.0 - sent))
    assert starts(history) == [round(beat / 2 - 0.3, 2) for beat in range(100)]


def test_growing_lag_is_no_clock() -> None:
    history = History()
    follow(history, range(400), lag=lambda sent: sent / 4 if sent < 150 else 0.0)
    assert starts(history) == [round(beat / 2 - 0.3, 2) for beat in range(400)]


@pytest.mark.parametrize("offset", [20.0, 3600.0, -3600.0])
def test_a_clock_that_differs_is_moved_whatever_stalls_there_are(offset: float) -> None:
    history = History()
    follow(history, range(200), lag=lambda sent: max(0.0, 40.0 - sent) if sent >= 20.0 else 0.0, offset=offset)
    assert starts(history) == pytest.approx([beat / 2 - 0.3 for beat in range(200)], abs=0.2)


def test_a_clock_that_is_set_while_somebody_looks_moves_what_comes_and_not_what_was() -> None:
    history = History()
    follow(history, range(100), lag=lambda sent: 0.0)
    follow(history, range(100, 300), lag=lambda sent: 0.0, offset=3600.0)
    assert starts(history) == pytest.approx([beat / 2 - 0.3 for beat in range(300)], abs=0.2)


def test_the_clock_of_this_very_machine_is_ours_however_late_its_news_are() -> None:
    history = History()
    history.take_info(ClusterInfo(here="m", hosts={HOST: HostView("", machine="m")}))
    follow(history, range(200), lag=lambda sent: 60.0)
    late = HostMetrics(time=NOW)
    history.take(push(5000.0, hosts={HOST: late}), now=NOW + 4000.0)
    assert history.skew == {}
    assert starts(history) == [round(beat / 2 - 0.3, 2) for beat in range(200)]


def test_events_of_a_backlog_have_the_time_that_they_had() -> None:
    history = History()
    for beat in range(40):
        late = max(0.0, 14.0 - beat) if beat > 5 else 0.0
        event = ClusterEvent(beat, 1000.0 + beat, "worker-started", "w", "")
        history.take(push(1000.0 + beat, events=[event]), now=NOW + beat + late)
        assert [round(history.local(one.time) - NOW, 2) for one in history.events] == list(range(beat + 1))
