from __future__ import annotations

import msgspec

from himalia.machine import Instruction, PeerJoined, PeerLeft, Send
from himalia.messages.answers import CallReplies, CallReply, Reply, Restarted, Scaled
from himalia.messages.client import GetLogs, RunFunction, Scale
from himalia.messages.nanny import (
    Heartbeat,
    InputMissing,
    Inventory,
    RegisterNanny,
    ReportInventory,
    RestartWorkers,
    WorkerDied,
    WorkerStarted,
    WorkerStopped,
)
from himalia.messages.parts import Close, ForgetFunctions, FunctionBody, HeldData, TaskError, WorkerInfo
from himalia.messages.telemetry import HostMetrics
from himalia.messages.worker import CallFunction, CallReturned, NeedFunction, RetireWorker, TrimHeap
from himalia.names import SCHEDULER, Digest, Key, WorkerName
from himalia.nanny import events as e
from himalia.nanny.machine import NannyMachine
from himalia.settings import Settings
from himalia.testing.builders import make_compute, make_host_info
from himalia.testing.stages.nanny import FIRST, SECOND, NannyStage, finished, sent, withdrawn

A = make_compute("a", 1)
B = make_compute("b", 2)
INFO = WorkerInfo(FIRST, "tcp://10.0.0.1:4000/0", 100, 1, 0, "/tmp")


def test_workers_are_started_first_of_all() -> None:
    machine = NannyMachine(make_host_info("nanny-1"), nworkers=2)
    assert machine.handle(e.NannyStarted(), now=0.0) == [e.StartWorker(FIRST, 0), e.StartWorker(SECOND, 1)]


def test_registration_names_workers_that_are_up_data_and_attempts() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    stage.returns(1)
    stage.scheduler(B)
    register = RegisterNanny(stage.state.info, [INFO], [HeldData(A.key, 1, 5)], [(B.key, 2)])
    assert stage.event(PeerJoined(SCHEDULER, "scheduler"), SCHEDULER) == [sent(register)]


def test_a_worker_that_dies_is_replaced_and_what_it_ran_is_named() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    assert stage.dies(FIRST, 1) == [
        sent(WorkerDied(FIRST, "signal SIGSEGV", [(A.key, 1)], True, ["log"])),
        e.StartWorker(FIRST, 0),
    ]
    assert not stage.state.tasks


def test_a_result_that_came_before_the_death_counts() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    assert stage.returns(1) == [e.StoreInline(A.key, 1, b"value"), finished(A)]
    assert stage.dies(FIRST, 1)[0] == sent(WorkerDied(FIRST, "signal SIGSEGV", [], True, ["log"]))


def test_a_run_taken_but_not_begun_by_the_dead_is_dispatched_again() -> None:
    stage = NannyStage(workers=2)
    stage.scheduler(A)
    assert e.ReadSlots() in stage.dies(FIRST)
    assert stage.slots() == []
    assert stage.slots() == [e.Recall(1), e.Dispatch(2, A, None)]


def test_a_run_that_a_living_worker_took_and_was_slow_to_begin_is_refused_by_it() -> None:
    """Two looks at the slots are not enough where the system is out of breath: both would run it."""
    stage = NannyStage(workers=2)
    stage.scheduler(A)
    stage.dies(FIRST)
    stage.slots()
    stage.slots()
    assert stage.raises(1, SECOND, kind="refused") == [e.Unrecall(1), e.RunLost(1)]
    assert stage.returns(2, SECOND)[-1] == finished(A, SECOND)


def test_a_run_in_the_own_queue_of_the_dead_is_surely_lost() -> None:
    stage = NannyStage(workers=2)
    (dispatch,) = stage.scheduler(make_compute("x", 5, alone=True))
    assert isinstance(dispatch, e.Dispatch)
    assert dispatch.worker == FIRST
    assert e.RunLost(1) in stage.dies(FIRST)


def test_a_run_that_still_waits_in_the_queue_is_not_dispatched_again() -> None:
    stage = NannyStage(workers=2)
    stage.scheduler(A)
    stage.dies(FIRST)
    assert stage.slots(head=1) == []
    assert not stage.state.suspects


def test_a_run_that_a_living_worker_began_is_not_dispatched_again() -> None:
    stage = NannyStage(workers=2)
    stage.scheduler(A)
    stage.dies(FIRST)
    assert stage.slots({SECOND: [1]}) == []
    assert stage.slots() == []


def test_calls_in_a_dead_workers_own_queue_go_to_its_successor() -> None:
    stage = NannyStage(workers=2)
    bound = make_compute("a", 1, worker=str(FIRST))
    stage.scheduler(bound)
    stage.dies(FIRST)
    assert stage.come_up(FIRST, 200) == [
        sent(WorkerStarted(msgspec.structs.replace(INFO, pid=200))),
        e.Dispatch(2, bound, FIRST),
    ]


def test_late_news_of_a_replaced_process_is_ignored() -> None:
    stage = NannyStage()
    assert stage.event(e.WorkerExited(FIRST, 99, "signal SIGKILL", [], [])) == []


def test_a_worker_that_dies_again_and_again_is_replaced_ever_later() -> None:
    stage = NannyStage()
    for pid in range(4):
        assert stage.dies(FIRST)[-1] == e.StartWorker(FIRST, 0)
        stage.come_up(FIRST, 200 + pid)
    assert e.StartWorker(FIRST, 0) not in stage.dies(FIRST)
    assert stage.tick(0.1) == []
    assert stage.tick(0.15) == [e.StartWorker(FIRST, 0)]


def test_the_nanny_gives_up_if_no_worker_ever_came_up() -> None:
    stage = NannyStage(up=False)
    for _ in range(2):
        stage.event(e.WorkerExited(FIRST, 7, "exit code 1", [], ["ModuleNotFoundError: x"]))
        stage.tick(10.0)
    reason = "no worker could be started: host-1-0 ended with exit code 1\nModuleNotFoundError: x"
    out = stage.event(e.WorkerExited(FIRST, 7, "exit code 1", [], ["ModuleNotFoundError: x"]))
    assert out == [e.Exit(reason, 1)]


def test_a_process_that_does_not_come_up_is_ended() -> None:
    stage = NannyStage(up=False)
    assert stage.tick(121.0) == [e.KillWorker(FIRST)]


def test_more_workers_are_started_under_free_names() -> None:
    stage = NannyStage()
    names = [str(FIRST), str(SECOND)]
    assert stage.scheduler(Scale(4, 2)) == [e.StartWorker(SECOND, 1), sent(Reply(4, Scaled(names)))]


def test_the_worker_that_does_least_is_retired() -> None:
    stage = NannyStage(workers=2)
    metrics = HostMetrics(workers={str(FIRST): (0.0, 0, 0), str(SECOND): (1.0, 0, 1)})
    stage.event(e.Measured(metrics))
    assert stage.scheduler(Scale(4, 1)) == [
        e.SendToWorker(FIRST, RetireWorker()),
        sent(Reply(4, Scaled([str(SECOND)]))),
    ]
    assert stage.dies(FIRST, exit="exit code 0") == [sent(WorkerStopped(FIRST))]


def test_calls_bound_to_a_retired_worker_are_given_back() -> None:
    stage = NannyStage()
    first, second = make_compute("a", 1, worker=str(FIRST)), make_compute("b", 2, worker=str(FIRST))
    stage.scheduler(first)
    stage.scheduler(second)
    assert stage.scheduler(Scale(1, 0))[0] == sent(InputMissing(second.key, 2, []))


def test_a_restart_drops_everything_and_answers_when_all_are_back() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    stage.returns(1)
    stage.scheduler(B)
    assert stage.scheduler(RestartWorkers(7)) == [
        withdrawn(B),
        e.Recall(2),
        e.ReadSlots(),
        e.FreeFromStore(A.key, 1),
        e.KillWorker(FIRST),
    ]
    stage.slots({FIRST: [2]})
    reason = "the nanny stopped it: a restart was asked for"
    assert stage.dies(FIRST, 2) == [
        sent(WorkerDied(FIRST, reason, [], False, ["log"])),
        e.StartWorker(FIRST, 0),
    ]
    info = msgspec.structs.replace(INFO, pid=300)
    assert stage.come_up(FIRST, 300) == [sent(WorkerStarted(info)), sent(Reply(7, Restarted()))]


def test_a_restart_of_named_workers_leaves_results_and_other_workers_alone() -> None:
    stage = NannyStage(workers=2)
    stage.scheduler(A)
    stage.returns(1, SECOND)
    stage.scheduler(B)
    assert stage.scheduler(RestartWorkers(7, [str(FIRST)])) == [e.KillWorker(FIRST)]
    reason = "the nanny stopped it: a restart was asked for"
    assert stage.dies(FIRST, 2) == [
        sent(WorkerDied(FIRST, reason, [(B.key, 2)], False, ["log"])),
        e.StartWorker(FIRST, 0),
    ]
    assert A.key in stage.state.held.newest
    info = msgspec.structs.replace(INFO, pid=300)
    assert stage.come_up(FIRST, 300) == [sent(WorkerStarted(info)), sent(Reply(7, Restarted({str(FIRST): "OK"})))]


def test_a_restart_of_unknown_workers_says_which_ones_there_are() -> None:
    stage = NannyStage()
    answer = {"nobody": "There is no worker 'nobody' at host-1; its workers are host-1-0."}
    assert stage.scheduler(RestartWorkers(7, ["nobody"])) == [sent(Reply(7, Restarted(answer)))]


def test_a_restart_does_not_wait_for_a_worker_that_is_retired_meanwhile() -> None:
    stage = NannyStage()
    stage.scheduler(RestartWorkers(7, [str(FIRST)]))
    assert stage.scheduler(Scale(8, 0)) == [
        sent(Reply(8, Scaled())),
        sent(Reply(7, Restarted({str(FIRST): "OK"}))),
    ]


def test_closing_ends_workers_first_by_asking_then_by_force() -> None:
    stage = NannyStage(workers=2)
    assert stage.scheduler(Close("done")) == [e.StopWorker(FIRST), e.StopWorker(SECOND)]
    stage.dies(FIRST)
    assert stage.tick(0.5) == []
    assert stage.tick(0.6) == [e.KillWorker(SECOND)]
    assert stage.dies(SECOND)[-1] == e.Exit("done", 0)


def test_without_a_scheduler_the_nanny_ends() -> None:
    stage = NannyStage()
    assert stage.event(PeerLeft(SCHEDULER, "its lease ran out"), SCHEDULER) == [e.StopWorker(FIRST)]
    assert stage.dies(FIRST) == [e.Exit("the scheduler is gone: its lease ran out", 0)]


def test_a_worker_over_its_memory_is_ended_and_what_it_runs_is_blamed() -> None:
    stage = NannyStage(worker_memory=1000 * 2**20)
    stage.scheduler(A)
    measured = e.Measured(HostMetrics(workers={str(FIRST): (1.0, 960 * 2**20, 1)}))
    assert stage.event(measured) == [e.SendToWorker(FIRST, TrimHeap())]
    assert stage.event(measured) == [e.KillWorker(FIRST)]
    reason = "the nanny stopped it: it used 960 MiB of its own memory, more than 95% of its limit of 1,000 MiB"
    assert stage.dies(FIRST, 1, exit="signal SIGKILL")[0] == sent(
        WorkerDied(FIRST, reason, [(A.key, 1)], True, ["log"], "memory")
    )


def test_a_large_worker_gives_back_what_it_freed_and_again_when_it_has_grown() -> None:
    stage = NannyStage(worker_memory=1000)

    def measured(memory: int) -> list[Instruction]:
        return stage.event(e.Measured(HostMetrics(workers={str(FIRST): (1.0, memory, 1)})))

    trims = [e.SendToWorker(FIRST, TrimHeap())]
    assert [measured(memory) for memory in (500, 510, 520, 600, 610)] == [[], trims, [], trims, []]
    assert [measured(memory) for memory in (400, 510)] == [[], trims]


def test_a_paused_nanny_starts_nothing_while_something_runs_but_is_never_stuck() -> None:
    stage = NannyStage(workers=2, memory_limit=1000)
    stage.scheduler(A)
    stage.event(e.Measured(HostMetrics(store_bytes=900)))
    assert stage.scheduler(B) == []
    assert stage.returns(1)[-1] == e.Dispatch(2, B, None)
    third = make_compute("c", 3)
    assert stage.scheduler(third) == []
    assert stage.event(e.Measured(HostMetrics(store_bytes=100))) == [e.Dispatch(3, third, None)]


def test_a_heartbeat_carries_what_is_here() -> None:
    stage = NannyStage(settings=Settings())
    stage.scheduler(A)
    stage.returns(1)
    stage.scheduler(B)
    (beat,) = stage.tick(0.6)
    state = stage.state
    assert beat == sent(
        Heartbeat(state.metrics, (1, state.tasks["b"].digest), (1, state.held.tally), 2)  # type: ignore[index]
    )
    assert stage.tick(0.1) == []


def test_an_inventory_names_everything() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    stage.returns(1)
    stage.scheduler(B)
    assert stage.scheduler(ReportInventory()) == [sent(Inventory([HeldData(A.key, 1, 5)], [(B.key, 2)], seen=3))]


def test_a_function_is_sent_to_the_worker_that_asks() -> None:
    stage = NannyStage()
    body = FunctionBody(Digest(b"f" * 16), b"pickle")
    assert stage.scheduler(body) == []
    assert stage.event(NeedFunction(body.digest), FIRST) == [e.SendToWorker(FIRST, body)]


def test_a_forgotten_function_stays_while_a_task_names_it() -> None:
    stage = NannyStage()
    body = FunctionBody(Digest(b"f" * 16), b"pickle")
    stage.scheduler(body)
    stage.scheduler(make_compute("a", 1, function=body.digest))
    stage.scheduler(ForgetFunctions([body.digest]))
    assert stage.event(NeedFunction(body.digest), FIRST) == [e.SendToWorker(FIRST, body)]
    stage.returns(1)
    stage.tick(1.0)
    empty = FunctionBody(body.digest, b"")
    assert stage.event(NeedFunction(body.digest), FIRST) == [e.SendToWorker(FIRST, empty)]


def test_a_function_beside_the_tasks_runs_on_all_workers_and_is_answered_once() -> None:
    stage = NannyStage(workers=2)
    assert stage.scheduler(RunFunction(9, b"call")) == [
        e.SendToWorker(FIRST, CallFunction(1, b"call")),
        e.SendToWorker(SECOND, CallFunction(1, b"call")),
    ]
    assert stage.event(CallReturned(1, b"one"), FIRST) == []
    assert stage.event(CallReturned(1, b"two"), SECOND) == [
        sent(Reply(9, CallReplies({str(FIRST): CallReply(b"one"), str(SECOND): CallReply(b"two")})))
    ]


def test_a_worker_that_dies_answers_a_function_with_an_error() -> None:
    stage = NannyStage()
    stage.scheduler(RunFunction(9, b"call", [str(FIRST)]))
    text = "host-1-0 ended while the function ran (signal SIGSEGV)."
    error = TaskError("killed", Key(""), text, worker=FIRST)
    reply = Reply(9, CallReplies({str(FIRST): CallReply(error=error)}))
    assert stage.dies(FIRST)[0] == sent(reply)


def test_a_function_for_a_worker_that_is_not_up_is_answered_at_once() -> None:
    stage = NannyStage()
    (reply,) = stage.scheduler(RunFunction(9, b"call", ["host-1-7"]))
    assert isinstance(reply, Send)
    assert list(reply.message.value.replies) == [WorkerName("host-1-7")]


def test_logs_are_answered_by_the_shell() -> None:
    assert NannyStage().scheduler(GetLogs(5, ["w"])) == [e.AnswerLogs(5, ["w"])]
