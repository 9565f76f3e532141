from __future__ import annotations

from typing import Any

from himalia.messages.answers import ClusterInfo, HostView
from himalia.messages.client import Telemetry
from himalia.messages.parts import TaskError
from himalia.messages.telemetry import ErrorSummary, GroupSummary, HostMetrics
from himalia.names import HostId, Key, PeerId
from himalia.telemetry.errors import CAUSES
from himalia.telemetry.snapshot import GROUPS, Snapshot


def push(*groups: GroupSummary, **facts: Any) -> Telemetry:
    return Telemetry(1.0, list(groups), [], 0, facts.pop("hosts", {}), **facts)


def failed(number: int, count: int = 1) -> ErrorSummary:
    return ErrorSummary(f"cause-{number}", TaskError("exception", Key("x"), "ValueError: no"), "f", count)


def test_the_newest_of_everything_is_told_at_once() -> None:
    snapshot = Snapshot()
    snapshot.take(push(GroupSummary("f", finished=1), GroupSummary("g"), hosts=dict.fromkeys("ab", HostMetrics())))
    snapshot.take(push(GroupSummary("f", finished=2), errors=[failed(1)]))
    snapshot.take(push(errors=[failed(1, count=2)]))
    snapshot.take_info(ClusterInfo(hosts={HostId(PeerId("b")): HostView("")}))
    told = snapshot.telemetry()
    assert [(group.name, group.finished) for group in told.groups] == [("f", 2), ("g", 0)]
    assert [error.count for error in told.errors] == [2]
    assert list(told.hosts) == ["b"]


def test_it_is_bounded_and_keeps_what_still_has_tasks_and_what_failed_last() -> None:
    snapshot = Snapshot()
    snapshot.take(push(GroupSummary("busy", tasks=1), errors=[failed(0)]))
    snapshot.take(push(*[GroupSummary(f"f{number}") for number in range(GROUPS)]))
    snapshot.take(push(errors=[failed(number) for number in range(1, CAUSES)]))
    snapshot.take(push(errors=[failed(0), failed(CAUSES)]))
    told = snapshot.telemetry()
    assert len(told.groups) == GROUPS
    assert (told.groups[0].name, told.groups[-1].name) == ("busy", f"f{GROUPS - 1}")
    assert [error.id for error in told.errors][-2:] == ["cause-0", f"cause-{CAUSES}"]
    assert len(told.errors) == CAUSES
