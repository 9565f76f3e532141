from __future__ import annotations

import pytest

from himalia.messages.nanny import Compute, FreeData, RestartWorkers, Withdraw, WorkerDied
from himalia.messages.parts import Dependency, HeldData, HostsChanged
from himalia.messages.worker import InterruptRun, Place, Returned
from himalia.nanny import events as e
from himalia.testing.builders import make_compute, make_host_info
from himalia.testing.stages.nanny import FIRST, SECOND, TIMING, NannyStage, finished, sent, withdrawn

A = make_compute("a", 1)
B = make_compute("b", 2)


def withdraw(compute: Compute, *, interrupt: bool = False) -> Withdraw:
    return Withdraw(compute.key, compute.attempt, interrupt)


def test_a_task_that_waits_here_is_given_back_at_once() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    stage.scheduler(B)
    assert stage.scheduler(withdraw(B)) == [withdrawn(B)]
    assert stage.returns(1) == [e.StoreInline(A.key, 1, b"value"), finished(A)]


@pytest.mark.parametrize("interrupt", [False, True])
def test_a_run_that_no_worker_took_is_recalled(interrupt: bool) -> None:
    stage = NannyStage()
    stage.scheduler(A)
    assert stage.scheduler(withdraw(A, interrupt=interrupt)) == [e.Recall(1), e.ReadSlots()]
    assert stage.slots() == [withdrawn(A)]
    assert stage.raises(1, kind="refused") == [e.Unrecall(1)]
    assert not stage.state.runs


def test_a_run_that_began_runs_on_and_reports() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    stage.scheduler(withdraw(A))
    assert stage.slots({FIRST: [1]}) == [e.Unrecall(1), withdrawn(A, started=True)]
    assert stage.returns(1) == [e.StoreInline(A.key, 1, b"value"), finished(A)]


def test_a_run_that_began_is_interrupted_and_reports_nothing_more() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    stage.scheduler(withdraw(A, interrupt=True))
    assert stage.slots({FIRST: [1]}) == [e.Unrecall(1), e.SendToWorker(FIRST, InterruptRun(1))]
    assert stage.raises(1) == [withdrawn(A, seconds=TIMING.compute)]
    assert not stage.state.runs


def test_a_result_that_comes_before_the_interrupt_is_thrown_away() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    stage.scheduler(withdraw(A, interrupt=True))
    stage.slots({FIRST: [1]})
    place = Place(None, 4096, (10,))
    assert stage.event(Returned(1, 10, "bytes", place, TIMING), FIRST) == [
        e.HandBack(FIRST, 4096, (10,)),
        withdrawn(A, seconds=TIMING.compute),
    ]


def test_a_result_that_comes_before_the_slots_are_read_counts_if_nobody_cancelled() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    stage.scheduler(withdraw(A))
    assert stage.returns(1) == [e.Unrecall(1), e.StoreInline(A.key, 1, b"value"), finished(A)]
    assert stage.slots() == []


def test_a_result_of_an_attempt_that_was_let_go_on_does_not_replace_a_newer_one() -> None:
    """Its name was used again meanwhile, and this host fetched what it stands for now."""
    stage = NannyStage()
    stage.scheduler(A)
    stage.scheduler(withdraw(A))
    stage.slots({FIRST: [1]})
    holder = make_host_info("nanny-2")
    stage.scheduler(HostsChanged([holder], []))
    stage.scheduler(make_compute("b", 8, Dependency(A.key, 7, 5, (holder.host,))))
    stage.event(e.DataFetched(A.key, holder.host, HeldData(A.key, 7, 5)))
    assert not any(isinstance(instruction, e.FreeFromStore) for instruction in stage.returns(1))
    assert stage.state.held.attempts_of(A.key) == [1, 7]
    stage.scheduler(FreeData([(A.key, 1)]))
    assert stage.state.held.attempts_of(A.key) == [7]


def test_a_refusal_of_a_run_that_was_let_go_on_is_no_refusal() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    stage.scheduler(withdraw(A))
    stage.slots({FIRST: [1]})
    assert stage.raises(1, kind="refused") == [e.Dispatch(2, A, None)]


def test_a_worker_deaf_to_the_interrupt_is_replaced_and_its_neighbours_are_not_blamed() -> None:
    stage = NannyStage(nthreads=2)
    stage.scheduler(A)
    stage.scheduler(B)
    stage.scheduler(withdraw(A, interrupt=True))
    stage.slots({FIRST: [1, 2]})
    assert stage.tick(0.9) == []
    assert stage.tick(0.2) == [e.KillWorker(FIRST)]
    reason = "the nanny stopped it: a was cancelled and did not react within 1 s"
    out = stage.dies(FIRST, 1, 2, exit="signal SIGKILL")
    assert out == [
        withdrawn(A),
        sent(WorkerDied(FIRST, reason, [(B.key, 2)], False, ["log"])),
        e.StartWorker(FIRST, 0),
    ]


def test_withdrawing_an_unknown_attempt_says_nothing() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    assert stage.scheduler(Withdraw(A.key, 9, True)) == []


def test_a_second_wish_can_add_the_interrupt() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    stage.scheduler(withdraw(A))
    stage.scheduler(withdraw(A, interrupt=True))
    assert stage.slots({FIRST: [1]}) == [e.Unrecall(1), e.SendToWorker(FIRST, InterruptRun(1))]


def test_the_slots_are_read_once_for_all_runs_of_one_event() -> None:
    stage = NannyStage(nthreads=2)
    stage.scheduler(A)
    stage.scheduler(B)
    out = stage.scheduler(RestartWorkers(1))
    assert out.count(e.ReadSlots()) == 1


def test_a_recalled_run_that_died_with_its_worker_is_forgotten() -> None:
    stage = NannyStage(workers=2)
    stage.scheduler(A)
    stage.scheduler(withdraw(A))
    stage.slots()
    stage.dies(SECOND)
    stage.slots()
    assert stage.slots() == []  # it stays recalled: the other worker may have it
    assert not stage.state.runs
    assert stage.raises(1, kind="refused") == [e.Unrecall(1), e.RunLost(1)]
