from __future__ import annotations

import msgspec

from himalia.machine import Send
from himalia.messages.nanny import FreeData, InputMissing, TaskFailed, TaskFinished, Withdrawn, WorkerStarted
from himalia.messages.parts import HeldData, TaskError, Timing, WorkerInfo
from himalia.messages.telemetry import HostMetrics
from himalia.messages.worker import Place, Returned
from himalia.names import Key, WorkerName
from himalia.nanny import events as e
from himalia.testing.builders import make_compute
from himalia.testing.stages.nanny import FIRST, SECOND, TIMING, NannyStage, finished, sent

A = make_compute("a", 1)
B = make_compute("b", 2)
C = make_compute("c", 3)
SHORT = Timing(start=1.0, deserialize=0.0, compute=10e-6, serialize=0.0)


def test_a_task_without_inputs_goes_to_the_shared_queue_at_once() -> None:
    assert NannyStage().scheduler(A) == [e.Dispatch(1, A, None)]


def test_a_result_is_stored_and_reported_with_its_bytes() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    assert stage.returns(1) == [e.StoreInline(A.key, 1, b"value"), finished(A)]
    assert stage.state.tasks == {}


def test_the_bytes_of_an_unwanted_result_stay_here() -> None:
    stage = NannyStage()
    unwanted = make_compute("a", 1, wanted=False)
    stage.scheduler(unwanted)
    assert stage.returns(1) == [e.StoreInline(A.key, 1, b"value"), finished(A, data=None)]


def test_a_large_result_is_adopted_from_its_workers_grant() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    place = Place(None, 4096, (100, 2000))
    assert stage.event(Returned(1, 2100, "bytes", place, TIMING), FIRST) == [
        e.AdoptResult(A.key, 1, FIRST, 4096, (100, 2000)),
        sent(TaskFinished(A.key, 1, FIRST, 2100, "bytes", TIMING)),
    ]


def test_an_error_is_reported_with_the_key_and_the_worker() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    error = TaskError("exception", A.key, "ValueError: no", worker=FIRST)
    assert stage.raises(1) == [sent(TaskFailed(A.key, 1, error, TIMING))]
    assert stage.state.tasks == {}


def test_calls_of_unknown_duration_wait_here_while_no_thread_is_free() -> None:
    stage = NannyStage(workers=2)
    assert stage.scheduler(A) == [e.Dispatch(1, A, None)]
    assert stage.scheduler(B) == [e.Dispatch(2, B, None)]
    assert stage.scheduler(C) == []
    assert stage.returns(2, SECOND) == [e.StoreInline(B.key, 2, b"value"), finished(B, SECOND), e.Dispatch(3, C, None)]


def test_nothing_is_dispatched_before_a_worker_is_up() -> None:
    stage = NannyStage(up=False)
    assert stage.scheduler(A) == []
    info = WorkerInfo(FIRST, "tcp://10.0.0.1:4000/0", 100, 1, 0, "/tmp")
    assert stage.come_up() == [sent(WorkerStarted(info)), e.Dispatch(1, A, None)]


def test_waiting_calls_start_in_the_order_of_their_priority() -> None:
    stage = NannyStage()
    late, early = make_compute("late", 5, priority=(0.0, 1, 9)), make_compute("early", 6, priority=(-1.0, 2, 0))
    stage.scheduler(A)
    stage.scheduler(late)
    stage.scheduler(early)
    assert stage.returns(1)[-1] == e.Dispatch(2, early, None)
    assert stage.returns(2)[-1] == e.Dispatch(3, late, None)


def test_short_calls_go_ahead_of_free_threads() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    stage.returns(1, timing=SHORT)
    out = [stage.scheduler(make_compute(f"x-{n}", 10 + n)) for n in range(300)]
    assert sum(len(part) for part in out) == 1 + 200
    assert len(stage.state.runs) == 201


def test_a_call_expected_to_be_long_does_not_go_ahead() -> None:
    stage = NannyStage()
    stage.scheduler(make_compute("a", 1, duration=1.0))
    assert stage.scheduler(make_compute("b", 2, duration=1.0)) == []


def test_a_newer_attempt_replaces_one_that_waits_here() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    stage.scheduler(B)
    newer = make_compute("b", 3)
    assert stage.scheduler(newer) == [sent(Withdrawn(B.key, 2, started=False))]
    assert stage.returns(1)[-1] == e.Dispatch(2, newer, None)


def test_an_older_or_repeated_assignment_changes_nothing() -> None:
    stage = NannyStage()
    stage.scheduler(B)
    assert stage.scheduler(B) == []
    assert stage.scheduler(make_compute("b", 1)) == []


def test_the_result_of_a_replaced_attempt_is_thrown_away() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    newer = make_compute("a", 2)
    out = stage.scheduler(newer)
    assert out == [sent(Withdrawn(A.key, 1, started=False)), e.Recall(1), e.ReadSlots()]
    place = Place(None, 4096, (100,))
    assert stage.event(Returned(1, 100, "bytes", place, TIMING), FIRST) == [
        e.HandBack(FIRST, 4096, (100,)),
        e.Unrecall(1),
        e.Dispatch(2, newer, None),
    ]
    assert stage.returns(2) == [e.StoreInline(A.key, 2, b"value"), finished(newer)]


def test_a_recomputed_result_replaces_the_old_one() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    stage.returns(1)
    newer = make_compute("a", 7)
    stage.scheduler(newer)
    assert stage.returns(2) == [e.FreeFromStore(A.key, 1), e.StoreInline(A.key, 7, b"value"), finished(newer)]


def test_a_result_leaves_what_a_client_placed_under_its_key_meanwhile() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    stage.event(e.DataStored(HeldData(A.key, -5, 8)))
    assert stage.returns(1) == [e.StoreInline(A.key, 1, b"value"), finished(A)]
    assert stage.machine.state.held.attempts_of(A.key) == [1, -5]
    assert stage.scheduler(FreeData([(A.key, 1)])) == [e.FreeFromStore(A.key, 1)]
    assert stage.machine.state.held.attempts_of(A.key) == [-5]


def test_an_answer_to_an_unknown_run_frees_its_memory_and_nothing_else() -> None:
    stage = NannyStage()
    assert stage.returns(99) == []
    place = Place(None, 4096, (10,))
    assert stage.event(Returned(99, 10, "bytes", place, TIMING), FIRST) == [e.HandBack(FIRST, 4096, (10,))]


def test_a_call_bound_to_a_worker_goes_into_its_own_queue() -> None:
    stage = NannyStage(workers=2)
    bound = make_compute("a", 1, worker=str(SECOND))
    assert stage.scheduler(bound) == [e.Dispatch(1, bound, SECOND)]


def test_a_worker_gets_no_more_bound_calls_than_it_has_threads() -> None:
    stage = NannyStage(workers=2)
    first, second = make_compute("a", 1, worker=str(SECOND)), make_compute("b", 2, worker=str(SECOND))
    stage.scheduler(first)
    assert stage.scheduler(second) == []
    assert stage.returns(1, SECOND)[-1] == e.Dispatch(2, second, SECOND)


def test_a_call_bound_to_a_worker_that_is_not_here_is_given_back() -> None:
    bound = make_compute("a", 1, worker="host-7-0")
    assert NannyStage().scheduler(bound) == [sent(InputMissing(A.key, 1, []))]


def test_calls_that_run_alone_get_one_worker_each() -> None:
    stage = NannyStage(workers=2, nthreads=4)
    calls = [make_compute(f"x-{n}", 1 + n, alone=True) for n in range(3)]
    assert stage.scheduler(calls[0]) == [e.Dispatch(1, calls[0], FIRST)]
    assert stage.scheduler(calls[1]) == [e.Dispatch(2, calls[1], SECOND)]
    assert stage.scheduler(calls[2]) == []
    assert stage.returns(2, SECOND)[-1] == e.Dispatch(3, calls[2], SECOND)


def test_a_call_that_no_worker_could_be_sent_is_an_error() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    error = TaskError("full", A.key, "no room")
    assert stage.event(e.DispatchFailed(1, [], "no room")) == [
        sent(TaskFailed(A.key, 1, error, Timing(0.0, 0.0, 0.0, 0.0)))
    ]


def test_the_worker_of_a_result_is_named_as_its_source() -> None:
    stage = NannyStage(workers=2)
    stage.scheduler(A)
    report = stage.returns(1, SECOND)[-1]
    assert isinstance(report, Send)
    assert msgspec.structs.asdict(report.message)["worker"] == WorkerName("host-1-1")


def test_a_key_that_is_any_string_is_fine() -> None:
    stage = NannyStage()
    odd = make_compute("\x00 ☃ '\n", 1)
    stage.scheduler(odd)
    assert stage.returns(1)[0] == e.StoreInline(Key("\x00 ☃ '\n"), 1, b"value")


def test_while_a_worker_does_nothing_a_call_goes_to_it_and_not_beside_another_one() -> None:
    stage = NannyStage(workers=2, nthreads=2)
    assert stage.scheduler(A) == [e.Dispatch(1, A, FIRST)]
    assert stage.scheduler(B) == [e.Dispatch(2, B, SECOND)]
    assert stage.scheduler(C) == [e.Dispatch(3, C, None)]  # both compute: whoever is free first


def test_a_worker_is_idle_again_when_its_call_ended() -> None:
    stage = NannyStage(workers=2, nthreads=2)
    stage.scheduler(A)
    stage.scheduler(B)
    stage.returns(1, FIRST)
    assert stage.scheduler(C) == [e.Dispatch(3, C, FIRST)]


def test_nobody_is_idle_for_certain_until_it_was_seen_who_took_a_call_from_the_shared_queue() -> None:
    stage = NannyStage(workers=2, nthreads=2)
    for compute in (A, B, C):
        stage.scheduler(compute)
    stage.returns(1, FIRST)
    stage.returns(2, SECOND)
    assert stage.scheduler(A2) == [e.Dispatch(4, A2, None)]
    stage.returns(4, SECOND)
    stage.event(e.Measured(HostMetrics(time=50.0), {FIRST: [0, 3], SECOND: [0, 0]}))
    assert stage.scheduler(B2) == [e.Dispatch(5, B2, SECOND)]


def test_a_call_given_to_a_worker_that_dies_goes_to_whoever_is_there() -> None:
    stage = NannyStage(workers=2, nthreads=2)
    stage.scheduler(A)
    assert e.Dispatch(2, A, SECOND) in stage.dies(FIRST)


A2, B2 = make_compute("a2", 4), make_compute("b2", 5)
