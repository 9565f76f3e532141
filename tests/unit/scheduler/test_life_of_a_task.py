from __future__ import annotations

from himalia.messages.client import ReleaseKeys, ResultErred, ResultReady, RetryKeys, Submit
from himalia.messages.nanny import Compute, FreeData, TaskFinished
from himalia.messages.parts import Dependency, FunctionBody, TaskOptions, Timing
from himalia.names import HostId, Key, PeerId, WorkerName
from himalia.scheduler.state import ASSIGNED, ERRED, FINISHED, QUEUED, RELEASED, WAITING
from himalia.testing.stages.scheduler import FUNCTION, SchedulerStage, spec


def test_a_call_goes_to_the_host_with_its_function_and_its_result_to_the_client() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"))
    (_, body), (_, compute) = stage.take()
    assert body == FunctionBody(FUNCTION, b"body")
    assert isinstance(compute, Compute)
    assert (compute.key, compute.attempt, compute.call, compute.wanted) == ("x", 1, b"call", True)
    stage.finish("x", data=b"42")
    assert stage.take() == [("alice", ResultReady(Key("x"), 1, 8, "builtins.int", compute_holders(stage), b"42"))]


def compute_holders(stage: SchedulerStage) -> tuple[HostId, ...]:
    return tuple(stage.machine.hosts)


def test_a_function_is_sent_to_a_host_once() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"), spec("y"))
    assert len(stage.taken(FunctionBody)) == 1


def test_a_dependent_waits_for_its_input_and_is_told_where_it_is() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x", wanted=False), spec("y", "x"))
    assert (stage.status("x"), stage.status("y")) == (ASSIGNED, WAITING)
    stage.finish("x")
    (_, compute) = stage.taken(Compute)[-1]
    assert compute.key == "y"
    assert compute.dependencies == (Dependency(Key("x"), 1, 8, ()),)


def test_an_input_that_only_its_dependent_needed_is_freed_when_that_is_done() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x", wanted=False), spec("y", "x"))
    stage.finish("x")
    stage.take()
    stage.finish("y")
    assert stage.taken(FreeData) == [("a", FreeData([(Key("x"), 1)]))]
    assert stage.status("x") is RELEASED  # kept as the recipe of y's input


def test_releasing_the_last_future_forgets_everything() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x", wanted=False), spec("y", "x"))
    stage.finish("x")
    stage.finish("y")
    stage.message("alice", ReleaseKeys([Key("y")]))
    assert not stage.machine.tasks
    assert stage.machine.state.hosts[next(iter(stage.machine.hosts))].held == {}


def test_an_unneeded_task_of_a_graph_is_not_computed() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x", wanted=False))
    assert stage.taken(Compute) == []
    assert not stage.machine.tasks


def test_a_submission_in_several_messages_is_kept_together() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x", wanted=False), last=False)
    assert stage.status("x") is RELEASED
    stage.submit("alice", spec("y", "x"))
    assert stage.status("x") is ASSIGNED


def test_roots_are_held_back_and_taken_in_priority_order() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", *[spec(f"x-{i}", order=i) for i in range(20)])
    assert len(stage.assigned()) < 20
    stage.submit("alice", spec("urgent", options=TaskOptions(priority=10.0)), batch=2)
    assert stage.status("urgent") is QUEUED
    for key in list(stage.assigned()):
        stage.finish(key)
        if stage.status("urgent") is ASSIGNED:
            break
    assert stage.status("urgent") is ASSIGNED
    assert sum(stage.status(f"x-{i}") is FINISHED for i in range(20)) < 20


def test_a_long_known_duration_leaves_the_queue_ahead_empty() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x-0"))
    stage.finish("x-0")  # half a second
    stage.submit("alice", *[spec(f"x-{i}") for i in range(1, 9)], batch=2)
    assert len(stage.assigned()) == 1


def test_an_exception_errs_the_task_and_its_dependents() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x", wanted=False), spec("y", "x"))
    stage.fail("x")
    assert (stage.status("x"), stage.status("y")) == (ERRED, ERRED)
    ((_, erred),) = stage.taken(ResultErred)
    assert (erred.key, erred.error.key, erred.error.attempts) == ("y", "x", 1)


def test_retries_are_used_up_before_the_task_errs() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x", options=TaskOptions(retries=2)))
    stage.fail("x")
    stage.fail("x")
    assert stage.status("x") is ASSIGNED
    stage.fail("x")
    ((_, erred),) = stage.taken(ResultErred)
    assert erred.error.attempts == 3


def test_submitting_a_dependent_of_an_erred_task_errs_at_once() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"))
    stage.fail("x")
    stage.take()
    stage.submit("alice", spec("y", "x"), batch=2)
    assert stage.taken(ResultErred)[0][1].error.key == "x"


def test_an_unknown_input_is_named_in_the_error() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("y", "nowhere"))
    ((_, erred),) = stage.taken(ResultErred)
    assert erred.error.kind == "lost"
    assert "nowhere" in erred.error.text
    stage.message("alice", ReleaseKeys([Key("y")]))
    assert not stage.machine.tasks


def test_retry_computes_the_root_cause_again() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x", wanted=False), spec("y", "x"))
    stage.fail("x")
    stage.message("alice", RetryKeys([Key("y")]))
    assert (stage.status("x"), stage.status("y")) == (ASSIGNED, WAITING)


def test_a_key_submitted_again_is_computed_once() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"))
    stage.submit("bob", spec("x"))
    assert len(stage.taken(Compute)) == 1
    stage.finish("x", data=b"1")
    assert {peer for peer, _ in stage.taken(ResultReady)} == {"alice", "bob"}


def test_a_released_result_is_computed_again_when_it_is_wanted_again() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"))
    first = stage.task("x").attempt
    stage.message("alice", ReleaseKeys([Key("x")]))
    stage.submit("alice", spec("x"), batch=2)
    second = stage.task("x").attempt
    assert second > first
    stage.message("a", TaskFinished(Key("x"), first, WorkerName("a-0"), 8, "int", stage_timing(), b"old"))
    assert stage.status("x") is ASSIGNED  # the late result of the first attempt was not taken for the second's


def stage_timing() -> Timing:
    return Timing(1.0, 0.0, 0.0, 0.0)


def test_a_chain_of_100000_is_no_recursion() -> None:
    stage = SchedulerStage("a")
    specs = [spec("x-0", wanted=False)]
    specs += [spec(f"x-{i}", f"x-{i - 1}", wanted=i == 99_999) for i in range(1, 100_000)]
    handle = stage.machine.handle
    handle(Submit(1, specs), now=0.0, source=PeerId("alice"))
    assert stage.status("x-0") is ASSIGNED
    handle(ReleaseKeys([Key("x-99999")]), now=0.0, source=PeerId("alice"))
    assert not stage.machine.tasks
