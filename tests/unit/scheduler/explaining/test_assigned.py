"""What a task at a host waits for is said in a sentence: for what, since when, and what follows if it doesn't come."""

from __future__ import annotations

from typing import Any

from himalia.messages.answers import Explanation, Reply
from himalia.messages.client import DataPlaced, Explain
from himalia.messages.nanny import DataAdded, Heartbeat, WorkerDied
from himalia.messages.parts import TaskOptions
from himalia.messages.telemetry import HostMetrics, HostWait, RunningCall, StoreUse
from himalia.names import HostId, Key, PeerId
from himalia.testing.stages.scheduler import SchedulerStage, spec

AT_B = TaskOptions(workers=("b-0",))


def beat(stage: SchedulerStage, name: str, **metrics: Any) -> None:
    """Let a heartbeat arrive of a host that knows what the scheduler knows."""
    host = stage.machine.state.hosts[HostId(PeerId(name))]
    attempts = (len(host.assigned) + len(host.zombies), host.attempts_tally)
    data = (host.data_count, host.data_tally)
    stage.message(name, Heartbeat(HostMetrics(time=100.0, **metrics), attempts, data, host.sent))


def said(stage: SchedulerStage, key: str) -> str:
    stage.take()
    stage.message("alice", Explain(1, Key(key)))
    ((_, reply),) = stage.taken(Reply)
    assert isinstance(reply.value, Explanation)
    return reply.value.text


def stage_that_fetches(*also: str) -> SchedulerStage:
    """Return a scheduler with an input ``y`` at host a, and a call ``x`` of it that host b was sent."""
    stage = SchedulerStage("a")
    stage.submit("alice", spec("y"), *[spec(name) for name in also], batch=1)
    for name in ("y", *also):
        stage.finish(name)
    stage.add_host("b")
    stage.submit("alice", spec("x", "y", *also, options=AT_B), batch=2)
    assert stage.assigned()["x"] == "b"
    return stage


def test_an_input_that_is_fetched_is_named_with_its_host_before_the_nanny_says_anything() -> None:
    assert said(stage_that_fetches(), "x") == (
        "x was sent to b.local (attempt 1) and waits there for its input y, which it fetches from a.local, since a "
        "moment ago or after others. If that fails, or the host is lost, the scheduler finds another copy or has it "
        "computed again."
    )


def test_an_input_that_does_not_come_says_since_when_and_what_follows() -> None:
    stage = stage_that_fetches("z")
    beat(stage, "b", waits=[HostWait("fetched", Key("z"), 3.5, 0, "a", 0)])
    beat(stage, "a")
    stage.now += 0.5
    assert said(stage, "x") == (
        "x was sent to b.local (attempt 1) and waits there for its input z and 1 more, which a.local was asked for "
        "4.0 s ago. If that fails, or the host is lost, the scheduler finds another copy or has it computed again."
    )
    beat(stage, "b", waits=[HostWait("fetched", Key("z"), 3.5, 0, "a", 2)])
    assert said(stage, "x").endswith("If that fails, or the host is lost, 2 other holders are asked.")


def test_the_host_that_was_asked_and_is_silent_is_named() -> None:
    stage = stage_that_fetches()
    stage.now += 8.0
    beat(stage, "b", waits=[HostWait("fetched", Key("y"), 7.0, 0, "a", 0)])
    assert "which a.local was asked for 7.0 s ago; a.local hasn't been heard of for 8 s. If that fails" in said(
        stage, "x"
    )


def test_placed_data_are_not_said_to_be_computed_again() -> None:
    stage = SchedulerStage("a")
    stage.message("alice", DataPlaced(Key("y"), "y", HostId(PeerId("a")), 8, "int", True, -1))
    stage.message("a", DataAdded(Key("y"), -1, 8))
    stage.add_host("b")
    stage.submit("alice", spec("x", "y", options=AT_B))
    assert "without one this call fails" in said(stage, "x")


def test_an_input_that_has_come_and_has_no_room_blames_the_store_and_not_the_host_it_came_from() -> None:
    stage = stage_that_fetches()
    use = StoreUse(free=5, calls=900_000_000)
    beat(stage, "b", use=use, waits=[HostWait("fetched", Key("y"), 2.0, 1000, "a", 0)])
    assert (
        "for its input y, which has come from a.local and waits for room in the store of host b.local, for 2.0 s so "
        "far: needs 1,000 bytes, free 5 of"
    ) in said(stage, "x")
    other = [HostWait("fetched", Key("other"), 2.0, 1000, "a"), HostWait("fetched", Key("y"), 2.0, 0, "a")]
    beat(stage, "b", use=use, waits=other)
    assert "2.0 s ago; what comes from a.local before it has no room here yet." in said(stage, "x")


def test_inputs_on_disk_and_inputs_without_room_say_since_when() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"))
    beat(stage, "a", waits=[HostWait("read", Key("x"), 2.0, more=3)])
    assert said(stage, "x") == (
        "x waits at a.local for its inputs, which are read back from disk, after those of 3 calls before it, for 2.0 s "
        "so far. It begins when they are in memory; what can't be read is computed again."
    )
    use = StoreUse(calls=400, waiting={Key("x"): 300}, disk="No space left on device")
    beat(stage, "a", use=use, waits=[HostWait("read", Key("x"), 2.0, 300)])
    assert "for 2.0 s so far: needs 300 bytes" in said(stage, "x")
    assert said(stage, "x").endswith("it gets room over the limit.")
    beat(stage, "a", use=use, waits=[HostWait("admitted", Key("x"), 2.0, 300)])
    stage.now += 1.0
    assert said(stage, "x") == (
        "x waits at a.local for room for its inputs (300 bytes) beside those of calls under way (400), for 3.0 s so "
        "far. It begins when enough of these calls have ended, at the latest when all have."
    )


def test_a_result_without_room_says_since_when_and_a_full_disk_what_follows() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"))
    running = [RunningCall("a-0", 0, Key("x"), "x", 90.0)]
    use = StoreUse(waiting={Key("x"): 300}, disk="No space left on device")
    beat(stage, "a", use=use, running=running, waits=[HostWait("written", Key("x"), 2.5, 300)])
    assert "x waits for room in the store of host a.local, for 2.5 s so far: needs 300 bytes" in said(stage, "x")
    assert said(stage, "x").endswith("If the disk stays full, it fails.")


def test_a_nanny_that_is_silent_is_named_whatever_a_call_waited_for_there() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"))
    beat(stage, "a", waits=[HostWait("admitted", Key("x"), 2.0, 300)])
    stage.now += 9.0
    assert "for room for its inputs" in said(stage, "x")
    assert "hasn't been heard of for 9 s" in said(stage, "x")


def test_what_is_next_in_line_says_since_when_nothing_moved_and_behind_whom() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"), spec("y"), spec("z"))
    beat(stage, "a", running=[RunningCall("a-0", 0, Key("x"), "x", 93.0)])
    assert said(stage, "y").endswith("next in line (3 calls for 1 thread).")
    beat(stage, "a", running=[RunningCall("a-0", 0, Key("x"), "x", 93.0)], quiet=6.0)
    stage.now += 1.0
    assert said(stage, "y").endswith(
        "next in line (3 calls for 1 thread). No call was begun or ended there for 7.0 s: x has been running on a-0 "
        "for 8.0 s. The next one begins when one of those that run ends."
    )


def test_a_host_without_workers_and_a_paused_one_say_what_follows() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"), spec("y"))
    host = stage.machine.state.hosts[HostId(PeerId("a"))]
    attempts = (len(host.assigned), host.attempts_tally)
    stage.message("a", Heartbeat(HostMetrics(), attempts, (0, 0), host.sent, paused=True))
    assert "The store there is nearly full, so one call is begun at a time." in said(stage, "x")
    stage.message("a", WorkerDied(next(iter(host.workers)), "signal SIGKILL", [], False, []))
    assert "None of the workers there is up; the nanny starts those again that ended." in said(stage, "x")


def test_what_is_held_back_says_since_when_nothing_moved_anywhere() -> None:
    stage = SchedulerStage("a", "b")
    stage.submit("alice", *[spec(f"x-{number}") for number in range(3000)])
    last = f"x-{2999}"
    for name, quiet in (("a", 6.0), ("b", 4.0)):
        started = 100.0 - quiet
        key = next(key for key, host in stage.assigned().items() if host == name)
        beat(stage, name, running=[RunningCall(f"{name}-0", 0, Key(key), "x", started)], quiet=quiet)
    assert "is ready and held back until a worker is free" in said(stage, last)
    assert "No call was begun or ended for 4.0 s: x-" in said(stage, last)
    assert "has been running on a-0 for 6.0 s." in said(stage, last)
    beat(stage, "b")
    assert "No call was begun" not in said(stage, last)


def test_what_waits_for_an_input_says_why_that_is_not_there() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("w"), spec("x", "w"), spec("y", "x"))
    beat(stage, "a", running=[RunningCall("a-0", 0, Key("w"), "w", 93.0)])
    assert said(stage, "x") == "x waits for its input w (assigned). w has been running on a-0 for 7.0 s (attempt 1)."
    assert said(stage, "y") == (
        "y waits for its input x (waiting). That one waits in turn; in the end for this: w has been running on a-0 for "
        "7.0 s (attempt 1)."
    )


def test_a_cluster_without_workers_or_with_full_stores_says_since_when() -> None:
    stage = SchedulerStage("a")
    beat(stage, "a")
    host = stage.machine.state.hosts[HostId(PeerId("a"))]
    stage.now = 1.0
    stage.message("a", Heartbeat(HostMetrics(), (0, 0), (0, 0), host.sent, paused=True))
    stage.submit("alice", spec("x"))
    stage.now = 4.0
    assert "the only host is paused, for 3.0 s, because its memory is nearly full" in said(stage, "x")
    stage.message("a", WorkerDied(next(iter(host.workers)), "signal SIGKILL", [], False, []))
    stage.now = 6.0
    assert "no workers. The last one, a-0, ended 2.0 s ago (signal SIGKILL). Its nanny starts it again." in said(
        stage, "x"
    )


def test_a_result_whose_holder_is_silent_says_that_reading_it_waits() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("x"))
    stage.finish("x")
    stage.now += 7.0
    assert "The nanny a.local hasn't been heard of for 7 s: reading it there waits for that." in said(stage, "x")
