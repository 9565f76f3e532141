from __future__ import annotations

from himalia.messages import LogLine, WorkerOutput
from himalia.names import Key, WorkerName
from himalia.nanny.output import BURST, HOST_RATE, OutgoingLines

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
