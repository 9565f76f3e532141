"""What a heartbeat says of those who wait for longer than a moment: for what, since when, and how many come before."""

from __future__ import annotations

from typing import Any

from himalia.machine import Send
from himalia.messages.nanny import Heartbeat, Withdraw
from himalia.messages.parts import HeldData, HostsChanged
from himalia.messages.telemetry import HostMetrics, HostWait
from himalia.names import Key
from himalia.nanny import events as e
from himalia.nanny.waits import SHOWN, describe, quiet
from himalia.settings import MIB
from himalia.testing.builders import make_compute, make_dependency, make_host_info
from himalia.testing.stages.nanny import FIRST, NannyStage
from tests.unit.nanny.test_admission import Pressed

TWO, THREE = make_host_info("nanny-2"), make_host_info("nanny-3")
X = Key("x")
NEEDS_X = make_compute("a", 5, make_dependency("x", 1, "nanny-2", "nanny-3"))


def stage_with_hosts() -> NannyStage:
    stage = NannyStage()
    stage.scheduler(HostsChanged([TWO, THREE], []))
    return stage


def measure(stage: NannyStage, seconds: float = 0.0, **found: Any) -> None:
    """Let time pass and a measurement come."""
    stage.now += seconds
    stage.event(e.Measured(HostMetrics(time=stage.now), **found))


def test_an_input_that_does_not_come_is_named_with_the_host_that_was_asked_and_since_when() -> None:
    stage = stage_with_hosts()
    stage.scheduler(NEEDS_X)
    measure(stage, 0.9)
    assert describe(stage.state) == []  # that is nothing out of the ordinary
    measure(stage, 3.1)
    assert describe(stage.state) == [HostWait("fetched", X, 4.0, 0, "nanny-2", 1)]

    stage.event(e.DataFetched(X, TWO.host, None, "it isn't there"))  # the next one is asked
    measure(stage, 2.0)
    assert describe(stage.state) == [HostWait("fetched", X, 2.0, 0, "nanny-3", 0)]
    stage.event(e.DataFetched(X, THREE.host, HeldData(X, 1, 8)))
    measure(stage, 2.0)
    assert describe(stage.state) == []


def test_an_input_that_has_come_and_finds_no_room_says_so() -> None:
    stage = stage_with_hosts()
    stage.scheduler(NEEDS_X)
    measure(stage, 5.0, unread={X: (7 * MIB, 3.0)})
    assert describe(stage.state) == [HostWait("fetched", X, 2.0, 7 * MIB, "nanny-2", 1)]


def test_a_fetch_that_no_call_waits_for_any_more_is_not_named() -> None:
    stage = stage_with_hosts()
    stage.scheduler(NEEDS_X)
    stage.scheduler(Withdraw(NEEDS_X.key, NEEDS_X.attempt, interrupt=False))
    measure(stage, 5.0)
    assert describe(stage.state) == []


def test_of_many_fetches_the_oldest_are_named() -> None:
    stage = stage_with_hosts()
    for number in range(3 * SHOWN):
        stage.now = float(number)
        stage.scheduler(make_compute(f"a{number}", number + 1, make_dependency(f"x{number}", 1, "nanny-2")))
    assert [wait.key for wait in describe(stage.state)] == [f"x{number}" for number in range(SHOWN)]


def test_calls_whose_inputs_are_read_back_know_their_turn_and_whether_they_wait_for_room() -> None:
    stage = Pressed(20, 20)
    stage.now = 1.0
    stage.sends(stage.call("a", 0), stage.call("b", 1))
    stage.event(e.DispatchDelayed(1))
    stage.now = 3.0
    stage.event(e.DispatchDelayed(2))
    measure(stage, 2.0)
    assert describe(stage.state) == [HostWait("read", Key("a"), 4.0), HostWait("read", Key("b"), 2.0, more=1)]
    measure(stage, unread={Key("a"): (20 * MIB, 4.0)})
    assert describe(stage.state)[0] == HostWait("read", Key("a"), 4.0, 20 * MIB)


def test_a_call_that_is_refused_room_says_since_when_and_not_once_it_has_it() -> None:
    stage = Pressed(20, 20, 20)
    stage.now = 1.0
    stage.sends(stage.call("a", 0), stage.call("b", 1), stage.call("c", 2))
    measure(stage, 4.0)
    assert describe(stage.state) == [HostWait("admitted", Key("c"), 4.0, 20 * MIB)]
    assert stage.ends(1) == ["c"]
    measure(stage, 4.0)
    assert describe(stage.state) == []
    assert stage.state.tasks[Key("c")].waiting_since == 0.0


def test_a_result_without_room_says_since_when() -> None:
    stage = NannyStage()
    stage.scheduler(make_compute("a", 1))
    measure(stage, 5.0, slots={FIRST: [1]}, unwritten={FIRST: (7 * MIB, 4.5)})
    assert describe(stage.state) == []
    measure(stage, 5.0, slots={FIRST: [1]}, unwritten={FIRST: (7 * MIB, 4.5)})
    assert describe(stage.state) == [HostWait("written", Key("a"), 5.5, 7 * MIB)]


def test_a_heartbeat_says_for_how_long_no_call_was_begun_or_ended() -> None:
    stage = NannyStage()
    measure(stage, 100.0)
    assert quiet(stage.state) == 0.0  # nobody wants anything
    stage.scheduler(make_compute("a", 1))
    measure(stage)
    measure(stage, 3.0)
    assert quiet(stage.state) == 3.0
    stage.scheduler(make_compute("b", 2))
    stage.returns(1)
    measure(stage, 0.1)
    assert quiet(stage.state) == 0.0
    stage.state.next_heartbeat = 0.0
    measure(stage, 4.0)
    (beat,) = [
        out.message.metrics for out in stage.tick(0.0) if isinstance(out, Send) and isinstance(out.message, Heartbeat)
    ]
    assert (beat.quiet, beat.waits) == (4.0, [])
