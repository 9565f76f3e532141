from __future__ import annotations

from himalia.messages.answers import TelemetryReport
from himalia.messages.client import Telemetry
from himalia.messages.parts import Timing
from himalia.messages.telemetry import GroupSummary, SchedulerStatus, TaskCounts, TaskRecord
from himalia.names import HostId, Key, PeerId
from himalia.telemetry.baseline import Baseline, before


def record(key: str, *, status: str = "ok", group: str = "f") -> TaskRecord:
    timing = Timing(100.0, 0.125, 1.0, 0.25, transfer=0.5, moved=8)
    return TaskRecord(Key(key), group, HostId(PeerId("h")), "w-0", status, timing, 16)


def summary(
    done: int, *, failed: int = 0, span: str = "c/1", waiting: int = 0, duration: float = 1.375
) -> GroupSummary:
    return GroupSummary(
        "f", span, waiting=waiting, finished=done, done=done, failed=failed, erred=failed, compute=1.0 * done,
        transfer=0.5 * done, deserialize=0.125 * done, serialize=0.25 * done, nbytes=16 * done, moved=8 * done,
        wasted=1.375 * failed, duration=duration,
    )  # fmt: skip


def test_what_stood_before_some_calls_is_what_stands_now_less_them() -> None:
    records = [record("f-1"), record("f-2"), record("f-3", status="error")]
    found = before(
        TelemetryReport([summary(5, failed=2, waiting=1)], records, 7, TaskCounts(waiting=1, done=5, failed=2))
    )
    assert found.groups == [summary(3, failed=1, waiting=1)]
    assert found.status == SchedulerStatus(total=4, counts=TaskCounts(waiting=1, done=3, failed=1))


def test_calls_are_taken_off_the_newest_cells_first() -> None:
    groups = [summary(4, span="c/1"), summary(2, span="c/2")]
    found = before(TelemetryReport(groups, [record(f"f-{number}") for number in range(3)], 6))
    assert found.groups == [summary(3, span="c/1"), summary(0, span="c/2")]


def test_a_task_that_was_tried_again_counts_where_it_ended() -> None:
    records = [record("f-1", status="error"), record("f-1")]
    found = before(TelemetryReport([summary(1)], records, 2, TaskCounts(done=1)))
    assert found.status.counts == TaskCounts()


def test_a_source_that_numbers_no_calls_has_no_before() -> None:
    assert before(TelemetryReport([summary(5)], [])) == Telemetry(0.0, [], [], 0, {})


def test_what_is_told_later_is_counted_from_there() -> None:
    then = Telemetry(0.0, [summary(3, failed=1)], [], 0, {}, status=SchedulerStatus(total=4, counts=TaskCounts(done=3)))
    now = SchedulerStatus(total=9, tasks=2, counts=TaskCounts(waiting=2, done=8))
    new = summary(1, span="c/2")
    found = Baseline(then).since(Telemetry(1.0, [summary(8, failed=1, waiting=2), new], [], 0, {}, status=now))
    assert found.groups == [summary(5, waiting=2), new]
    assert found.status == SchedulerStatus(total=5, tasks=2, counts=TaskCounts(waiting=2, done=5))


def test_nothing_falls_below_nothing_and_a_group_that_began_anew_counts_from_there() -> None:
    baseline = Baseline(Telemetry(0.0, [summary(3, failed=2)], [], 0, {}))
    (retried, anew) = (summary(4, failed=1), summary(1))
    told = baseline.since(Telemetry(1.0, [retried, anew], [], 0, {}))
    assert [(group.done, group.erred) for group in told.groups] == [(1, 0), (1, 0)]
