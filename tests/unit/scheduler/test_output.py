from __future__ import annotations

from himalia.machine import Ticked
from himalia.messages.answers import ProcessLogs, Reply
from himalia.messages.client import CallOutput, CancelSpan, GetLogs, ReleaseKeys, ResultCancelled, Submit
from himalia.messages.nanny import Withdraw, WorkerOutput
from himalia.messages.telemetry import LogLine
from himalia.names import Key, WorkerName
from himalia.scheduler.call_lines import KEPT_LINES
from himalia.scheduler.output import BURST, CLIENT_RATE
from himalia.scheduler.state import ASSIGNED, FINISHED
from himalia.testing.stages.scheduler import SchedulerStage, spec

X = Key("x")


def line(text: str, key: str = "x") -> LogLine:
    return LogLine(5.0, "stdout", text, key)


def write(stage: SchedulerStage, key: str, *texts: str, host: str = "a", dropped: int = 0) -> None:
    lines = [line(text, key) for text in texts]
    stage.message(host, WorkerOutput(Key(key), WorkerName(f"{host}-0"), lines, dropped))


def submit(stage: SchedulerStage, client: str, key: str, span: str, batch: int) -> None:
    stage.message(client, Submit(batch, [spec(key)], True, span))


def logs(stage: SchedulerStage, answers: dict[str, dict[str, list[LogLine]]]) -> dict[str, list[LogLine]]:
    """Ask for the lines of x, and return them as soon as these hosts have answered."""
    stage.take()
    stage.message("alice", GetLogs(7, None, "x"))
    asked = {peer: message.request for peer, message in stage.sent if isinstance(message, GetLogs)}
    for host, answer in answers.items():
        stage.message(host, Reply(asked[host], ProcessLogs(answer)))
    ((_, reply),) = stage.taken(Reply)
    assert isinstance(reply.value, ProcessLogs)
    return reply.value.lines


def test_lines_go_to_the_client_that_submitted_the_call_with_their_span() -> None:
    stage = SchedulerStage("a")
    submit(stage, "alice", "x", "alice/3", 1)
    stage.take()
    write(stage, "x", "hello", dropped=2)
    assert stage.take() == [("alice", CallOutput(X, "alice/3", "a-0", [line("hello")], 2))]


def test_lines_of_a_call_that_nobody_knows_any_more_go_nowhere() -> None:
    stage = SchedulerStage("a")
    write(stage, "x", "hello")
    assert stage.take() == []


def test_lines_beyond_a_clients_limit_are_counted_and_told_of_at_the_next_tick() -> None:
    stage = SchedulerStage("a")
    submit(stage, "alice", "x", "alice/3", 1)
    burst = int(BURST * CLIENT_RATE)
    write(stage, "x", *["a"] * burst)
    stage.take()
    write(stage, "x", "b", "c")
    write(stage, "x", "d")
    assert stage.taken(CallOutput) == []
    stage.event(Ticked())
    assert stage.taken(CallOutput) == [("alice", CallOutput(Key(""), "alice/3", "", [], 3))]
    stage.event(Ticked())
    assert stage.taken(CallOutput) == []


def test_the_lines_of_a_call_survive_the_host_that_kept_them() -> None:
    stage = SchedulerStage("a", "b")
    submit(stage, "alice", "x", "alice/3", 1)
    write(stage, "x", "1", "2", host="a")
    stage.leave("a")
    assert logs(stage, {"b": {"b-0": []}}) == {"a-0": [line("1"), line("2")], "b-0": []}


def test_the_lines_of_a_call_are_answered_with_once_while_their_host_is_there() -> None:
    stage = SchedulerStage("a")
    submit(stage, "alice", "x", "alice/3", 1)
    write(stage, "x", "1", "2")
    assert logs(stage, {"a": {"a-0": [line("1"), line("2")]}}) == {"a-0": [line("1"), line("2")]}
    assert logs(stage, {"a": {"a-0": []}}) == {"a-0": [line("1"), line("2")]}


def test_only_the_last_lines_are_remembered() -> None:
    stage = SchedulerStage("a")
    for number in range(3):
        write(stage, "x", *[str(number)] * (KEPT_LINES // 2))
    remembered = stage.machine.state.lines.of("x", 0.0)["a-0"]
    assert len(remembered) == KEPT_LINES
    assert remembered[0].text == "1"


def test_cancelling_a_span_stops_what_its_client_submitted_there_and_nothing_else() -> None:
    stage = SchedulerStage("a", "b", "c", "d")
    submit(stage, "alice", "done", "alice/2", 1)
    stage.finish("done")
    for batch, (client, key, span) in enumerate(
        [("alice", "mine", "alice/2"), ("alice", "later", "alice/3"), ("bob", "other", "alice/2")], 2
    ):
        submit(stage, client, key, span, batch)
    stage.take()
    stage.message("alice", CancelSpan("alice/2", "its cell was interrupted"))
    assert stage.taken(ResultCancelled) == [
        ("alice", ResultCancelled(Key("mine"), "its cell was interrupted")),
    ]
    assert stage.status("mine") is None
    assert stage.status("done") is FINISHED
    assert stage.status("later") is ASSIGNED
    assert stage.status("other") is ASSIGNED


def test_cancelling_a_span_stops_also_running_calls_that_were_let_go_of_before() -> None:
    stage = SchedulerStage("a", "b")
    submit(stage, "alice", "mine", "alice/2", 1)
    submit(stage, "bob", "other", "alice/2", 2)
    for client, key in (("alice", "mine"), ("bob", "other")):
        stage.message(client, ReleaseKeys([Key(key)]))
    withdrawn = [message for _, message in stage.taken(Withdraw)]
    assert [(message.key, message.interrupt) for message in withdrawn] == [("mine", False), ("other", False)]
    stage.message("alice", CancelSpan("alice/2", "its cell was interrupted"))
    [(_, again)] = stage.taken(Withdraw)
    assert again == Withdraw(Key("mine"), withdrawn[0].attempt, interrupt=True)
