from __future__ import annotations

from himalia.machine import PeerJoined
from himalia.messages.answers import Reply, Restarted
from himalia.messages.client import CancelKeys, ReleaseKeys, Restart, ResultCancelled
from himalia.messages.nanny import FreeData, RestartWorkers, TaskFinished, Withdraw, Withdrawn
from himalia.messages.telemetry import TaskCounts
from himalia.names import Key, PeerId, WorkerName
from himalia.scheduler.overview import count_clients, summarize
from himalia.scheduler.state import ASSIGNED, QUEUED, count_all
from himalia.testing.stages.scheduler import TIMING, SchedulerStage, spec


def test_cancelling_withdraws_the_call_and_tells_the_client() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"))
    stage.take()
    stage.message("alice", CancelKeys([Key("x")]))
    assert stage.take() == [
        ("alice", ResultCancelled(Key("x"), "cancelled")),
        ("a", Withdraw(Key("x"), 1, True)),
    ]
    assert not stage.machine.tasks


def test_a_withdrawn_call_occupies_its_thread_until_the_host_says_otherwise() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("slow-0"))
    stage.finish("slow-0")
    stage.submit("alice", spec("slow-1"), batch=2)
    stage.message("alice", CancelKeys([Key("slow-1")]))
    stage.submit("alice", spec("slow-2"), batch=3)
    assert stage.status("slow-2") is QUEUED
    stage.message("a", Withdrawn(Key("slow-1"), 2, started=False))
    assert stage.status("slow-2") is ASSIGNED


def test_cancelling_takes_dependents_along() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"), spec("y", "x"), spec("z", "y"))
    stage.message("alice", CancelKeys([Key("x")]))
    assert [message.key for _, message in stage.taken(ResultCancelled)] == ["x", "y", "z"]
    assert not stage.machine.tasks


def test_inputs_are_interrupted_too_whatever_is_named_first() -> None:
    for keys in (["x", "y"], ["y", "x"], ["y"]):
        stage = SchedulerStage("a")
        stage.submit("alice", spec("x", wanted="x" in keys), spec("y", "x"))
        stage.take()
        stage.message("alice", CancelKeys([Key(key) for key in keys]))
        assert [message for _, message in stage.taken(Withdraw)] == [Withdraw(Key("x"), 1, True)], keys
        assert not stage.machine.tasks


def test_what_another_client_wants_goes_on() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"))
    stage.submit("bob", spec("x"))
    stage.take()
    stage.message("alice", CancelKeys([Key("x")]))
    assert stage.take() == [("alice", ResultCancelled(Key("x"), "cancelled"))]
    assert stage.status("x") is ASSIGNED


def test_force_stops_what_another_client_wants() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"))
    stage.submit("bob", spec("x"))
    stage.message("alice", CancelKeys([Key("x")], force=True, reason="why not"))
    assert {peer for peer, _ in stage.taken(ResultCancelled)} == {"alice", "bob"}
    assert not stage.machine.tasks


def test_the_late_result_of_a_cancelled_call_is_freed() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"))
    stage.message("alice", CancelKeys([Key("x")]))
    stage.take()
    stage.message("a", TaskFinished(Key("x"), 1, WorkerName("a-0"), 8, "int", TIMING))
    assert stage.take() == [("a", FreeData([(Key("x"), 1)]))]


def test_a_client_that_leaves_takes_its_wishes_along() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x", wanted=False), spec("y", "x"), spec("z", "y"))
    stage.finish("x")
    stage.leave("alice")
    assert not stage.machine.tasks
    stage.leave("bob")
    assert not stage.machine.state.functions


def test_restart_cancels_everything_and_answers_when_every_host_did() -> None:
    stage = SchedulerStage("a", "b")
    stage.submit("alice", spec("x"))
    stage.submit("bob", spec("y"))
    stage.take()
    stage.message("alice", Restart(request=7))
    sent = stage.take()
    assert {peer for peer, message in sent if isinstance(message, ResultCancelled)} == {"alice", "bob"}
    numbers = {peer: message.request for peer, message in sent if isinstance(message, RestartWorkers)}
    stage.message("a", Reply(numbers["a"], Restarted()))
    assert stage.take() == []
    stage.message("b", Reply(numbers["b"], Restarted()))
    assert stage.take() == [("alice", Reply(7, Restarted()))]


def test_what_a_cancelled_call_took_is_told_and_that_it_still_runs_until_then() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("slow-0"))
    (group,) = stage.machine.state.groups.values()
    stage.message("alice", CancelKeys([Key("slow-0")]))
    assert (summarize(group).counts, summarize(group).stopping) == (TaskCounts(cancelled=1), 1)
    stage.message("a", Withdrawn(Key("slow-0"), 1, started=False, seconds=2.5))
    told = summarize(group)
    assert (told.stopping, told.wasted, told.occupied, told.compute) == (0, 2.5, 2.5, 0.0)


def test_what_was_done_before_it_was_let_go_of_or_cancelled_is_done() -> None:
    stage = SchedulerStage("a", "b")
    stage.submit("alice", spec("x"), spec("y", "x"))
    stage.finish("x")
    stage.finish("y")
    stage.message("alice", ReleaseKeys([Key("x")]))
    state = stage.machine.state
    assert count_all(state) == TaskCounts(done=2)
    stage.message("alice", CancelKeys([Key("y")]))
    assert count_all(state) == TaskCounts(done=2)


def test_counts_of_groups_that_were_dropped_stay_in_the_totals() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"), spec("bad"), spec("slow"))
    stage.finish("x")
    stage.fail("bad")
    stage.message("alice", CancelKeys([Key("slow")]))
    stage.message("alice", ReleaseKeys([Key("x"), Key("bad")]))
    state = stage.machine.state
    state.forget_idle_groups()
    assert not state.groups
    assert count_all(state) == TaskCounts(done=1, failed=1, cancelled=1)


def test_who_only_looks_on_is_no_client() -> None:
    stage = SchedulerStage("a")
    stage.event(PeerJoined(PeerId("control-0123456789abcdef"), "client"))
    assert count_clients(stage.machine.state) == 2
