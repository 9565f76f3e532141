"""What a task costs doesn't depend on how many others are in its graph, whatever its shape and names."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import msgspec
import pytest

from himalia.machine import PeerJoined, Send, Ticked
from himalia.messages.client import CancelKeys, FollowTelemetry, ReleaseKeys, Submit, WantKeys
from himalia.messages.nanny import Compute, TaskFinished
from himalia.messages.parts import TaskSpec
from himalia.names import Key, PeerId, WorkerName
from himalia.scheduler.machine import SchedulerMachine
from himalia.scheduler.state import MOST_GROUPS, OTHERS
from himalia.testing.builders import NO_TIME, make_chain, make_register, make_spec
from himalia.testing.stages.scheduler import SchedulerStage, spec

FEW, MANY = 1_000, 10_000
RATIO = 3.0
"""Of the costs per task at ``MANY`` and ``FEW``.  Flat is 1.1 to 2 (a noisy machine); linear growth would be 10."""
TICK = 20
"""Completions between two ticks: 0.3 ms of work where 100 ms pass, so that ticks weigh 300 times as much."""


def named_alike(length: int) -> list[TaskSpec]:
    return make_chain(length)


def named_differently(length: int) -> list[TaskSpec]:
    return [msgspec.structs.replace(call, group=f"x{n}") for n, call in enumerate(make_chain(length))]


def wide(length: int) -> list[TaskSpec]:
    leaves = [make_spec(f"leaf-{n}", wanted=False, order=n) for n in range(length)]
    return [*leaves, make_spec("sum", *[leaf.key for leaf in leaves], order=length)]


def fan_out(length: int) -> list[TaskSpec]:
    return [make_spec("root", wanted=False), *(make_spec(f"leaf-{n}", "root", order=n) for n in range(length))]


def ladder(length: int) -> list[TaskSpec]:
    calls = [make_spec("a-0", wanted=False), make_spec("b-0", wanted=False)]
    for n in range(1, length // 2):
        both, last = (f"a-{n - 1}", f"b-{n - 1}"), n == length // 2 - 1
        calls += [make_spec(f"{side}-{n}", *both, wanted=last, order=2 * n) for side in "ab"]
    return calls


def comb(length: int) -> list[TaskSpec]:
    """A chain each link of which has an input of its own, ranked so that the last is to run first."""
    calls = []
    for n in range(length // 2):
        calls.append(make_spec(f"tooth-{n}", wanted=False, order=length - n))
        inputs = (f"tooth-{n}", *([f"back-{n - 1}"] if n else []))
        calls.append(make_spec(f"back-{n}", *inputs, wanted=n == length // 2 - 1, order=length - n))
    return calls


SHAPES: list[Callable[[int], list[TaskSpec]]] = [named_alike, named_differently, wide, fan_out, ladder, comb]


class Run:
    """A scheduler with one host, which finishes every call; ``spent`` is the CPU time of the machine alone."""

    def __init__(self) -> None:
        self.machine = SchedulerMachine(me=PeerId("scheduler-0"))
        self.spent = self.now = 0.0
        self.computing: deque[Compute] = deque()
        self.feed(PeerJoined(PeerId("alice"), "client"), "alice")
        self.feed(FollowTelemetry(0.1), "alice")
        self.feed(make_register("nanny-1", workers=2), "nanny-1")

    def feed(self, event: object, source: str) -> None:
        started = time.thread_time()
        instructions = self.machine.handle(event, now=self.now, source=PeerId(source))  # type: ignore[arg-type]
        self.spent += time.thread_time() - started
        self.computing += [i.message for i in instructions if isinstance(i, Send) and isinstance(i.message, Compute)]

    def all(self, calls: list[TaskSpec]) -> None:
        parts = [calls[start : start + 500] for start in range(0, len(calls), 500)]
        for part in parts:
            self.feed(Submit(1, part, part is parts[-1]), "alice")
        done = 0
        while self.computing:
            call = self.computing.popleft()
            finished = TaskFinished(call.key, call.attempt, WorkerName("host-1-0"), 8, "int", NO_TIME)
            self.feed(finished, "nanny-1")
            done += 1
            if done % TICK == 0:
                self.now += 0.1
                self.feed(Ticked(), "")
        assert done == len(calls)
        self.feed(ReleaseKeys([call.key for call in calls if call.wanted]), "alice")
        assert not self.machine.tasks


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_a_task_of_a_large_graph_costs_as_much_as_one_of_a_small(shape: Callable[[int], list[TaskSpec]]) -> None:
    def cost(length: int) -> float:
        run = Run()
        run.all(shape(length))
        return run.spent / length

    expect_flat(cost)


def test_cancelling_each_of_a_chain_costs_as_much_however_long_it_is_and_whoever_shares_it() -> None:
    def cost(length: int) -> float:
        run = Run()
        run.feed(PeerJoined(PeerId("bob"), "client"), "bob")
        calls = [msgspec.structs.replace(call, wanted=True) for call in make_chain(length)]
        run.feed(Submit(1, calls), "alice")
        run.feed(WantKeys([calls[-1].key]), "bob")
        run.feed(CancelKeys([call.key for call in calls]), "alice")
        assert len(run.machine.tasks) == length, "bob still wants the last, which needs all"
        return run.spent / length

    expect_flat(cost)


def expect_flat(cost: Callable[[int], float]) -> None:
    """Compare costs per task; a pause of this machine may spoil one of two measurements."""
    ratio = min(cost(MANY) / cost(FEW) for _ in range(2))
    assert ratio < RATIO, f"{ratio:.1f} times as much per task"


def test_calls_that_are_submitted_and_cancelled_leave_nothing_in_the_queue() -> None:
    stage = SchedulerStage()
    stage.submit("alice", spec("first"))
    for n in range(5_000):
        stage.machine.handle(Submit(n, [spec(f"f-{n}", order=n)]), now=0.0, source=PeerId("alice"))
        stage.machine.handle(CancelKeys([Key(f"f-{n}")]), now=0.0, source=PeerId("alice"))
    assert len(stage.machine.tasks) == 1
    assert len(stage.machine.state.queue) < 2_000
    stage.add_host("a")
    assert stage.assigned() == {"first": "a"}


def test_tasks_that_all_have_names_of_their_own_share_a_group_beyond_a_number() -> None:
    stage = SchedulerStage("a")
    calls = [msgspec.structs.replace(spec(f"k-{n}"), group=f"x{n}") for n in range(MOST_GROUPS + 100)]
    stage.submit("alice", *calls)
    groups = stage.machine.state.groups
    assert len(groups) == MOST_GROUPS + 1
    assert groups[OTHERS, "alice"].tasks == 100
    stage.message("alice", ReleaseKeys([call.key for call in calls]))
    stage.event(Ticked())
    assert not stage.machine.state.groups
    stage.submit("alice", spec("again"))
    assert stage.task("again").group.name == "again"


def test_a_name_that_has_a_group_keeps_it_however_many_others_there_are() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("f-1"), *(msgspec.structs.replace(spec(f"k-{n}"), group=f"x{n}") for n in range(3000)))
    stage.submit("alice", spec("f-2"), batch=2)
    assert stage.task("f-2").group is stage.task("f-1").group
    assert stage.task(Key("k-2999")).group.name == OTHERS


def test_no_number_of_spans_makes_more_groups_than_there_may_be() -> None:
    stage = SchedulerStage("a")
    for n in range(2 * MOST_GROUPS + 50):
        stage.machine.handle(Submit(n, [spec(f"f-{n}")], span=f"alice/{n}"), now=0.0, source=PeerId("alice"))
    stage.machine.validate()
    assert len(stage.machine.state.groups) <= 2 * MOST_GROUPS + 1
