from __future__ import annotations

from himalia.messages.answers import CallSpec, Reply
from himalia.messages.client import DataPlaced, GetSpec, ReleaseKeys, ResultReady, WantKeys
from himalia.names import HostId, Key
from himalia.scheduler.machine import TRANSITIONS
from himalia.testing.stages.scheduler import FUNCTION, SchedulerStage, spec


def ask(stage: SchedulerStage, key: str) -> Reply:
    stage.take()
    stage.message("alice", GetSpec(5, Key(key)))
    [(peer, reply)] = stage.taken(Reply)
    assert (peer, reply.request) == ("alice", 5)
    return reply


def test_a_failed_call_is_described_so_that_it_can_be_repeated() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x", wanted=False), spec("y", "x"))
    stage.finish("x")
    stage.fail("y")
    reply = ask(stage, "y")
    assert reply.value == CallSpec(b"body", b"call", "", (Key("x"),))
    assert GetSpec in TRANSITIONS and FUNCTION in stage.machine.state.functions


def test_the_root_of_a_failure_is_known_as_long_as_somebody_wants_what_depends_on_it() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x", wanted=False), spec("y", "x"))
    stage.fail("x")
    assert ask(stage, "x").value == CallSpec(b"body", b"call", "", ())
    stage.message("alice", ReleaseKeys([Key("y")]))
    assert "not known to the scheduler any more" in ask(stage, "x").error


def test_inputs_that_were_freed_are_computed_again_for_whoever_asks() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x", wanted=False), spec("y", "x"))
    stage.finish("x")
    stage.fail("y")
    stage.take()
    stage.message("alice", WantKeys([Key("x")]))
    stage.finish("x")
    assert [peer for peer, message in stage.taken(ResultReady) if message.key == "x"] == ["alice"]


def test_placed_data_have_no_call() -> None:
    stage = SchedulerStage("a")
    stage.message("alice", DataPlaced(Key("d"), "d", HostId("a"), 8, "int", True, -1))  # type: ignore[arg-type]
    assert "not computed" in ask(stage, "d").error
