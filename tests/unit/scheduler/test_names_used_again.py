from __future__ import annotations

from himalia.messages.client import DataPlaced, KeyTaken, ResultErred, ResultPending, ResultReady, RetryKeys, WantKeys
from himalia.messages.parts import TaskOptions, TaskSpec
from himalia.names import Key
from himalia.scheduler.state import ASSIGNED, ERRED, FINISHED
from himalia.testing.builders import make_placed
from himalia.testing.stages.scheduler import SchedulerStage, spec


def named(key: str, origin: str, *inputs: str) -> TaskSpec:
    return spec(key, *inputs, options=TaskOptions(origin=origin))


def test_another_call_of_a_key_in_use_is_told_and_the_same_call_is_not() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", named("k", "f 1"))
    stage.take()
    stage.submit("bob", named("k", "f 1"))
    assert stage.taken(KeyTaken) == []
    stage.submit("bob", named("k", "g 1"))
    assert stage.taken(KeyTaken) == [("bob", KeyTaken(Key("k"), "f 1", "g 1"))]


def test_a_key_whose_name_says_what_it_is_is_compared_with_nothing() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("k"))
    stage.submit("bob", named("k", "g 1"))
    stage.submit("bob", spec("k"))
    assert stage.taken(KeyTaken) == []


def test_another_value_for_a_name_in_use_is_told_and_dropped() -> None:
    stage = SchedulerStage("a")
    for client, origin, attempt in (("alice", "int 1", -1), ("bob", "int 1", -2), ("bob", "int 2", -3)):
        stage.message(client, stage_placed("k", origin, attempt))
    assert stage.taken(KeyTaken) == [("bob", KeyTaken(Key("k"), "int 1", "int 2"))]
    assert stage.status("k") is FINISHED


def stage_placed(key: str, origin: str, attempt: int) -> DataPlaced:
    return DataPlaced(Key(key), "data", make_placed(key, "a").host, 8, "int", True, attempt, origin)


def lose(stage: SchedulerStage, key: str) -> None:
    """Place a value for alice at a host that isn't there (any more)."""
    stage.message("alice", make_placed(key, "gone"))
    assert stage.status(key) is ERRED
    stage.take()


def test_placed_data_that_were_lost_make_room_for_a_call_of_their_name() -> None:
    stage = SchedulerStage("a")
    lose(stage, "k")
    stage.submit("alice", spec("k"))
    assert stage.status("k") is ASSIGNED
    stage.finish("k", data=b"42")
    assert [message.data for _, message in stage.taken(ResultReady)] == [b"42"]


def test_others_who_wanted_the_lost_data_are_told_that_the_name_is_computed() -> None:
    stage = SchedulerStage("a")
    lose(stage, "k")
    stage.message("bob", WantKeys([Key("k")]))
    stage.take()
    stage.submit("alice", spec("k"))
    assert stage.taken(ResultPending) == [("bob", ResultPending(Key("k")))]


def test_an_input_that_did_not_exist_can_be_submitted_later() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("y", "x"))
    assert (stage.status("x"), stage.status("y")) == (ERRED, ERRED)
    stage.submit("alice", spec("x"), batch=2)
    stage.finish("x")
    stage.message("alice", RetryKeys([Key("y")]))
    stage.finish("y")
    assert stage.status("y") is FINISHED


def test_a_name_that_was_lost_is_not_given_to_a_call_that_needs_it() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("y", "x"))
    stage.submit("alice", spec("z", "y"), batch=2)
    stage.take()
    stage.submit("alice", spec("x", "z"), batch=3)
    ((_, refused),) = stage.taken(ResultErred)
    assert refused.error.kind == "refused"
    assert stage.status("x") is ERRED
