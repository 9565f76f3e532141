"""Parts of the client that are a few lines each."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from himalia import exceptions, serialize
from himalia.client.engine.engine import Engine
from himalia.client.engine.errors_view import error_of, rebuild
from himalia.client.engine.state import CANCELLED, ERROR, FINISHED, LOST, PENDING, Record
from himalia.client.engine.timing import clock
from himalia.client.engine.tracebacks import traceback_of
from himalia.client.engine.watchers import Countdown, Sleeper
from himalia.client.futures_in import futures_of
from himalia.client.nesting import pack_futures, unpack_futures
from himalia.client.packing.calls import KeyMaker, check_callable, make_options
from himalia.client.progress import Counter, RecordsProgress
from himalia.client.versions import compare, versions_here
from himalia.errors import (
    CancelledError,
    ClosedError,
    DataLostError,
    KilledWorkerError,
    NoSuitableWorkerError,
    RemoteError,
    UsageError,
)
from himalia.follow.progress import show_bars
from himalia.messages.parts import Frame, TaskError, TaskOptions
from himalia.names import Key, PeerId
from himalia.show.bars import draw, line, speed
from himalia.telemetry.group_names import group_name
from tests.waiting import wait_until

X = Key("x")


def finished(key: str = "x") -> Record:
    return Record(Key(key), FINISHED)


# Groups


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("inc-6e8d0ffa1e7bb9c5", "inc"),
        (("random_sample-sum-9bd2c1e8a70011aa", 0, 3), "random_sample-sum"),
        ("('x-9bd2c1e8a70011aa', 0)", "x"),
        ("load-17", "load"),
        ("plain", "plain"),
        (7, "int"),
        ("-6e8d0ffa1e7bb9c5", "-6e8d0ffa1e7bb9c5"),
    ],
)
def test_a_group_is_what_stands_before_the_digest(key: Any, name: str) -> None:
    assert group_name(key) == name


# Names and options of calls


def test_names_of_content_are_equal_for_equal_content_only() -> None:
    keys = KeyMaker(PeerId("client-1"))
    assert keys.of_content("f", [b"a"]) == keys.of_content("f", [b"a"])
    assert keys.of_content("f", [b"a"]) != keys.of_content("f", [b"b"])
    assert keys.of_content("f", [b"p", b"ab", b"c"]) != keys.of_content("f", [b"p", b"a", b"bc"])
    assert keys.of_content("f", [b"a", b"b"]) != keys.of_content("f", [b"a", b"b"], b"g")


def test_large_content_gets_a_name_of_its_own() -> None:
    keys = KeyMaker(PeerId("client-1"))
    large: list[serialize.Buffer] = [b"a", bytes(2_000_000)]
    assert keys.of_content("f", large) != keys.of_content("f", large)


def test_options_that_say_nothing_are_none() -> None:
    assert make_options() is None
    assert make_options(priority=0, retries=0, workers=[], resources={}) is None


def test_options() -> None:
    options = make_options(priority=2, retries=1, workers="w", allow_other_workers=True, resources={"GPU": 1})
    assert options == TaskOptions(2.0, 1, ("w",), True, {"GPU": 1.0})


@pytest.mark.parametrize(
    "wrong",
    [
        {"retries": -1},
        {"resources": {"GPU": -1}},
        {"resources": ["GPU"]},
        {"allow_other_workers": True},
        {"priority": "high"},
    ],
)
def test_options_that_mean_nothing(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        make_options(**wrong)


def test_a_call_in_the_place_of_a_function_is_explained() -> None:
    with pytest.raises(TypeError, match=r"Write submit\(f, x\)"):
        check_callable(3, "submit")  # type: ignore[arg-type]


# Containers


def test_values_are_put_where_the_futures_were() -> None:
    found, rebuild_ = unpack_futures({"a": [1, (2,)], "b": {3}})
    assert found == []
    assert rebuild_(iter(())) == {"a": [1, (2,)], "b": {3}}


@pytest.mark.parametrize(
    ("data", "count"), [([1, 2], 2), ((1,), 1), ({"a": 1}, 1), ({1, 2}, 2), (range(3), 3), ("text", 1)]
)
def test_scattered_containers(data: Any, count: int) -> None:
    names, values, rebuild_ = pack_futures(data)
    assert len(values) == len(names) == count
    expected = list(data) if isinstance(data, range) else data
    assert rebuild_(values) == expected


def test_an_iterator_is_scattered_as_a_list() -> None:
    def numbers() -> Iterator[int]:
        yield from range(3)

    _, values, rebuild_ = pack_futures(numbers())
    assert rebuild_(values) == [0, 1, 2]


# Waiting


def test_a_countdown_wakes_once_when_all_settled() -> None:
    woken: list[int] = []
    countdown = Countdown(lambda: woken.append(1))
    countdown.begin(2)
    countdown(finished())
    assert woken == []
    countdown(finished())
    countdown(finished())
    assert woken == [1]


def test_a_countdown_of_nothing_wakes_at_once() -> None:
    sleeper = Sleeper()
    Countdown(sleeper.wake).begin(0)
    assert sleeper.sleep(0)


def test_a_countdown_may_end_at_the_first_error() -> None:
    sleeper = Sleeper()
    countdown = Countdown(sleeper.wake, stop_at_error=True)
    countdown.begin(3)
    countdown(finished())
    assert not sleeper.sleep(0)
    countdown(Record(X, ERROR))
    assert sleeper.sleep(0)


# Errors


def raised(exception: BaseException, **fields: Any) -> TaskError:
    frames = (Frame("/nb/cell.py", 3, "outer"), Frame("/nb/cell.py", 9, "Thing.inner"))
    return TaskError(
        "exception", X, repr(exception), exceptions.pack(exception, lambda trace: ()), frames, "w-1", **fields
    )


def test_an_exception_arrives_as_itself_with_the_users_frames() -> None:
    error = rebuild(raised(ValueError("no")), X)
    assert type(error) is ValueError
    shown = "".join(traceback.format_exception(error))
    assert 'File "/nb/cell.py", line 3, in outer' in shown
    assert 'File "/nb/cell.py", line 9, in inner' in shown
    assert "himalia" not in shown


def test_an_exception_says_where_it_happened() -> None:
    error = rebuild(raised(ValueError("no"), attempts=3), Key("y"))
    assert error.__notes__ == ["Raised by x on w-1, attempt 3.", "y depends on it and was not run."]


@pytest.mark.parametrize("line", [1, 2, 33, 34, 4_000, 1_000_000])
def test_a_remote_frame_is_at_its_line_of_a_file_that_begins_before_it(line: int) -> None:
    trace = traceback_of([Frame("a.py", line, "f")])
    assert trace is not None
    assert (trace.tb_lineno, trace.tb_frame.f_lineno) == (line, line)
    assert trace.tb_frame.f_code.co_firstlineno == 1


def test_a_remote_frame_begins_where_its_function_does() -> None:
    trace = traceback_of([Frame("a.py", 40, "f", 33), Frame("a.py", 7, "g", 9)])
    assert trace is not None and trace.tb_next is not None
    assert (trace.tb_frame.f_code.co_firstlineno, trace.tb_frame.f_lineno) == (33, 40)
    assert (trace.tb_next.tb_frame.f_code.co_firstlineno, trace.tb_next.tb_frame.f_lineno) == (7, 7)


def test_a_traceback_names_files_functions_and_lines() -> None:
    trace = traceback_of([Frame("a.py", 5, "f"), Frame("b.py", 700, "g")])
    assert [(entry.filename, entry.lineno, entry.name) for entry in traceback.extract_tb(trace)] == [
        ("a.py", 5, "f"),
        ("b.py", 700, "g"),
    ]
    assert traceback_of([]) is None


def test_an_exception_that_cannot_be_unpickled_here_says_what_is_known() -> None:
    error = rebuild(TaskError("exception", X, "Odd: what happened", b"\x80garbage"), X)
    assert type(error) is RemoteError
    assert "Odd: what happened" in str(error)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("killed", KilledWorkerError), ("lost", DataLostError), ("refused", NoSuitableWorkerError), ("new", RemoteError)],
)
def test_errors_without_an_exception(kind: str, expected: type[BaseException]) -> None:
    error = rebuild(TaskError(kind, X, "why"), X)
    assert type(error) is expected
    assert str(error) == "why"


def test_a_cancelled_record_says_why() -> None:
    error = error_of(Record(X, CANCELLED, reason="enough"))
    assert type(error) is CancelledError
    assert str(error) == "x was cancelled: enough."


def test_what_was_lost_with_the_scheduler_is_a_closed_error() -> None:
    record = Record(X, LOST, error=TaskError("lost", X, "it is gone"))
    assert type(error_of(record, "it is gone")) is ClosedError


# What is shown


def test_a_line_of_progress() -> None:
    records = [finished(), Record(X, ERROR), Record(X, refs=1, submitted=10.0), Record(X, refs=1, submitted=11.0)]
    assert line(Counter("x", records, now=lambda: 12.0).look()).endswith("] 2 of 4 |  50% |   2.0s | 1 failed")


def test_what_was_cancelled_or_let_go_of_is_neither_done_nor_failed() -> None:
    statuses = [FINISHED, CANCELLED, ERROR, LOST]
    counter = Counter("x", [*(Record(X, status, refs=1) for status in statuses), Record(X, PENDING, refs=0)])
    bar = counter.look()
    assert (bar.ended, bar.failed, bar.cancelled, bar.released, bar.left, bar.total) == (3, 2, 1, 1, 0, 5)
    markup = draw([bar], 1.0)
    assert "3 / 5" in markup
    assert "2 failed" in markup
    assert "1 cancelled" in markup
    assert "1 released" in markup


def test_progress_counts_from_the_submission_of_what_was_still_to_come() -> None:
    old = Record(X, FINISHED, refs=1, submitted=1.0)
    new = Record(X, refs=1, submitted=100.0)
    time = iter([103.0, 104.5])
    counter = Counter("x", [old, new], now=lambda: next(time))
    assert counter.look().waited == 3.0
    new.status = FINISHED
    assert speed(counter.look(), 1.0) == "done in 4.5 s"
    assert speed(counter.look(), 900.0) == "done in 4.5 s"
    assert speed(Counter("x", [old]).look(), 1.0) == "done"


def test_no_time_is_told_that_has_passed_already() -> None:
    """A hundred short calls ended in a second; two long ones of the same function are still running."""
    time = iter([2.0, 31.0, 32.0])
    records = [Record(X, refs=1, submitted=1.0) for _ in range(102)]
    counter = Counter("x", records, now=lambda: next(time))
    for record in records[:100]:
        record.status = FINISHED
    assert speed(counter.look(), 1.0) == "100/s, 0.0 s left"
    assert speed(counter.look(), 30.0) == ""
    records[100].status = FINISHED
    assert speed(counter.look(), 31.0) == "3.3/s, 0.3 s left"


class FakeShell:
    """Tells whoever watches records, as the client's own shell does."""

    def __init__(self) -> None:
        self.watchers: list[Countdown] = []

    def watch(self, records: Sequence[Record], watcher: Countdown, begin: Callable[[int], None]) -> None:
        begin(len(records))
        self.watchers.append(watcher)

    def unwatch(self, records: Sequence[Record], watcher: Countdown) -> None:
        self.watchers.remove(watcher)


def test_bars_end_when_the_last_future_does() -> None:
    """Looks are far apart where there is much to count, and what is told at the end is a time."""
    shell, record = FakeShell(), Record(X, refs=1, submitted=clock())
    shown: list[str] = []
    engine = cast(Engine, SimpleNamespace(shell=shell))
    counted = RecordsProgress(engine, {"x": [record]})
    thread = show_bars(counted, lambda markup: shown.append, complete=True, interval=20.0)
    wait_until(lambda: shell.watchers)
    record.status = FINISHED
    for watcher in shell.watchers:
        watcher(record)
    thread.join(10.0)
    assert not thread.is_alive()
    assert "1 / 1" in shown[-1]


def test_a_future_that_is_retried_is_to_come_again() -> None:
    failed, other = Record(X, ERROR, refs=1), Record(X, refs=1)
    counter = Counter("x", [failed, other])
    assert counter.look().failed == 1
    failed.status = PENDING
    assert (counter.look().failed, counter.look().left) == (0, 2)


# Versions


def test_equal_versions_need_no_table() -> None:
    here = versions_here()
    assert compare({"client": here, "scheduler": here, "workers": {"a": here}, "nannies": {"b": here}}) == ""


def test_a_table_of_what_differs() -> None:
    table = compare(
        {
            "client": {"python": "3.11.7", "numpy": "2.0"},
            "scheduler": {"python": "3.11.2"},
            "workers": {
                "tcp://a": {"python": "3.12.1", "numpy": "2.0"},
                "tcp://b": {"python": "3.11.7", "numpy": "1.9"},
            },
        }
    )
    assert "python" in table
    assert "3.12.1" in table
    assert "1.9" in table


def test_the_patch_version_of_python_does_not_matter() -> None:
    assert compare({"client": {"python": "3.11.7"}, "scheduler": {"python": "3.11.2"}, "workers": {}}) == ""


def test_futures_are_found_in_what_contains_itself() -> None:
    ring: list[object] = [1]
    table: dict[str, object] = {"ring": ring}
    ring += [table, ring, (table, {"again": ring})]
    assert futures_of(ring) == futures_of(table) == []
