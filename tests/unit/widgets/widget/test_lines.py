from __future__ import annotations

from himalia.messages.answers import ProcessLogs
from himalia.messages.telemetry import LogLine
from himalia_widgets.widget.lines import SHOWN, LineReader


def line(time: float, text: str, source: str = "stdout") -> LogLine:
    return LogLine(time, source, text, "key-1")


def test_lines_of_all_processes_are_sent_in_order_and_only_once() -> None:
    reader = LineReader()
    message = reader.take(
        ProcessLogs({"w-1": [line(2.0, "b")], "w-0": [line(1.0, "a"), line(3.0, "c")]}), {"scheduler": "up\n"}
    )
    assert message is not None
    assert message["full"]
    assert [(process, text) for _, process, _, text, _ in message["lines"]] == [
        ("scheduler", "up"), ("w-0", "a"), ("w-1", "b"), ("w-0", "c"),
    ]  # fmt: skip
    assert reader.since == 3.0
    assert reader.take(ProcessLogs({}), {"scheduler": "up\n"}) is None
    more = reader.take(ProcessLogs({"w-0": [line(4.0, "d")]}), {"scheduler": "up\nagain\n"})
    assert more is not None
    assert not more["full"]
    assert [text for _, _, _, text, _ in more["lines"]] == ["again", "d"]


def test_a_page_that_opens_the_tab_gets_everything_again() -> None:
    reader = LineReader()
    reader.take(ProcessLogs({"w-0": [line(1.0, "a")]}), {})
    reader.restart(2, 100.0)
    assert reader.since == 0.0
    message = reader.take(ProcessLogs({}), {})
    assert message == {"type": "lines", "full": True, "lines": []}


def test_of_a_large_cluster_only_the_last_minute_is_asked_for() -> None:
    reader = LineReader()
    reader.restart(1000, 100.0)
    assert reader.since == 40.0


def test_a_flood_is_cut_to_its_newest_lines_and_long_ones_are_shortened() -> None:
    reader = LineReader()
    message = reader.take(ProcessLogs({"w-0": [line(float(n), "x" * 10_000) for n in range(SHOWN + 5)]}), {})
    assert message is not None
    assert len(message["lines"]) == SHOWN
    assert message["lines"][-1][0] == SHOWN + 4
    assert message["lines"][0][3] == "x" * 2000


def test_a_nanny_that_cannot_tell_says_so() -> None:
    reader = LineReader()
    message = reader.take(ProcessLogs({"w-0": [LogLine(1.0, "ERROR", "boom")]}, {"nanny": "no answer"}), {})
    assert message is not None
    assert [(level, text) for _, _, level, text, _ in message["lines"]] == [("ERROR", "boom"), ("ERROR", "no answer")]
    assert reader.take(ProcessLogs({}, {"nanny": "no answer"}), {}) is None, "once is enough"
    assert reader.take(ProcessLogs({}), {}) is None
    assert reader.take(ProcessLogs({}, {"nanny": "no answer"}), {}) is not None, "again"


def test_new_lines_are_told_where_the_oldest_are_let_go_of() -> None:
    reader = LineReader()
    lines = [f"line {number // 2}" for number in range(400)]
    told = []
    for end in (*range(3), 200, 201, 207, 390, 400):
        message = reader.take(ProcessLogs({}), {"nanny": "\n".join(lines[max(0, end - 200) : end])})
        told += [row[3] for row in message["lines"]] if message is not None else []
    assert told == lines
