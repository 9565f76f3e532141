from __future__ import annotations

from himalia.machine import Send, Ticked
from himalia.messages.nanny import Heartbeat, WorkerDied, WorkerOutput
from himalia.messages.telemetry import LogLine
from himalia.messages.worker import Printed
from himalia.names import SCHEDULER, Key, WorkerName
from himalia.nanny.events import KeepLines
from himalia.nanny.output import BURST, HOST_RATE, OutgoingLines, newest
from himalia.nanny.state import UNREAD
from himalia.settings import Settings
from himalia.testing.builders import make_compute
from himalia.testing.stages.nanny import FIRST, NannyStage, finished, sent

X, Y = Key("x"), Key("y")
A = WorkerName("a")


def line(text: str, key: str = "x") -> LogLine:
    return LogLine(1.0, "stdout", text, key)


def test_lines_of_a_call_leave_with_its_answer_as_one_message() -> None:
    sent: list[WorkerOutput] = []
    output = OutgoingLines(sent.append)
    output.add(X, A, [line("1")], 0, 0.0)
    output.add(X, A, [line("2")], 3, 0.0)
    output.add(Y, A, [line("other")], 0, 0.0)
    output.finish(X)
    assert sent == [WorkerOutput(X, A, [line("1"), line("2")], 3)]
    output.flush()
    assert sent[1:] == [WorkerOutput(Y, A, [line("other")])]
    output.flush()
    assert len(sent) == 2


def test_lines_beyond_the_limit_of_the_host_are_counted_and_told_of_once_a_tick() -> None:
    sent: list[WorkerOutput] = []
    output = OutgoingLines(sent.append)
    burst = int(BURST * HOST_RATE)
    output.add(X, A, [line("a")] * (burst + 5), 0, 0.0)
    output.finish(X)
    for key in (X, Y):
        output.add(key, A, [line("b")], 0, 0.0)
        output.finish(key)
    output.flush()
    assert [(len(message.lines), message.dropped) for message in sent] == [(burst, 5), (0, 2)]
    output.add(X, A, [line("later")], 0, 1.0)
    output.flush()
    assert sent[-1].lines == [line("later")]


def test_what_a_call_printed_is_kept_under_its_key_and_told_before_its_result() -> None:
    stage = NannyStage()
    compute = make_compute("x", 3)
    stage.scheduler(compute)
    bare = LogLine(1.0, "stdout", "hello")
    assert stage.event(Printed(1, [bare], 2), FIRST) == [KeepLines(FIRST, X, [line("hello")], 2)]
    out = stage.returns(1)
    told = sent(WorkerOutput(X, FIRST, [line("hello")], 2))
    assert out.index(told) < out.index(finished(compute))
    assert stage.tick(0.2) == []


def test_lines_of_a_call_that_goes_on_are_told_with_the_next_tick() -> None:
    stage = NannyStage()
    stage.scheduler(make_compute("x", 3))
    stage.event(Printed(1, [LogLine(1.0, "stdout", "hello")]), FIRST)
    assert stage.tick(0.2) == [sent(WorkerOutput(X, FIRST, [line("hello")]))]


def test_the_last_words_of_a_call_are_told_before_its_worker_s_death() -> None:
    stage = NannyStage()
    stage.scheduler(make_compute("x", 3))
    stage.event(Printed(1, [LogLine(1.0, "stdout", "hello")]), FIRST)
    messages = [instruction.message for instruction in stage.dies(FIRST, 1) if isinstance(instruction, Send)]
    assert [type(message) for message in messages] == [WorkerOutput, WorkerDied]


def test_lines_of_a_run_that_is_forgotten_are_kept_and_not_told() -> None:
    stage = NannyStage()
    bare = LogLine(1.0, "stdout", "hello")
    assert stage.event(Printed(9, [bare]), FIRST) == [KeepLines(FIRST, Key(""), [bare], 0)]
    assert stage.tick(0.2) == []


def test_a_scheduler_that_reads_nothing_gets_no_lines_and_no_heartbeats_and_is_told_how_many_it_missed() -> None:
    stage = NannyStage(settings=Settings(heartbeat_interval=0.5))
    stage.scheduler(make_compute("x", 1))
    behind = Ticked({SCHEDULER: UNREAD + 1})
    stage.now += 1.0
    stage.event(behind)
    for _ in range(3):
        stage.now += 1.0
        stage.event(Printed(1, [line("1"), line("2")], 1), FIRST)
        out = stage.event(behind)
        assert [i for i in out if isinstance(i, Send)] == []
    stage.tick(1.0)
    stage.event(Printed(1, [line("3")]), FIRST)
    out = [i.message for i in stage.tick(1.0) if isinstance(i, Send)]
    [output] = [message for message in out if isinstance(message, WorkerOutput)]
    assert ([line.text for line in output.lines], output.dropped) == (["3"], 9)
    assert any(isinstance(message, Heartbeat) for message in out)


def test_an_answer_has_the_newest_lines_and_each_worker_its_share() -> None:
    long, short = [line("x" * 40) for _ in range(100)], [line("y")]
    found = newest({"a": [*long, line("last")], "b": short, "c": []}, limit=3000)
    assert [text.text for text in found["a"]] == ["x" * 40] * 9 + ["last"]
    assert (found["b"], found["c"]) == (short, [])
