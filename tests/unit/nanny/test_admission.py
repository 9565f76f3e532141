"""Calls are sent ahead by bytes of inputs too: half of the store, or one call; a large one comes to its turn."""

from __future__ import annotations

from typing import Any

import pytest

from himalia.machine import Send
from himalia.messages.nanny import Compute, DataLost, Heartbeat, InputMissing, TaskFailed, Withdraw
from himalia.messages.parts import HeldData, HostsChanged, Timing
from himalia.messages.telemetry import HostMetrics
from himalia.names import Key, WorkerName
from himalia.nanny import events as e
from himalia.settings import MIB
from himalia.testing.builders import make_compute, make_dependency, make_host_info
from himalia.testing.stages.nanny import FIRST, TIMING, NannyStage, sent, withdrawn

SHORT = Timing(start=1.0, deserialize=0.0, compute=10e-6, serialize=0.0)


class Pressed(NannyStage):
    """A nanny whose store may hold 100 MiB, with results in it."""

    def __init__(self, *sizes: int, **options: Any) -> None:
        super().__init__(memory_limit=100 * MIB, **options)
        for index, size in enumerate(sizes):
            self.event(e.DataStored(HeldData(Key(f"x{index}"), 1, size * MIB)))
        self.attempt = 0

    def call(self, name: str, *inputs: int, **options: Any) -> Compute:
        """Return a call that reads results by number; it is expected to be short."""
        self.attempt += 1
        dependencies = [make_dependency(f"x{index}", 1, "nanny-1") for index in inputs]
        return make_compute(name, self.attempt, *dependencies, **{"duration": 10e-6, **options})

    def sends(self, *calls: Compute) -> list[str]:
        """Have calls assigned, and return which were dispatched."""
        return dispatched([instruction for call in calls for instruction in self.scheduler(call)])

    def ends(self, run: int, worker: str = FIRST) -> list[str]:
        """Let a short call return, and return what is dispatched then."""
        return dispatched(self.returns(run, worker, timing=SHORT))


def dispatched(out: list[Any]) -> list[str]:
    return [instruction.compute.key for instruction in out if isinstance(instruction, e.Dispatch)]


def test_short_calls_are_sent_ahead_until_their_inputs_take_half_of_the_store() -> None:
    stage = Pressed(*[20] * 6)
    assert stage.sends(*[stage.call(f"c{index}", index) for index in range(6)]) == ["c0", "c1"]
    assert stage.ends(1) == ["c2"]
    assert stage.ends(2) == ["c3"]


def test_an_input_that_several_calls_read_counts_once() -> None:
    stage = Pressed(30, 30)
    calls = [stage.call(f"c{index}", 0) for index in range(20)]
    assert stage.sends(*calls) == [f"c{index}" for index in range(20)]
    assert stage.sends(stage.call("other", 1)) == []
    for run in range(1, 20):
        assert stage.ends(run) == []
    assert stage.ends(20) == ["other"]
    assert stage.state.reserved.nbytes == 30 * MIB


def test_calls_with_small_inputs_or_none_are_not_held_back() -> None:
    stage = Pressed(40, 40)
    stage.event(e.DataStored(HeldData(Key("x2"), 1, 1000)))
    assert stage.sends(stage.call("a", 0), stage.call("b", 2), stage.call("c")) == ["a", "b", "c"]


def test_a_call_larger_than_that_runs_when_nothing_else_does_and_is_not_passed() -> None:
    stage = Pressed(20, 20, 20, 35, 35)
    assert stage.sends(stage.call("a", 0), stage.call("b", 1)) == ["a", "b"]
    assert stage.sends(stage.call("large", 3, 4), stage.call("c", 2)) == []
    assert stage.ends(1) == []
    assert stage.ends(2) == ["large"]
    assert stage.ends(3) == ["c"]


def test_a_large_call_that_is_bound_to_a_worker_is_not_passed_by_the_shared_queue_for_ever() -> None:
    stage = Pressed(20, 20, 20, 35, 35)
    assert stage.sends(stage.call("a", 0)) == ["a"]
    assert stage.sends(stage.call("large", 3, 4, worker=FIRST), stage.call("b", 1), stage.call("none")) == []
    assert stage.ends(1) == ["large"]
    assert stage.ends(2) == ["b", "none"]


def test_of_calls_that_are_bound_to_workers_the_one_that_waits_is_first() -> None:
    stage = Pressed(20, 20, 20, 35, 35, workers=2)
    second = list(stage.state.workers)[1]
    assert stage.sends(stage.call("a", 0, worker=FIRST)) == ["a"]
    assert stage.sends(stage.call("large", 3, 4, worker=second), stage.call("b", 1, worker=FIRST)) == []
    assert stage.ends(1) == ["large"]
    assert stage.ends(2, second) == ["b"]


def test_a_call_that_has_to_run_alone_is_not_passed_either() -> None:
    stage = Pressed(20, 20, 35, 35)
    assert stage.sends(stage.call("a", 0)) == ["a"]
    assert stage.sends(stage.call("alone", 2, 3, alone=True), stage.call("b", 1)) == []
    assert stage.ends(1) == ["alone"]
    assert stage.ends(2) == ["b"]


@pytest.mark.parametrize("where", [{}, {"worker": FIRST}, {"alone": True}])
def test_inputs_that_can_never_be_in_memory_together_are_an_error_with_numbers(where: dict[str, Any]) -> None:
    stage = Pressed(60, 60)
    call = stage.call("a", 0, 1, **where)
    out = stage.scheduler(call)
    assert len(out) == 1 and isinstance(out[0], Send)
    error = out[0].message.error
    assert error.kind == "full"
    assert f"needs {120 * MIB:,} bytes of inputs at once, {20 * MIB:,} more than" in error.text
    assert stage.state.tasks == {}
    assert stage.sends(stage.call("b", 0)) == ["b"]


def test_inputs_on_disk_are_read_back_first_and_kept_until_the_call_is_dispatched() -> None:
    stage = Pressed(20)
    call = stage.call("a", 0)
    stage.scheduler(call)

    assert stage.event(e.DispatchDelayed(1)) == [e.LoadInputs(Key("a"), 1, [(Key("x0"), 1)])]
    assert stage.state.reserved.nbytes == 20 * MIB
    assert stage.event(e.InputsLoaded(Key("a"), 1, [])) == [e.Dispatch(2, call, None), e.Unload(Key("a"), 1)]

    assert stage.ends(2) == []
    assert stage.state.reserved.nbytes == 0


def test_others_go_on_while_inputs_are_read_back() -> None:
    stage = Pressed(20, 20, 20)
    assert stage.sends(stage.call("a", 0)) == ["a"]
    stage.event(e.DispatchDelayed(1))
    assert stage.sends(stage.call("b", 1), stage.call("c", 2)) == ["b"]  # what is read back counts too


def test_a_call_that_is_withdrawn_while_its_inputs_are_read_back_lets_them_go() -> None:
    stage = Pressed(20)
    call = stage.call("a", 0)
    stage.scheduler(call)
    stage.event(e.DispatchDelayed(1))

    out = stage.scheduler(Withdraw(Key("a"), 1, True))

    assert out == [e.Unload(Key("a"), 1), withdrawn(call)]
    assert stage.event(e.InputsLoaded(Key("a"), 1, [])) == []
    assert (stage.state.reserved.nbytes, stage.state.loading) == (0, {})


def test_a_newer_attempt_is_not_taken_for_the_one_that_is_read_back() -> None:
    stage = Pressed(20)
    stage.scheduler(stage.call("a", 0))
    stage.event(e.DispatchDelayed(1))
    newer = stage.call("a", 0)

    out = stage.scheduler(newer)
    assert e.Unload(Key("a"), 1) in out
    assert e.Dispatch(2, newer, None) in out
    stage.event(e.DispatchDelayed(2))
    assert stage.event(e.InputsLoaded(Key("a"), 1, [])) == []
    assert e.Dispatch(3, newer, None) in stage.event(e.InputsLoaded(Key("a"), 2, []))


def test_an_input_that_can_not_be_read_back_is_missing() -> None:
    stage = Pressed(20)
    stage.scheduler(stage.call("a", 0))
    stage.event(e.DispatchDelayed(1))

    out = stage.event(e.InputsLoaded(Key("a"), 1, [Key("x0")]))

    missing = InputMissing(Key("a"), 1, [(Key("x0"), 1, stage.state.info.host)])
    assert out == [e.Unload(Key("a"), 1), e.FreeFromStore(Key("x0"), 1), sent(DataLost(Key("x0"), 1)), sent(missing)]


def test_inputs_for_which_there_will_be_no_room_are_an_error() -> None:
    stage = Pressed(20)
    stage.scheduler(stage.call("a", 0))
    stage.event(e.DispatchDelayed(1))
    out = stage.event(e.InputsLoaded(Key("a"), 1, [], "no room, and the disk is full"))
    assert out[0] == e.Unload(Key("a"), 1)
    assert isinstance(out[1], Send)
    assert (out[1].message.error.kind, out[1].message.error.text) == ("full", "no room, and the disk is full")


def test_a_worker_that_is_gone_when_inputs_are_here_is_waited_for() -> None:
    stage = Pressed(20)
    stage.scheduler(stage.call("a", 0, worker=FIRST))
    stage.event(e.DispatchDelayed(1))
    stage.dies(FIRST)

    assert stage.event(e.InputsLoaded(Key("a"), 1, [])) == [e.Unload(Key("a"), 1)]
    stage.tick(10.0)
    assert dispatched(stage.come_up(WorkerName(FIRST))) == ["a"]


def test_a_call_that_runs_alone_closes_its_worker_again_once_its_inputs_are_here() -> None:
    stage = Pressed(20)
    stage.scheduler(stage.call("a", 0, alone=True))
    stage.event(e.DispatchDelayed(1))
    assert dispatched(stage.event(e.InputsLoaded(Key("a"), 1, []))) == ["a"]
    assert stage.state.workers[FIRST].alone is stage.state.runs[2]


def test_claims_end_with_a_worker_that_dies() -> None:
    stage = Pressed(20, 20)
    stage.scheduler(stage.call("a", 0, duration=1.0))
    stage.dies(FIRST, 1)
    assert stage.state.reserved.nbytes == 0


def test_a_paused_nanny_reads_back_for_one_call_at_a_time() -> None:
    stage = Pressed(20, 20)
    stage.event(e.Measured(HostMetrics(store_bytes=90 * MIB)))
    assert stage.sends(stage.call("a", 0), stage.call("b", 1)) == ["a"]
    stage.event(e.DispatchDelayed(1))
    assert dispatched(stage.event(e.InputsLoaded(Key("a"), 1, []))) == ["a"]
    assert dispatched(stage.returns(2, timing=TIMING)) == ["b"]


def waiting(stage: Pressed) -> dict[Key, int]:
    """Return who waits for room, as the next heartbeat says."""
    stage.state.next_heartbeat = 0.0
    beats = [out.message for out in stage.tick(0.1) if isinstance(out, Send) and isinstance(out.message, Heartbeat)]
    assert beats[0].metrics.use.calls == stage.state.reserved.nbytes
    return dict(beats[0].metrics.use.waiting)


def test_a_heartbeat_names_who_waits_for_room_and_what_they_need() -> None:
    stage = Pressed(20, 20, 20)
    stage.sends(*[stage.call(name, index, duration=1.0) for index, name in enumerate("abc")])
    assert waiting(stage) == {}  # one thread: they wait for that
    stage = Pressed(20, 20, 20)
    stage.sends(stage.call("a", 0), stage.call("b", 1), stage.call("c", 2))
    assert waiting(stage) == {"c": 20 * MIB}
    stage.event(e.DispatchDelayed(1))
    assert waiting(stage) == {"a": 20 * MIB, "c": 20 * MIB}

    running = HostMetrics(time=5.0)
    stage.event(e.Measured(running, {FIRST: [2]}, [], {FIRST: (7 * MIB, 0.0)}))
    assert waiting(stage) == {"a": 20 * MIB, "b": 7 * MIB, "c": 20 * MIB}
    stage.event(e.InputsLoaded(Key("a"), 1, []))
    stage.ends(3)
    stage.event(e.Measured(running, {FIRST: [2]}))
    assert waiting(stage) == {}


def test_an_input_for_which_there_will_be_no_room_fails_its_calls_and_not_its_holder() -> None:
    stage = Pressed()
    two = make_host_info("nanny-2")
    stage.scheduler(HostsChanged([two], []))
    call = make_compute("a", 1, make_dependency("x", 1, "nanny-2"))
    stage.scheduler(call)

    out = stage.event(e.DataFetched(Key("x"), two.host, None, "no room: the disk is full", is_full=True))

    assert [(type(sent.message), sent.message.error.kind) for sent in out if isinstance(sent, Send)] == [
        (TaskFailed, "full")
    ]
    assert len(out) == 1
    assert stage.state.fetches == {}
