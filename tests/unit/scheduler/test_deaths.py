from __future__ import annotations

from himalia.machine import Ticked
from himalia.messages.answers import Explanation, Reply
from himalia.messages.client import DataPlaced, Explain, ReportMissing, ResultErred, ResultPending
from himalia.messages.nanny import (
    Compute,
    DataAdded,
    DataLost,
    DeathCause,
    FreeData,
    Heartbeat,
    InputMissing,
    Inventory,
    ReportInventory,
    WorkerDied,
    WorkerStarted,
)
from himalia.messages.parts import TaskOptions
from himalia.messages.telemetry import HostMetrics, RunningCall
from himalia.names import HostId, Key, PeerId, WorkerName
from himalia.scheduler.deaths import PATIENCE
from himalia.scheduler.state import ASSIGNED, ERRED, FINISHED, QUEUED, WAITING
from himalia.testing.stages.scheduler import SchedulerStage, spec


def placed(key: str, host: str, *, wanted: bool = True) -> DataPlaced:
    return DataPlaced(Key(key), "data", HostId(PeerId(host)), 100, "bytes", wanted, attempt=-5)


def test_calls_of_a_host_that_left_run_elsewhere_without_blame() -> None:
    stage = SchedulerStage("a", "b")
    stage.submit("alice", spec("x"))
    first = stage.assigned()["x"]
    stage.leave(first)
    assert stage.assigned()["x"] != first
    assert stage.task("x").strikes == 0


def test_a_wanted_result_is_computed_again_when_its_host_left() -> None:
    stage = SchedulerStage("a", "b")
    stage.submit("alice", spec("x", wanted=False), spec("y", "x"))
    stage.finish("x")
    stage.finish("y")
    holder = str(stage.task("y").holders[0].id)
    stage.take()
    stage.leave(holder)
    assert (stage.status("x"), stage.status("y")) == (ASSIGNED, WAITING)
    assert stage.taken(ResultPending) == [("alice", ResultPending(Key("y")))]


def test_a_queued_dependent_waits_again_when_its_input_is_lost() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"))
    stage.finish("x")
    stage.submit("alice", *[spec(f"y-{i}", "x", order=i) for i in range(100)], batch=2)
    assert stage.status("y-99") is QUEUED
    stage.leave("a")
    assert (stage.status("x"), stage.status("y-99")) == (QUEUED, WAITING)
    stage.add_host("b")
    assert stage.status("x") is ASSIGNED


def test_a_replica_elsewhere_saves_the_recomputation() -> None:
    stage = SchedulerStage("a", "b")
    stage.submit("alice", spec("x"))
    stage.finish("x")
    holder = str(stage.task("x").holders[0].id)
    other = "b" if holder == "a" else "a"
    stage.message(other, DataAdded(Key("x"), stage.task("x").attempt, 8))
    stage.leave(holder)
    assert stage.status("x") is FINISHED


def test_a_killed_worker_is_blamed_on_what_it_ran_three_times() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("poison"), spec("innocent"))
    for _ in range(2):
        stage.die("poison")
        assert stage.status("poison") is ASSIGNED
    assert [compute.alone for _, compute in stage.taken(Compute) if compute.key == "poison"] == [False, True, True]
    stage.die("poison")
    ((_, erred),) = stage.taken(ResultErred)
    assert (erred.key, erred.error.kind) == ("poison", "killed")
    assert "signal SIGKILL" in erred.error.text
    assert "last words" in erred.error.text
    assert stage.status("innocent") is ASSIGNED


def kills_until_blamed(stage: SchedulerStage, key: str, most: int = 400) -> int:
    for count in range(1, most):
        stage.die(key, cause="outside")
        stage.now += 0.5
        if stage.status(key) is ERRED:
            return count
    return most


def test_a_signal_from_outside_says_little_of_a_call_and_more_if_it_strikes_nothing_else() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"))
    assert kills_until_blamed(stage, "x") == 9
    ((_, erred),) = stage.taken(ResultErred)
    assert "given up after 9 attempts" in erred.error.text


def test_a_signal_from_outside_says_next_to_nothing_while_others_die_of_it_too() -> None:
    stage = SchedulerStage("a", "b")
    stage.submit("alice", spec("x"), spec("y"))
    for _ in range(100):
        stage.die("x", cause="outside")
        stage.die("y", cause="outside")
        stage.now += 0.3
    assert (stage.status("x"), stage.status("y")) == (ASSIGNED, ASSIGNED)


def test_an_idle_worker_that_is_killed_speaks_for_the_calls_of_others() -> None:
    stage = SchedulerStage("a", "b")
    stage.submit("alice", spec("x"))
    idle = "b" if str(stage.task("x").host.id) == "a" else "a"  # type: ignore[union-attr]
    for _ in range(20):
        worker = stage.machine.state.workers[WorkerName(f"{idle}-0")].info
        stage.message(idle, WorkerDied(worker.name, "signal SIGKILL", [], True, [], "outside"))
        stage.message(idle, WorkerStarted(worker))
        stage.die("x", cause="outside")
    assert stage.status("x") is ASSIGNED


def test_deaths_of_others_long_ago_speak_for_nobody() -> None:
    stage = SchedulerStage("a", "b")
    stage.submit("alice", spec("x"), spec("y"))
    stage.die("y", cause="outside")
    stage.now += 61.0
    assert kills_until_blamed(stage, "x") == 9


def test_crashes_count_in_full_among_kills_from_outside() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"))
    causes: list[DeathCause] = ["outside", "crash", "outside", "memory", "outside"]
    for cause in causes:
        stage.die("x", cause=cause)
    assert stage.status("x") is ERRED


def test_a_planned_death_is_no_strike() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"))
    for _ in range(5):
        stage.die("x", blamed=False)
    assert stage.status("x") is ASSIGNED
    assert stage.task("x").strikes == 0


def test_scattered_data_of_a_host_that_left_are_reported_by_name() -> None:
    stage = SchedulerStage("a", "b")
    stage.message("alice", placed("data", "a"))
    stage.submit("alice", spec("y", "data"))
    stage.take()
    stage.leave("a")
    errors = {str(message.key): message.error for _, message in stage.taken(ResultErred)}
    if "y" in errors:
        assert errors["y"].key == "data"
    assert errors["data"].kind == "lost"
    assert stage.status("data") is ERRED


def test_the_only_copy_of_scattered_data_is_not_given_up_on_anothers_word() -> None:
    stage = SchedulerStage("a", "b")
    stage.message("alice", placed("data", "a"))
    stage.message("a", Heartbeat(HostMetrics(), (0, 0), (0, 0), 0, paused=True))
    stage.submit("alice", spec("y", "data"))
    assert stage.assigned() == {"y": "b"}
    stage.message("a", Heartbeat(HostMetrics(), (0, 0), (0, 0), 0))
    stage.take()
    missing = [(Key("data"), -5, HostId(PeerId("a")))]
    stage.message("b", InputMissing(Key("y"), stage.task("y").attempt, missing))
    assert stage.taken(FreeData) == []
    assert stage.assigned() == {"y": "a"}  # where it needs no fetching
    stage.message("a", DataLost(Key("data"), -5))
    assert stage.status("data") is ERRED


def test_complaints_about_scattered_data_do_not_count_against_data_that_were_scattered_again() -> None:
    stage = SchedulerStage("a", "b")
    stage.message("alice", placed("data", "a"))
    complaint = ReportMissing(Key("data"), -5, HostId(PeerId("a")))
    for _ in range(PATIENCE):
        assert stage.status("data") is FINISHED
        stage.message("alice", complaint)
    assert stage.status("data") is ERRED
    stage.message("alice", placed("data", "a"))
    stage.message("alice", complaint)
    assert stage.status("data") is FINISHED


def test_an_input_that_could_not_be_fetched_is_made_again() -> None:
    stage = SchedulerStage("a", "b")
    stage.submit("alice", spec("x", wanted=False), spec("y", "x"))
    stage.finish("x")
    at, attempt = stage.assigned()["y"], stage.task("y").attempt
    holder = stage.task("x").holders[0].id
    missing = InputMissing(Key("y"), attempt, [(Key("x"), stage.task("x").attempt, holder)])
    stage.message(at, missing)
    assert (stage.status("x"), stage.status("y")) == (ASSIGNED, WAITING)


def test_a_client_that_can_not_read_a_result_gets_it_again() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"))
    stage.finish("x")
    stage.take()
    stage.message("alice", ReportMissing(Key("x"), 1, HostId(PeerId("a"))))
    assert [type(message) for _, message in stage.take()][:1] == [ResultPending]
    assert stage.status("x") is ASSIGNED


def test_a_difference_of_digests_is_repaired_and_counted() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"))
    stage.take()
    seen = stage.machine.hosts[HostId(PeerId("a"))].sent
    stage.message("a", Heartbeat(HostMetrics(), (0, 0), (0, 0), seen))
    assert stage.take() == [("a", ReportInventory())]
    stage.message("a", Inventory([], [], seen + 1))
    assert stage.machine.state.drift_repaired == 1
    assert stage.task("x").attempt == 2  # the call that the host never had was sent again


def test_digests_are_not_compared_while_something_is_under_way() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"))
    stage.take()
    stage.message("a", Heartbeat(HostMetrics(), (0, 0), (0, 0), 1))
    assert stage.take() == []


def test_a_paused_host_gets_nothing_until_it_recovers() -> None:
    stage = SchedulerStage("a")
    stage.message("a", Heartbeat(HostMetrics(), (0, 0), (0, 0), 0, paused=True))
    stage.submit("alice", spec("x"))
    assert stage.status("x") is QUEUED
    assert "paused" in explain(stage, "x")
    stage.message("a", Heartbeat(HostMetrics(), (0, 0), (0, 0), 0))
    assert stage.status("x") is ASSIGNED


def test_paused_hosts_run_one_call_at_a_time_if_nobody_else_may() -> None:
    """What keeps their memory full may be what waits here."""
    stage = SchedulerStage("a", "b")
    for host in "ab":
        stage.message(host, Heartbeat(HostMetrics(), (0, 0), (0, 0), 0, paused=True))
    bound = spec("y", options=TaskOptions(workers=("a",)))
    stage.submit("alice", spec("x1"), spec("x2"), spec("x3"), bound)
    stage.event(Ticked({}))
    assert sorted(str(stage.task(f"x{n}").status.label) for n in (1, 2, 3)) == ["assigned", "assigned", "queued"]
    assert stage.status("y") is QUEUED  # its host has something to do
    stage.event(Ticked({}))
    assert stage.status("x3") is QUEUED
    stage.message("b", Heartbeat(HostMetrics(), (0, 0), (0, 0), 0))
    assert stage.status("x3") is ASSIGNED
    assert stage.status("y") is QUEUED


def explain(stage: SchedulerStage, key: str) -> str:
    stage.take()
    stage.message("alice", Explain(1, Key(key)))
    ((_, reply),) = stage.taken(Reply)
    assert isinstance(reply.value, Explanation)
    return reply.value.text


def test_the_name_of_a_group_is_explained_by_one_of_its_tasks_that_wait() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"), spec("y", "x"))
    group = stage.task("y").group.name
    assert "waits for its input x" in explain(stage, group)
    assert "not known" in explain(stage, "no-such-group")


def test_a_cluster_without_a_nanny_says_so() -> None:
    stage = SchedulerStage()
    stage.add_host("a", called="laptop")
    stage.leave("a")
    stage.submit("alice", spec("x"))
    stage.now = 2.5
    text = explain(stage, "x")
    assert "no nanny" in text
    assert "laptop left 2.5 s ago (test)" in text


def beat(stage: SchedulerStage, **metrics: object) -> None:
    """Let a heartbeat of host ``a`` arrive that says what is in ``metrics``."""
    host = stage.machine.state.hosts[HostId(PeerId("a"))]
    attempts = (len(host.assigned) + len(host.zombies), host.attempts_tally)
    data = (host.data_count, host.data_tally)
    stage.message("a", Heartbeat(HostMetrics(time=100.0, **metrics), attempts, data, host.sent))  # type: ignore[arg-type]


def test_what_runs_is_explained_by_where_and_since_when() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"))
    beat(stage, running=[RunningCall("a-0", 0, Key("x"), "x", 97.5)])
    stage.now += 1.0
    assert "running on a-0 for 3.5 s" in explain(stage, "x")


def test_a_worker_that_stands_still_is_named_for_its_own_call_and_for_those_in_line() -> None:
    stage = SchedulerStage()
    stage.add_host("a", workers=2)
    stage.submit("alice", spec("x"), spec("y"), spec("z"))
    running = [RunningCall(f"a-{i}", 0, Key(key), "x", 90.0) for i, key in enumerate("xy")]
    beat(stage, running=running, still={"a-0": "doesn't answer: it was stopped (SIGSTOP) 4 s ago"})
    assert "a-0 doesn't answer: it was stopped" in explain(stage, "x")
    assert "stopped" not in explain(stage, "y")
    assert "a-0 doesn't answer: it was stopped" in explain(stage, "z")


def test_a_nanny_that_is_not_heard_of_is_named() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"))
    beat(stage)
    stage.now += 7.0
    assert "hasn't been heard of for 7 s" in explain(stage, "x")
