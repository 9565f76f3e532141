from __future__ import annotations

from typing import Any

from himalia.messages.nanny import Heartbeat
from himalia.messages.telemetry import HostMetrics, RunningCall, StoreMove, TransferSummary
from himalia.names import HostId, Key, PeerId
from himalia.nanny import events as e
from himalia.nanny.activity import MOVES, RUNNING, Activity, Moves
from himalia.nanny.tasks import NannyGroup, NannyTask
from himalia.settings import Settings
from himalia.testing.builders import make_compute
from himalia.testing.stages.nanny import FIRST, SECOND, NannyStage
from himalia.usage import Usage

TWO, THREE = HostId(PeerId("nanny-2")), HostId(PeerId("nanny-3"))


def tasks(*runs: int) -> dict[int, NannyTask]:
    """Return a task for each run, ``call-<run>`` of group ``f``."""
    return {run: NannyTask(make_compute(f"call-{run}", 1), NannyGroup("f")) for run in runs}


def report(activity: Activity, time: float, runs: dict[int, NannyTask]) -> HostMetrics:
    return activity.report(HostMetrics(time=time), runs, 0.5)


def test_a_call_is_named_once_it_has_run_for_an_interval_with_when_it_was_first_seen() -> None:
    activity, runs = Activity(), tasks(7)
    activity.look({FIRST: [0, 7]}, 100.0)
    assert report(activity, 100.4, runs).running == []
    activity.look({FIRST: [0, 7]}, 100.5)
    call = RunningCall(FIRST, 1, Key("call-7"), "f", 100.0)
    assert report(activity, 100.5, runs).running == [call]
    assert report(activity, 101.0, runs).running == [call]


def test_a_call_that_ended_is_not_named_any_more() -> None:
    activity = Activity()
    activity.look({FIRST: [7]}, 100.0)
    assert report(activity, 101.0, {}).running == []
    activity.look({FIRST: [0]}, 101.0)
    assert report(activity, 102.0, tasks(7)).running == []


def test_another_call_of_the_same_thread_is_another_one() -> None:
    activity = Activity()
    activity.look({FIRST: [7]}, 100.0)
    activity.look({FIRST: [8]}, 100.8)
    assert report(activity, 101.0, tasks(7, 8)).running == []


def test_of_many_running_calls_those_that_run_longest_are_named() -> None:
    activity, runs = Activity(), tasks(*range(1, RUNNING + 11))
    threads: list[int] = []
    for run in runs:
        threads.append(run)
        activity.look({FIRST: list(threads)}, float(run))
    named = report(activity, 1e6, runs).running
    assert [call.started for call in named] == [float(run) for run in range(1, RUNNING + 1)]


def test_transfers_are_summed_by_host_and_told_once() -> None:
    activity = Activity()
    activity.add_transfer(TWO, 10, 0.5, 1)
    activity.add_transfer(THREE, 7, 0.1, 2)
    activity.add_transfer(TWO, 30, 0.25, 3)
    expected = [TransferSummary(TWO, 40, 0.75, 4), TransferSummary(THREE, 7, 0.1, 2)]
    assert report(activity, 1.0, {}).transfers == expected
    assert report(activity, 2.0, {}).transfers == []


def test_moves_that_touch_are_one_and_others_are_listed() -> None:
    moves = Moves()
    for start in (1.0, 1.5, 3.0):
        moves.add(StoreMove("spill", start, 0.5, 100))
    moves.add(StoreMove("unspill", 3.1, 0.1, 50))
    assert moves.take() == [
        StoreMove("spill", 1.0, 1.0, 200),
        StoreMove("spill", 3.0, 0.5, 100),
        StoreMove("unspill", 3.1, 0.1, 50),
    ]
    assert moves.take() == []


def test_many_moves_are_merged_and_no_byte_is_forgotten() -> None:
    moves = Moves()
    for number in range(1000):
        moves.add(StoreMove(("spill", "unspill")[number % 2], float(number), 0.1, 10))
    listed = moves.take()
    assert len(listed) == MOVES
    assert sum(move.nbytes for move in listed) == 10_000
    assert max(move.start + move.seconds for move in listed) == 999.1


def heartbeat(out: list[Any]) -> HostMetrics:
    """Return the metrics of the one heartbeat among instructions."""
    (metrics,) = [send.message.metrics for send in out if isinstance(send.message, Heartbeat)]
    assert isinstance(metrics, HostMetrics)
    return metrics


def test_a_heartbeat_carries_everything_since_the_one_before_and_only_once() -> None:
    stage = NannyStage(workers=2, settings=Settings(heartbeat_interval=0.5))
    stage.scheduler(make_compute("long", 3))
    spill = StoreMove("spill", 50.0, 0.1, 4096)
    stage.event(e.Measured(HostMetrics(time=50.0), {FIRST: [0], SECOND: [1]}, [spill]))
    stage.event(e.Transferred(TWO, 10, 0.5, 1))
    stage.event(e.Measured(HostMetrics(time=50.5, store_bytes=8), {FIRST: [0], SECOND: [1]}))
    assert heartbeat(stage.tick(0.6)) == HostMetrics(
        store_bytes=8,
        time=50.5,
        running=[RunningCall(SECOND, 0, Key("long"), "f", 50.0)],
        transfers=[TransferSummary(TWO, 10, 0.5, 1)],
        moves=[spill],
    )
    stage.returns(1, SECOND)
    assert heartbeat(stage.tick(0.6)) == HostMetrics(store_bytes=8, time=50.5)


def test_a_process_measures_itself() -> None:
    usage = Usage()
    assert sum(range(1_000_000)) > 0
    used = usage.measure(0.25)
    assert used.cpu > 0.1
    assert used.memory > 1e6
    assert used.fds > 2
    assert used.loop_lag == 0.25
    assert used.received >= 0.0
    assert used.sent >= 0.0
