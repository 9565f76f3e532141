from __future__ import annotations

import msgspec
import pytest

from himalia.machine import Ticked
from himalia.messages.answers import CaughtUp, Reply, Restarted, TaskView
from himalia.messages.client import CatchUp, DescribeTask, FollowTelemetry, ReleaseKeys, Restart, Submit, Telemetry
from himalia.messages.nanny import RestartWorkers
from himalia.messages.parts import Timing
from himalia.messages.telemetry import TaskCounts, TaskRecord
from himalia.names import ClientId, HostId, Key, PeerId
from himalia.scheduler.state import GROUPS
from himalia.testing.stages.scheduler import SchedulerStage, spec


def tick(stage: SchedulerStage, seconds: float = 1.0) -> list[tuple[str, Telemetry]]:
    stage.now += seconds
    stage.event(Ticked())
    return stage.taken(Telemetry)


def run(stage: SchedulerStage, *keys: str, client: str = "alice", batch: int = 1, span: str = "") -> None:
    stage.message(client, Submit(batch, [spec(key, order=index) for index, key in enumerate(keys)], True, span))
    for key in keys:
        stage.finish(key)
    stage.take()


def log(stage: SchedulerStage, count: int) -> None:
    """Let so many calls have ended, without the tasks, which the stage would check after each event."""
    for number in range(count):
        row = (Key(f"f-{number}"), "f", HostId(PeerId("a")), "a-0", "ok", Timing(1.0, 0.0, 0.5, 0.0), 8)
        stage.machine.state.log.add(row)


def keys(push: Telemetry) -> list[str]:
    packed = [record for block in push.blocks for record in msgspec.msgpack.decode(block, type=list[TaskRecord])]
    return [record.key for record in [*push.records, *packed]]


@pytest.mark.parametrize("full", [False, True])
def test_the_first_push_tells_what_is_known_and_later_ones_what_changed(full: bool) -> None:
    stage = SchedulerStage("a")
    run(stage, "f-1")
    stage.message("alice", FollowTelemetry(0.5, full))
    [(peer, first)] = tick(stage)
    assert (peer, keys(first), [group.name for group in first.groups], list(first.hosts)) == ("alice", [], ["f"], ["a"])
    assert [event.kind for event in first.events] == ["host-joined", "worker-started"]
    [(_, rest)] = tick(stage)
    assert (rest.groups, rest.hosts, rest.events, keys(rest)) == ([], {}, [], [])
    run(stage, "f-2", "g-1", batch=2)
    [(_, push)] = tick(stage)
    assert keys(push) == ["f-2", "g-1"]
    assert {group.name: group.finished for group in push.groups} == {"f": 2, "g": 1}
    assert (push.status.total, push.status.tasks) == (3, 3)


@pytest.mark.parametrize("full", [False, True])
def test_a_follower_may_begin_with_the_calls_that_ended_before(full: bool) -> None:
    stage = SchedulerStage("a")
    run(stage, "f-1", "f-2")
    stage.message("alice", FollowTelemetry(0.5, full, past=True))
    [(_, first)] = tick(stage)
    assert keys(first) == ["f-1", "f-2"]
    run(stage, "f-3", batch=2)
    [(_, push)] = tick(stage)
    assert keys(push) == ["f-3"]
    assert first.skipped + push.skipped == 0


def test_full_followers_get_the_same_bytes_and_miss_nothing() -> None:
    stage = SchedulerStage("a")
    for client in ("alice", "bob"):
        stage.message(client, FollowTelemetry(0.5, True))
    tick(stage)
    log(stage, 3000)
    (_, to_alice), (_, to_bob) = tick(stage)
    assert keys(to_alice) == [f"f-{number}" for number in range(3000)]
    assert [id(block) for block in to_alice.blocks] == [id(block) for block in to_bob.blocks]
    assert to_alice.skipped == 0


def test_a_follower_content_with_a_sample_is_told_how_many_were_left_out() -> None:
    stage = SchedulerStage("a")
    stage.message("alice", FollowTelemetry(0.5))
    tick(stage)
    log(stage, 5000)
    [(_, push)] = tick(stage)
    assert len(push.records) <= stage.machine.state.settings.telemetry_records
    assert len(push.records) + push.skipped == 5000


def test_nobody_is_pushed_to_sooner_than_asked_or_after_the_end() -> None:
    stage = SchedulerStage("a")
    stage.message("alice", FollowTelemetry(1.0))
    assert len(tick(stage)) == 1
    assert tick(stage, 0.5) == []
    assert len(tick(stage, 0.5)) == 1
    stage.message("alice", FollowTelemetry(0.0))
    assert tick(stage) == []
    stage.message("bob", FollowTelemetry(1.0))
    stage.leave("bob")
    assert tick(stage) == []


@pytest.mark.parametrize("full", [False, True])
def test_who_asks_for_it_is_pushed_at_once_all_that_ended_and_answered_after_that(full: bool) -> None:
    stage = SchedulerStage("a")
    stage.message("alice", FollowTelemetry(60.0, full))
    stage.message("bob", FollowTelemetry(60.0))
    tick(stage)
    run(stage, "f-1", "f-2")
    stage.message("alice", CatchUp(7))
    (to_first, first), (to_second, second) = stage.take()
    assert isinstance(first, Telemetry)
    assert (to_first, keys(first), [group.finished for group in first.groups]) == ("alice", ["f-1", "f-2"], [2])
    assert (to_second, second) == ("alice", Reply(7, CaughtUp(2)))
    stage.message("alice", CatchUp(8))
    (_, again), _ = stage.take()
    assert isinstance(again, Telemetry)
    assert (keys(again), again.groups) == ([], [])
    [(_, late), _] = tick(stage, 60.0)
    assert late.groups == []


def test_who_follows_nothing_and_asks_for_a_push_is_answered_only() -> None:
    stage = SchedulerStage("a")
    run(stage, "f-1")
    stage.message("bob", CatchUp(7))
    assert stage.take() == [("bob", Reply(7, CaughtUp(1)))]


def test_calls_are_counted_under_what_they_were_submitted_from() -> None:
    stage = SchedulerStage("a")
    run(stage, "f-1", "f-2", span="alice/1")
    run(stage, "f-3", batch=2, span="alice/2")
    run(stage, "f-4", client="bob")
    stage.message("bob", FollowTelemetry(0.5))
    [(_, push)] = tick(stage)
    assert {group.span: group.finished for group in push.groups} == {"alice/1": 2, "alice/2": 1, "bob": 1}
    groups = stage.machine.state.groups.values()
    assert len({id(group.pace) for group in groups}) == 1, "how long they take depends on the name alone"
    assert {group.client for group in groups} == {"alice", "bob"}


def test_held_bytes_of_a_group_follow_its_results() -> None:
    stage = SchedulerStage("a")
    run(stage, "f-1", "f-2")
    [group] = stage.machine.state.groups.values()
    assert (group.memory, group.peak) == (16, 16)
    stage.message("alice", ReleaseKeys([Key("f-1")]))
    assert (group.memory, group.peak) == (8, 16)
    stage.leave("a")
    assert group.memory == 0


def test_the_last_counts_of_a_group_are_told_although_it_was_dropped_before_the_push() -> None:
    stage = SchedulerStage("a")
    stage.message("alice", FollowTelemetry(0.5))
    stage.message("bob", FollowTelemetry(2.0))
    assert len(tick(stage)) == 2
    state = stage.machine.state
    for number in range(GROUPS):
        state.group(state.clients[ClientId(PeerId("alice"))], f"g{number}")
    run(stage, "f-1")
    stage.message("alice", ReleaseKeys([Key("f-1")]))
    assert tick(stage, 0.1) == []
    assert not state.groups
    [(_, push)] = tick(stage, 0.5)
    assert {group.name: group.finished for group in push.groups}["f"] == 1
    [(_, push)] = tick(stage, 0.6)
    assert push.groups == [], "once is enough"
    [_, (peer, push)] = tick(stage)
    assert (peer, {group.name: group.finished for group in push.groups}["f"]) == ("bob", 1)


def test_failed_calls_are_told_by_their_cause() -> None:
    stage = SchedulerStage("a")
    stage.message("alice", FollowTelemetry(0.5))
    tick(stage)
    stage.submit("alice", spec("f-1"), spec("f-2"), spec("g-1"))
    for key in ("f-1", "f-2", "g-1"):
        stage.fail(key)
    stage.take()
    [(_, push)] = tick(stage)
    assert {error.group: error.count for error in push.errors} == {"f": 2, "g": 1}


def test_a_task_is_described_with_its_neighbours_and_what_happened_to_it() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"), spec("y", "x"))
    stage.die("x")
    stage.take()
    stage.message("alice", DescribeTask(1, Key("x")))
    stage.message("alice", DescribeTask(2, Key("nobody")))
    [(_, known), (_, unknown)] = stage.taken(Reply)
    assert isinstance(known.value, TaskView) and isinstance(unknown.value, TaskView)
    assert (known.value.status, known.value.dependents) == ("assigned", [("y", "waiting")])
    assert [kind for _, kind, _ in known.value.events] == ["retried"]
    assert unknown.value.status == "unknown"
    assert "never submitted" in unknown.value.why


def test_workers_that_are_named_are_replaced_and_nothing_is_forgotten() -> None:
    stage = SchedulerStage("a", "b")
    run(stage, "f-1")
    stage.message("alice", Restart(7, ["a-0", "nobody"]))
    [(peer, order)] = stage.taken(RestartWorkers)
    assert (peer, order.workers) == ("a", ["a-0"])
    stage.message("a", Reply(order.request, Restarted()))
    [(_, reply)] = stage.taken(Reply)
    assert isinstance(reply.value, Restarted)
    assert "no worker 'nobody'" in reply.value.workers["nobody"]
    assert stage.status("f-1") is not None


def test_totals_of_a_push_are_those_of_its_groups() -> None:
    stage = SchedulerStage("a")
    stage.message("bob", FollowTelemetry(0.25))
    for number in range(3):
        stage.submit("alice", spec(f"inc-{number}"), batch=number + 1)
        stage.finish(f"inc-{number}")
        stage.now += 1.0
        stage.take()
        stage.event(Ticked())
        ((_, push),) = stage.taken(Telemetry)
        assert push.status.counts == TaskCounts(done=number + 1) == push.groups[0].counts
