from __future__ import annotations

from himalia.machine import Ticked
from himalia.messages.answers import Reply
from himalia.messages.client import CancelKeys, DataPlaced, Explain
from himalia.messages.nanny import Compute, Withdraw, Withdrawn, WorkerDied, WorkerStarted
from himalia.messages.parts import TaskOptions
from himalia.names import HostId, Key, PeerId, WorkerName
from himalia.scheduler.state import ASSIGNED, QUEUED
from himalia.testing.stages.scheduler import SchedulerStage, spec


def test_roots_are_spread_over_idle_hosts() -> None:
    stage = SchedulerStage("a", "b", "c")
    stage.submit("alice", spec("x"), spec("y"), spec("z"))
    assert sorted(stage.assigned().values()) == ["a", "b", "c"]


def test_a_call_goes_where_its_large_input_is() -> None:
    stage = SchedulerStage("a", "b")
    stage.message("alice", DataPlaced(Key("big"), "data", HostId(PeerId("b")), 10**9, "bytes", True, attempt=-1))
    stage.submit("alice", spec("y-0", "big"), spec("y-1", "big"))
    assert set(stage.assigned().values()) == {"b"}


def test_a_small_input_is_moved_to_an_idle_host() -> None:
    stage = SchedulerStage("a", "b")
    stage.message("alice", DataPlaced(Key("small"), "data", HostId(PeerId("b")), 10, "bytes", True, attempt=-1))
    stage.submit("alice", *[spec(f"y-{i}", "small", order=i) for i in range(4)])
    assert set(stage.assigned().values()) == {"a", "b"}


def test_a_named_worker_gets_its_call_and_no_other_does() -> None:
    stage = SchedulerStage()
    stage.add_host("a", workers=2)
    stage.submit("alice", *[spec(f"x-{i}", options=TaskOptions(workers=("a-1",))) for i in range(3)])
    computes = [compute for _, compute in stage.taken(Compute)]
    assert {compute.worker for compute in computes} == {"a-1"}
    assert len(computes) == 2  # one more than it has threads


def test_a_resource_is_never_taken_twice() -> None:
    stage = SchedulerStage()
    stage.add_host("a", workers=2, nthreads=4)
    stage.add_host("b", workers=1, nthreads=4, GPU=2)
    gpu = TaskOptions(resources={"GPU": 1})
    stage.submit("alice", *[spec(f"x-{i}", options=gpu) for i in range(5)])
    assert list(stage.assigned().values()) == ["b", "b"]
    stage.finish(next(iter(stage.assigned())))
    assert len(stage.assigned()) == 2


def test_a_resource_comes_back_when_its_call_is_cancelled() -> None:
    stage = SchedulerStage()
    stage.add_host("a", GPU=1)
    gpu = TaskOptions(resources={"GPU": 1})
    stage.submit("alice", spec("x", options=gpu), spec("y", options=gpu))
    stage.message("alice", CancelKeys([Key("x")]))
    assert stage.status("y") is QUEUED
    stage.message("a", Withdrawn(Key("x"), 1, started=False))
    assert stage.status("y") is ASSIGNED


def test_what_nobody_offers_is_explained() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x", options=TaskOptions(resources={"GPU": 1})))
    assert stage.status("x") is QUEUED
    stage.take()
    stage.message("alice", Explain(1, Key("x")))
    ((_, reply),) = stage.taken(Reply)
    assert "the only worker doesn't offer it" in str(reply.value)
    stage.add_host("b", GPU=1)
    assert stage.assigned()["x"] == "b"


def test_allow_other_workers_makes_it_a_wish() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x", options=TaskOptions(workers=("nobody",), allow_other_workers=True)))
    assert stage.assigned()["x"] == "a"


def test_a_call_bound_to_a_worker_that_died_waits_for_its_successor() -> None:
    stage = SchedulerStage()
    stage.add_host("a", workers=2)
    bound = TaskOptions(workers=("a-1",))
    stage.submit("alice", spec("x", options=bound), spec("y", options=bound))
    host = stage.machine.hosts[HostId(PeerId("a"))]
    info = host.workers[WorkerName("a-1")].info
    running = [(Key("x"), stage.task("x").attempt)]
    stage.message("a", WorkerDied(info.name, "exit code 1", running, True, []))
    assert (stage.status("x"), stage.status("y")) == (QUEUED, QUEUED)
    stage.message("a", WorkerStarted(info))
    assert (stage.status("x"), stage.status("y")) == (ASSIGNED, ASSIGNED)


def test_an_idle_host_steals_a_long_call_that_has_not_started() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x-0"), spec("x-1"), spec("x-2"))
    assert len(stage.assigned()) == 3
    stage.take()
    stage.add_host("b")
    stage.event(Ticked())
    ((victim, withdraw),) = stage.taken(Withdraw)
    assert (victim, withdraw.interrupt) == ("a", False)
    stage.message("a", Withdrawn(withdraw.key, withdraw.attempt, started=False))
    assert stage.assigned()[withdraw.key] == "b"


def test_a_call_that_has_started_stays_where_it_is() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x-0"), spec("x-1"))
    stage.take()
    stage.add_host("b")
    ((_, withdraw),) = stage.taken(Withdraw)
    stage.message("a", Withdrawn(withdraw.key, withdraw.attempt, started=True))
    stage.event(Ticked())
    assert stage.taken(Withdraw) == []
    assert stage.assigned()[withdraw.key] == "a"


def test_a_host_of_the_same_name_is_another_host() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"))
    first = stage.task("x").attempt
    stage.add_host("a")  # the same process in a new session, which lost what it was told
    assert stage.task("x").attempt > first
