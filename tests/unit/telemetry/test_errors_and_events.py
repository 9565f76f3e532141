from __future__ import annotations

from himalia.messages.parts import Frame, TaskError
from himalia.names import Key
from himalia.telemetry.errors import CAUSES, EXAMPLES, ErrorTable
from himalia.telemetry.events import EVENTS, EventLog


def raised(key: str, line: int = 3, text: str = "ValueError: no", worker: str = "w-0") -> TaskError:
    return TaskError(
        "exception", Key(key), text, b"pickle", (Frame("a.py", 1, "main"), Frame("a.py", line, "f")), worker
    )


def test_calls_that_fail_at_the_same_line_are_one_cause_with_a_count() -> None:
    table = ErrorTable()
    for number in range(412):
        table.add(raised(f"f-{number}", text=f"ValueError: {number}", worker=f"w-{number % 20}"), "f", [Key("x")], 1.0)
    [cause] = table.since(0)
    assert (cause.count, cause.error.key, cause.group, cause.inputs) == (412, "f-411", "f", ("x",))
    assert len(cause.workers) == EXAMPLES
    assert not cause.error.exception, "no pickle is pushed to views"


def test_another_line_another_class_or_another_kind_is_another_cause() -> None:
    table = ErrorTable()
    table.add(raised("a"), "f", [], 1.0)
    table.add(raised("b", line=4), "f", [], 1.0)
    table.add(raised("c", text="KeyError: no"), "f", [], 1.0)
    for group in ("f", "g", "f"):
        table.add(TaskError("killed", Key("d"), "it took its worker down"), group, [], 1.0)
    assert sorted(cause.count for cause in table.since(0)) == [1, 1, 1, 1, 2]


def test_only_causes_that_changed_are_told_again() -> None:
    table = ErrorTable()
    table.add(raised("a"), "f", [], 1.0)
    version = table.version
    assert table.since(version) == []
    table.add(raised("b", line=4), "f", [], 2.0)
    assert [cause.error.key for cause in table.since(version)] == ["b"]


def test_the_table_is_bounded_and_forgets_what_was_seen_longest_ago() -> None:
    table = ErrorTable()
    table.add(raised("often", line=0), "f", [], 0.0)
    for line in range(1, 2 * CAUSES):
        table.add(raised("x", line=line), "f", [], 0.0)
        table.add(raised("often", line=0), "f", [], 0.0)
    causes = table.since(0)
    assert len(causes) == CAUSES
    assert max(cause.count for cause in causes) == 2 * CAUSES


def test_events_are_numbered_bounded_and_found_by_their_subject() -> None:
    log = EventLog()
    for number in range(EVENTS + 5):
        log.add(float(number), "retried", f"key-{number % 7}", "text " * 1000)
    assert log.since(log.total) == []
    assert [event.number for event in log.since(log.total - 2)] == [log.total - 1, log.total]
    assert len(log.since(0)) == EVENTS
    assert {event.subject for event in log.of("key-3")} == {"key-3"}
    assert all(len(event.text) <= 500 for event in log.since(0))
