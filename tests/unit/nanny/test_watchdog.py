"""Workers that stand still: what is known of them, what is said, and who is replaced."""

from __future__ import annotations

import pytest

from himalia.messages.client import Scale
from himalia.messages.nanny import WorkerDied
from himalia.messages.telemetry import HostMetrics
from himalia.nanny import events as e
from himalia.nanny.watchdog import IDLE_LIMIT, LOST_LIMIT, STOPPED_LIMIT, TAKEN_LIMIT, describe
from himalia.testing.builders import make_compute
from himalia.testing.stages.nanny import FIRST, SECOND, NannyStage, finished, sent

A, B, C = (make_compute(name, number) for number, name in enumerate("abc", 1))


def measure(
    stage: NannyStage, letter: str = "S", *, cpu: float = 0.0, running: int = 0, seconds: float = 0.5, for_: float = 0.0
) -> list[object]:
    """Let the first worker be measured again and again: its state, CPU and what its thread runs; what is done then."""
    out: list[object] = []
    for _ in range(max(1, round(for_ / seconds))):
        stage.now += seconds
        metrics = HostMetrics(workers={str(FIRST): (cpu, 0, int(running > 0))}, time=1000.0 + stage.now)
        slots = {FIRST: [running]}
        if len(stage.state.workers) > 1:
            slots[SECOND] = [0]
        out += stage.event(e.Measured(metrics, slots, [], {}, {FIRST: letter}))
    return out


def test_a_stopped_worker_is_named_and_replaced_and_its_call_runs_again_without_blame() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    assert measure(stage, "T", running=1, for_=STOPPED_LIMIT - 1) == []
    (text,) = describe(stage.state).values()
    assert "(process 100) doesn't answer: it was stopped (SIGSTOP) 44 s ago" in text
    assert measure(stage, "T", running=1, for_=2.0) == [e.KillWorker(FIRST)]
    reason = "the nanny stopped it: something had stopped it (SIGSTOP) for 45 s"
    died = WorkerDied(FIRST, reason, [(A.key, 1)], False, ["log"])
    assert stage.dies(FIRST, 1, exit="signal SIGKILL")[0] == sent(died)
    assert describe(stage.state) == {}


def test_a_worker_that_is_continued_in_time_keeps_its_call() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    for _ in range(5):
        assert measure(stage, "T", running=1, for_=STOPPED_LIMIT - 1) == []
        assert measure(stage, "S", running=1) == []
        assert describe(stage.state) == {}


def test_a_worker_that_is_stopped_while_it_starts_or_retires_is_replaced_too() -> None:
    starting = NannyStage(up=False)
    assert measure(starting, "T", for_=STOPPED_LIMIT + 1) == [e.KillWorker(FIRST)]
    retiring = NannyStage()
    retiring.scheduler(A)
    retiring.scheduler(Scale(1, 0))
    assert measure(retiring, "T", running=1, for_=STOPPED_LIMIT + 1) == [e.KillWorker(FIRST)]


@pytest.mark.parametrize(("letter", "word"), [("t", "debugger"), ("D", "network file system")])
def test_who_is_held_or_waits_in_the_kernel_is_named_and_left_alone(letter: str, word: str) -> None:
    stage = NannyStage()
    stage.scheduler(A)
    assert measure(stage, letter, running=1, for_=3600, seconds=1.0) == []
    (text,) = describe(stage.state).values()
    assert word in text
    assert "3599 s" in text


@pytest.mark.parametrize("cpu", [0.0, 1.0], ids=["sleeps", "computes"])
def test_a_call_may_sleep_or_compute_for_as_long_as_it_likes(cpu: float) -> None:
    stage = NannyStage()
    stage.scheduler(A)
    stage.scheduler(B)
    assert measure(stage, "R" if cpu else "S", cpu=cpu, running=1, for_=7200, seconds=1.0) == []
    assert describe(stage.state) == {}


def test_time_during_which_the_nanny_itself_stood_still_counts_against_nobody() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    measure(stage, "T", running=1)
    assert measure(stage, "T", running=1, seconds=3600.0) == []


def test_a_call_that_was_taken_and_never_begun_is_looked_for() -> None:
    stage = NannyStage(workers=2)
    stage.scheduler(A)
    out = measure(stage, for_=LOST_LIMIT + 1)
    assert out == [e.ReadSlots()]
    assert stage.slots() == []
    assert stage.slots() == [e.Recall(1), e.Dispatch(2, A, None)]
    assert measure(stage, running=2) == []
    assert measure(stage, running=2, for_=LOST_LIMIT) == [e.Unrecall(1), e.RunLost(1)]


def test_a_worker_that_takes_nothing_though_calls_wait_is_named_and_replaced() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    out = measure(stage, for_=IDLE_LIMIT - 1)
    assert e.KillWorker(FIRST) not in out
    (text,) = describe(stage.state).values()
    assert "it has taken nothing for 28 s though calls wait" in text
    assert e.KillWorker(FIRST) in measure(stage, for_=2.0)


def test_a_worker_without_calls_may_be_idle_for_ever() -> None:
    stage = NannyStage()
    assert measure(stage, for_=7200, seconds=1.0) == []
    assert describe(stage.state) == {}


def test_what_has_to_run_alone_is_not_given_to_one_that_stands_still() -> None:
    stage = NannyStage(workers=2)
    measure(stage, "T", for_=2.0)
    (dispatch,) = stage.scheduler(make_compute("x", 5, alone=True))
    assert isinstance(dispatch, e.Dispatch)
    assert dispatch.worker == SECOND


def test_what_a_stopped_worker_took_and_has_not_begun_goes_to_others_and_is_refused_later() -> None:
    stage = NannyStage(workers=2)
    stage.scheduler(A)
    out = measure(stage, "T", for_=2 * TAKEN_LIMIT)
    assert e.ReadSlots() in out
    assert stage.slots() == []
    assert stage.slots() == [e.Recall(1), e.Dispatch(2, A, None)]
    measure(stage, "S")
    assert stage.raises(1, kind="refused") == [e.Unrecall(1), e.RunLost(1)]
    assert stage.returns(2, SECOND)[-1] == finished(A, SECOND)


def test_what_waits_in_the_own_queue_of_a_stopped_worker_goes_to_another() -> None:
    stage = NannyStage(workers=2)
    alone = make_compute("x", 5, alone=True)
    (dispatch,) = stage.scheduler(alone)
    assert isinstance(dispatch, e.Dispatch)
    assert dispatch.worker == FIRST
    out = measure(stage, "T", for_=TAKEN_LIMIT + 1)
    assert out == [e.Recall(1), e.Dispatch(2, alone, SECOND)]
    assert measure(stage, "T", for_=STOPPED_LIMIT)[-1] == e.KillWorker(FIRST)
    stage.dies(FIRST, exit="signal SIGKILL")
    assert e.Unrecall(1) in measure(stage, for_=LOST_LIMIT + 1)


def test_what_a_stopped_worker_has_begun_or_only_it_may_run_waits_for_it() -> None:
    stage = NannyStage(workers=2)
    stage.scheduler(make_compute("x", 5, worker=FIRST))
    assert measure(stage, "T", for_=2 * TAKEN_LIMIT) == []
    other = NannyStage(workers=2)
    other.scheduler(make_compute("x", 5, alone=True))
    assert measure(other, "T", running=1, for_=2 * TAKEN_LIMIT) == []
