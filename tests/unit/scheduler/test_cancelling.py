from __future__ import annotations

import himalia.messages as m
from himalia.names import Key, WorkerName
from himalia.scheduler.state import ASSIGNED, QUEUED
from tests.unit.scheduler.stage import TIMING, Stage, spec


def test_cancelling_withdraws_the_call_and_tells_the_client() -> None:
    stage = Stage("a")
    stage.submit("alice", spec("x"))
    stage.take()
    stage.message("alice", m.CancelKeys([Key("x")]))
    assert stage.take() == [
        ("alice", m.ResultCancelled(Key("x"), "cancelled")),
        ("a", m.Withdraw(Key("x"), 1, True)),
    ]
    assert not stage.machine.tasks


def test_a_withdrawn_call_occupies_its_thread_until_the_host_says_otherwise() -> None:
    stage = Stage("a")
    stage.submit("alice", spec("slow-0"))
    stage.finish("slow-0")
    stage.submit("alice", spec("slow-1"), batch=2)
    stage.message("alice", m.CancelKeys([Key("slow-1")]))
    stage.submit("alice", spec("slow-2"), batch=3)
    assert stage.status("slow-2") is QUEUED
    stage.message("a", m.Withdrawn(Key("slow-1"), 2, started=False))
    assert stage.status("slow-2") is ASSIGNED


def test_cancelling_takes_dependents_along() -> None:
    stage = Stage("a")
    stage.submit("alice", spec("x"), spec("y", "x"), spec("z", "y"))
    stage.message("alice", m.CancelKeys([Key("x")]))
    assert [message.key for _, message in stage.taken(m.ResultCancelled)] == ["x", "y", "z"]
    assert not stage.machine.tasks


def test_what_another_client_wants_goes_on() -> None:
    stage = Stage("a")
    stage.submit("alice", spec("x"))
    stage.submit("bob", spec("x"))
    stage.take()
    stage.message("alice", m.CancelKeys([Key("x")]))
    assert stage.take() == [("alice", m.ResultCancelled(Key("x"), "cancelled"))]
    assert stage.status("x") is ASSIGNED


def test_force_stops_what_another_client_wants() -> None:
    stage = Stage("a")
    stage.submit("alice", spec("x"))
    stage.submit("bob", spec("x"))
    stage.message("alice", m.CancelKeys([Key("x")], force=True, reason="why not"))
    assert {peer for peer, _ in stage.taken(m.ResultCancelled)} == {"alice", "bob"}
    assert not stage.machine.tasks


def test_the_late_result_of_a_cancelled_call_is_freed() -> None:
    stage = Stage("a")
    stage.submit("alice", spec("x"))
    stage.message("alice", m.CancelKeys([Key("x")]))
    stage.take()
    stage.message("a", m.TaskFinished(Key("x"), 1, WorkerName("a-0"), 8, "int", TIMING))
    assert stage.take() == [("a", m.FreeData([(Key("x"), 1)]))]


def test_a_client_that_leaves_takes_its_wishes_along() -> None:
    stage = Stage("a")
    stage.submit("alice", spec("x", wanted=False), spec("y", "x"), spec("z", "y"))
    stage.finish("x")
    stage.leave("alice")
    assert not stage.machine.tasks
    stage.leave("bob")
    assert not stage.machine.core.functions


def test_restart_cancels_everything_and_answers_when_every_host_did() -> None:
    stage = Stage("a", "b")
    stage.submit("alice", spec("x"))
    stage.submit("bob", spec("y"))
    stage.take()
    stage.message("alice", m.Restart(request=7))
    sent = stage.take()
    assert {peer for peer, message in sent if isinstance(message, m.ResultCancelled)} == {"alice", "bob"}
    numbers = {peer: message.request for peer, message in sent if isinstance(message, m.RestartWorkers)}
    stage.message("a", m.Reply(numbers["a"]))
    assert stage.take() == []
    stage.message("b", m.Reply(numbers["b"]))
    assert stage.take() == [("alice", m.Reply(7, {}))]
