from __future__ import annotations

import random
from typing import Any

import pytest

from himalia.client.engine.events import (
    Answer,
    CallsRefused,
    CallsSubmitted,
    CancelAsked,
    Closed,
    Deliver,
    ForgetHost,
    FuturesDropped,
    KeysHeld,
    Notify,
    ReadFailed,
    RequestMade,
    RetryAsked,
    ValuePlaced,
)
from himalia.client.engine.machine import ClientMachine
from himalia.client.engine.state import KEYS, Record, RecordStatus
from himalia.client.engine.submissions import SUBMIT_BYTES, SUBMIT_TASKS
from himalia.errors import ClosedError
from himalia.machine import PeerLeft, Send, Ticked
from himalia.messages.answers import ClusterInfo, Reply
from himalia.messages.client import (
    CancelKeys,
    DataPlaced,
    GetInfo,
    GetKeys,
    ReleaseKeys,
    ReportMissing,
    ResultCancelled,
    ResultErred,
    ResultPending,
    ResultReady,
    RetryKeys,
    Submit,
    Telemetry,
    WantKeys,
)
from himalia.messages.parts import Close, HostInfo, HostsChanged, TaskError, TaskSpec
from himalia.names import SCHEDULER, HostId, Key, PeerId

X, Y = Key("x"), Key("y")
HOST, OTHER = HostId(PeerId("nanny-1")), HostId(PeerId("nanny-2"))
ERROR = TaskError("exception", X, "ValueError: no")


def spec(key: Key = X, *, wanted: bool = True, call: bytes = b"call", argument: str = "") -> TaskSpec:
    return TaskSpec(key, "f", b"digest", call, (), 0, wanted, argument)


def ready(key: Key = X, *, attempt: int = 1, data: bytes | None = b"1") -> ResultReady:
    return ResultReady(key, attempt, 10, "int", (HOST,), data)


def submit(machine: ClientMachine, *tasks: TaskSpec, last: bool = True) -> list[Any]:
    return machine.handle(CallsSubmitted(machine.next_batch(), list(tasks), last))


def sent(instructions: list[Any]) -> list[Any]:
    return [instruction.message for instruction in instructions if type(instruction) is Send]


def hold(machine: ClientMachine, key: Key = X) -> Record:
    submit(machine, spec(key))
    return machine.records[key]


def drop(machine: ClientMachine, *records: Record) -> list[Any]:
    return machine.handle(FuturesDropped(list(records)))


class Watching:
    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, record: Record) -> None:
        self.seen.append(record.status)


def watch(machine: ClientMachine, record: Record) -> Watching:
    watching = Watching()
    assert machine.watch(record, watching)
    return watching


def notify(instructions: list[Any]) -> None:
    for instruction in instructions:
        if type(instruction) is Notify:
            for watcher in instruction.watchers:
                watcher(instruction.record)


def test_a_submitted_call_is_sent_and_pending() -> None:
    machine = ClientMachine()
    assert submit(machine, spec()) == [Send(SCHEDULER, Submit(1, [spec()], True))]
    assert machine.records[X].status == "pending"
    assert machine.records[X].refs == 1


def test_a_call_that_is_known_is_not_sent_again_but_held_once_more() -> None:
    machine = ClientMachine()
    record = hold(machine)
    assert submit(machine, spec()) == []
    assert machine.records[X] is record
    assert record.refs == 2


def test_the_same_call_twice_in_one_submission_is_sent_once() -> None:
    machine = ClientMachine()
    assert sent(submit(machine, spec(), spec())) == [Submit(1, [spec()], True)]
    assert machine.records[X].refs == 2


def test_an_unwanted_call_has_no_record() -> None:
    machine = ClientMachine()
    assert sent(submit(machine, spec(wanted=False)))
    assert machine.records == {}


def test_many_calls_are_sent_in_several_messages_of_which_the_last_one_says_so() -> None:
    machine = ClientMachine()
    tasks = [spec(Key(str(number))) for number in range(2 * SUBMIT_TASKS + 1)]
    messages = sent(submit(machine, *tasks))
    assert [len(message.tasks) for message in messages] == [SUBMIT_TASKS, SUBMIT_TASKS, 1]
    assert [message.last for message in messages] == [False, False, True]


def test_large_calls_are_sent_in_messages_of_bounded_size() -> None:
    machine = ClientMachine()
    tasks = [spec(Key(str(number)), call=b"c" * (SUBMIT_BYTES // 2)) for number in range(5)]
    assert [len(message.tasks) for message in sent(submit(machine, *tasks))] == [2, 2, 1]


def test_another_submission_does_not_end_one_that_is_still_open() -> None:
    machine = ClientMachine()
    first = machine.next_batch()
    (message,) = sent(machine.handle(CallsSubmitted(first, [spec(X, wanted=False)], False)))
    assert not message.last
    (message,) = sent(submit(machine, spec(Y)))
    assert not message.last
    assert sent(machine.handle(CallsSubmitted(first, [], True))) == [Submit(first, [], True)]


def test_a_result_settles_the_record_and_wakes_its_watchers_once() -> None:
    machine = ClientMachine()
    record = hold(machine)
    watching = watch(machine, record)
    notify(machine.handle(ready()))
    notify(machine.handle(ready()))
    assert watching.seen == ["finished"]
    assert (record.data, record.nbytes, record.type_name, record.holders) == (b"1", 10, "int", (HOST,))


def test_a_settled_record_is_not_watched() -> None:
    machine = ClientMachine()
    record = hold(machine)
    machine.handle(ready())
    assert not machine.watch(record, Watching())


def test_who_does_not_want_to_wait_any_longer_is_not_woken() -> None:
    machine = ClientMachine()
    record = hold(machine)
    watching = watch(machine, record)
    machine.unwatch(record, watching)
    assert machine.handle(ready()) == []


def test_an_error_settles_the_record() -> None:
    machine = ClientMachine()
    record = hold(machine)
    watching = watch(machine, record)
    notify(machine.handle(ResultErred(X, ERROR)))
    assert watching.seen == ["error"]
    assert record.error == ERROR


def test_a_key_whose_own_data_are_gone_is_lost_a_dependent_of_it_is_an_error() -> None:
    machine = ClientMachine()
    own, dependent = hold(machine, X), hold(machine, Y)
    gone = TaskError("lost", X, "its host died")
    machine.handle(ResultErred(X, gone))
    machine.handle(ResultErred(Y, gone))
    assert (own.status, dependent.status) == ("lost", "error")


def test_a_lost_key_that_is_submitted_again_is_sent_and_its_old_futures_go_on() -> None:
    machine = ClientMachine()
    record = hold(machine)
    machine.handle(ResultErred(X, TaskError("lost", X, "its host died")))
    assert sent(submit(machine, spec()))
    assert (record.status, record.refs) == ("pending", 2)


def test_a_result_that_is_recomputed_is_pending_again() -> None:
    machine = ClientMachine()
    record = hold(machine)
    machine.handle(ready())
    machine.handle(ResultPending(X))
    assert (record.status, record.data, record.holders) == ("pending", None, ())
    machine.handle(ready(attempt=2))
    assert (record.status, record.attempt) == ("finished", 2)


def test_the_last_future_that_goes_releases_the_key() -> None:
    machine = ClientMachine()
    record = hold(machine)
    submit(machine, spec())
    assert drop(machine, record) == []
    assert drop(machine, record) == [Send(SCHEDULER, ReleaseKeys([X]))]
    assert machine.records == {}


def test_many_keys_are_released_in_messages_of_bounded_size() -> None:
    machine = ClientMachine()
    submit(machine, *[spec(Key(str(number))) for number in range(KEYS + 1)])
    messages = sent(drop(machine, *machine.records.values()))
    assert [len(message.keys) for message in messages] == [KEYS, 1]


def test_a_result_of_a_key_released_meanwhile_is_ignored() -> None:
    machine = ClientMachine()
    drop(machine, hold(machine))
    assert machine.handle(ready()) == []


def test_a_result_that_nobody_here_ever_wanted_is_released() -> None:
    assert ClientMachine().handle(ready()) == [Send(SCHEDULER, ReleaseKeys([X]))]


def test_news_of_the_earlier_task_of_a_key_are_ignored_until_the_fence() -> None:
    machine = ClientMachine()
    drop(machine, hold(machine))
    fence, message = sent(submit(machine, spec(call=b"another")))
    assert type(fence) is GetKeys
    assert fence.keys == []
    assert type(message) is Submit
    record = machine.records[X]
    machine.handle(ready(data=b"stale"))
    machine.handle(ResultErred(X, ERROR))
    machine.handle(ResultCancelled(X, "stale"))
    assert record.status == "pending"
    machine.handle(Reply(fence.request))
    machine.handle(ready(data=b"fresh"))
    assert record.data == b"fresh"


def test_a_key_that_was_only_asked_for_by_name_is_submitted_and_not_taken_for_known() -> None:
    """The answer to the question, that there is no such task, is from before the submission."""
    machine = ClientMachine()
    machine.handle(KeysHeld([X]))
    record = machine.records[X]
    fence, message = sent(submit(machine, spec()))
    assert (type(fence), message.tasks) == (GetKeys, [spec()])
    machine.handle(ResultErred(X, TaskError("lost", X, "it is not on this cluster")))
    assert (record.status, record.refs) == ("pending", 2)
    machine.handle(Reply(fence.request))
    machine.handle(ready(data=b"fresh"))
    assert record.data == b"fresh"
    assert submit(machine, spec()) == []  # from now on it is known


def test_a_cancelled_key_that_is_submitted_again_is_fenced_too() -> None:
    machine = ClientMachine()
    machine.handle(CancelAsked([hold(machine)]))
    fence, _ = sent(submit(machine, spec()))
    machine.handle(ResultCancelled(X, "the first one"))
    machine.handle(Reply(fence.request))
    assert machine.records[X].status == "pending"


def test_released_keys_are_forgotten_once_the_scheduler_has_answered_after_them() -> None:
    machine = ClientMachine()
    drop(machine, hold(machine))
    (question,) = sent(machine.handle(Ticked()))
    assert machine.handle(Ticked()) == []
    machine.handle(Reply(question.request))
    assert sent(submit(machine, spec())) == [Submit(2, [spec()], True)]


def test_a_wish_that_crossed_the_cancel_of_another_client_is_let_go_of() -> None:
    machine = ClientMachine()
    drop(machine, hold(machine))
    fence, _ = sent(submit(machine, spec()))
    machine.handle(Reply(fence.request))
    (question,) = sent(machine.handle(Ticked()))
    machine.handle(ResultCancelled(X, "another client said so"))
    assert sent(machine.handle(ready(data=b"of what was wanted since"))) == [], "maybe it was under way before"
    assert sent(machine.handle(Reply(question.request))) == [ReleaseKeys([X])]
    assert sent(machine.handle(Ticked())) == []


def test_cancelling_settles_the_futures_at_once_and_tells_the_scheduler() -> None:
    machine = ClientMachine()
    record = hold(machine)
    watching = watch(machine, record)
    instructions = machine.handle(CancelAsked([record], True, "enough"))
    notify(instructions)
    assert watching.seen == ["cancelled"]
    assert record.reason == "enough"
    assert sent(instructions) == [CancelKeys([X], True, "enough")]
    assert drop(machine, record) == []


def test_a_dependent_of_a_cancelled_key_is_cancelled_by_the_scheduler() -> None:
    machine = ClientMachine()
    record = hold(machine)
    watching = watch(machine, record)
    notify(machine.handle(ResultCancelled(X, "its input was")))
    assert watching.seen == ["cancelled"]
    assert X not in machine.records


def test_only_failed_keys_are_retried() -> None:
    machine = ClientMachine()
    records = [hold(machine, X), hold(machine, Y)]
    machine.handle(ResultErred(X, ERROR))
    assert machine.handle(RetryAsked(records)) == [Send(SCHEDULER, RetryKeys([X]))]
    assert machine.records[X].status == "pending"


@pytest.mark.parametrize("wish", [lambda record: CancelAsked([record]), lambda record: CallsRefused([record], ERROR)])
def test_a_wish_about_a_future_that_is_gone_does_nothing_to_a_later_call_of_its_key(wish: Any) -> None:
    machine = ClientMachine()
    earlier = hold(machine)
    machine.handle(CancelAsked([earlier]))
    later = hold(machine)
    assert machine.handle(wish(earlier)) == []
    assert later.status == "pending"
    assert machine.records[X] is later


def test_a_failed_call_of_an_earlier_future_of_a_key_is_not_retried_in_place_of_a_later_one() -> None:
    machine = ClientMachine()
    earlier = hold(machine)
    machine.handle(ResultErred(X, ERROR))
    drop(machine, earlier)
    later = hold(machine)
    later.status, later.error = RecordStatus.ERROR, ERROR
    assert machine.handle(RetryAsked([earlier])) == []
    assert sent(machine.handle(RetryAsked([later]))) == [RetryKeys([X])]


def test_keys_of_others_are_wanted_when_futures_of_them_are_made() -> None:
    machine = ClientMachine()
    assert machine.handle(KeysHeld([X])) == [Send(SCHEDULER, WantKeys([X]))]
    assert machine.handle(KeysHeld([X])) == []
    assert machine.records[X].refs == 2


def test_a_placed_value_is_finished_where_it_was_placed() -> None:
    machine = ClientMachine()
    first = DataPlaced(X, "int", HOST, 3, "int", True, -5)
    second = DataPlaced(X, "int", OTHER, 3, "int", True, -5)
    assert machine.handle(ValuePlaced(first, b"v")) == [Send(SCHEDULER, first)]
    assert machine.handle(ValuePlaced(second, b"v", False)) == [Send(SCHEDULER, second)]
    record = machine.records[X]
    assert (record.status, record.holders, record.refs, record.attempt) == ("finished", (HOST, OTHER), 1, -5)


def test_a_value_that_only_a_call_needs_has_no_record() -> None:
    machine = ClientMachine()
    message = DataPlaced(X, "argument", HOST, 3, "tuple", False, -5)
    assert machine.handle(ValuePlaced(message)) == [Send(SCHEDULER, message)]
    assert machine.records == {}


def test_a_failed_read_is_reported_and_other_holders_are_left() -> None:
    machine = ClientMachine()
    record = hold(machine)
    machine.handle(ResultReady(X, 1, 10, "int", (HOST, OTHER)))
    assert machine.handle(ReadFailed(X, 1, HOST)) == [Send(SCHEDULER, ReportMissing(X, 1, HOST))]
    assert (record.status, record.holders) == ("finished", (OTHER,))
    machine.handle(ReadFailed(X, 1, OTHER))
    assert record.status == "pending"


def test_a_failed_read_of_an_earlier_attempt_means_nothing() -> None:
    machine = ClientMachine()
    hold(machine)
    machine.handle(ready(attempt=2))
    assert machine.handle(ReadFailed(X, 1, HOST)) == []


def test_calls_whose_arguments_could_not_be_stored_fail() -> None:
    machine = ClientMachine()
    record = hold(machine)
    watching = watch(machine, record)
    notify(machine.handle(CallsRefused([record], ERROR)))
    assert watching.seen == ["error"]


def test_an_answer_is_given_to_who_asked_once() -> None:
    machine = ClientMachine()
    number = machine.next_request()
    assert sent(machine.handle(RequestMade(GetInfo(number)))) == [GetInfo(number)]
    reply = Reply(number, ClusterInfo())
    assert machine.handle(reply) == [Answer(number, ClusterInfo(), "")]
    assert machine.handle(reply) == []


@pytest.mark.parametrize("event", [PeerLeft(SCHEDULER, "its lease ran out"), Close("somebody closed it")])
def test_when_the_scheduler_is_gone_everything_that_waits_is_told(event: Any) -> None:
    machine = ClientMachine()
    waiting, finished = hold(machine, X), hold(machine, Y)
    machine.handle(ready(Y))
    watching = watch(machine, waiting)
    number = machine.next_request()
    machine.handle(RequestMade(GetInfo(number)))
    instructions = machine.handle(event)
    notify(instructions)
    assert watching.seen == ["lost"]
    assert finished.status == "finished"
    assert [type(instruction) for instruction in instructions] == [Notify, Answer]
    with pytest.raises(ClosedError):
        submit(machine, spec(Key("z")))
    machine.validate()


def test_closing_cancels_what_is_pending() -> None:
    machine = ClientMachine()
    record = hold(machine)
    watching = watch(machine, record)
    notify(machine.handle(Closed("the client was closed")))
    assert watching.seen == ["cancelled"]


def test_a_question_after_the_end_is_answered_at_once() -> None:
    machine = ClientMachine()
    machine.handle(Closed("the end"))
    number = machine.next_request()
    assert machine.handle(RequestMade(GetInfo(number))) == [Answer(number, None, "the end")]


def test_connections_to_hosts_that_left_are_closed() -> None:
    machine = ClientMachine()
    info = HostInfo(HOST, "tcp://h:1", "h", 1, "m", "", 0, "/")
    machine.handle(HostsChanged([info], []))
    assert machine.hosts == {HOST: info}
    assert machine.handle(HostsChanged([], [HOST, OTHER])) == [ForgetHost(HOST)]


def test_telemetry_is_delivered() -> None:
    push = Telemetry(0.0, [], [], 0, {})
    assert ClientMachine().handle(push) == [Deliver(push)]


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_the_records_stay_consistent_and_every_watcher_is_called_once(seed: int) -> None:
    chance = random.Random(seed)
    machine = ClientMachine()
    keys = [Key(name) for name in "abcdef"]
    held: list[Record] = []
    watched: list[Watching] = []
    questions: list[int] = []

    def step() -> list[Any]:
        key = chance.choice(keys)
        kind = chance.randrange(11)
        if kind <= 2:
            instructions = submit(machine, spec(key))
            held.append(machine.records[key])
            watching = Watching()
            if machine.watch(machine.records[key], watching):
                watched.append(watching)
            return instructions
        if kind == 3 and held:
            return drop(machine, held.pop(chance.randrange(len(held))))
        if kind == 4:
            return machine.handle(CancelAsked([machine.records[key]] if key in machine.records else []))
        if kind == 5:
            return machine.handle(ResultErred(key, TaskError(chance.choice(["exception", "lost"]), key, "no")))
        if kind == 6:
            return machine.handle(ResultPending(key))
        if kind == 7:
            return machine.handle(ResultCancelled(key, "why"))
        if kind == 8:
            return machine.handle(Ticked())
        if kind == 9 and questions:
            return machine.handle(Reply(questions.pop(0)))
        return machine.handle(ready(key))

    for _ in range(300):
        instructions = step()
        questions += [message.request for message in sent(instructions) if type(message) is GetKeys]
        notify(instructions)
        machine.validate()
    notify(machine.handle(Closed("the end")))
    machine.validate()
    assert {len(watching.seen) for watching in watched} == {1}
