from __future__ import annotations

import msgspec

from himalia.messages.parts import Timing
from himalia.messages.telemetry import TaskRecord
from himalia.names import HostId, Key, PeerId
from himalia_widgets.view.calls import CallTable, Lane

HOST = HostId(PeerId("nanny-1"))


def record(number: int, *, worker: str = "w-0", thread: int = 0, status: str = "ok") -> TaskRecord:
    timing = Timing(100.0 + number, 0.25, 0.5, 0.125, thread, 0.0625, 77)
    return TaskRecord(Key(f"inc-{number}"), "inc", HOST, worker, status, timing, 8 * number)


def test_a_record_is_the_same_whether_it_came_as_an_object_or_packed() -> None:
    records = [record(number, thread=number % 2) for number in range(5)]
    one, other = CallTable(10), CallTable(10)
    one.add_records(records, {})
    other.add_block(msgspec.msgpack.encode(records), {})
    for name in one.columns:
        assert one[name].tolist() == other[name].tolist()
    assert one["start"].tolist() == [100.0, 101.0, 102.0, 103.0, 104.0]
    assert one["end"].tolist() == [100.875, 101.875, 102.875, 103.875, 104.875]
    assert one["moved"].tolist() == [77] * 5
    assert one.lanes == [Lane(HOST, "w-0", 0), Lane(HOST, "w-0", 1)] or len(one.lanes) == 2


def test_the_ring_keeps_the_newest_whatever_the_size_of_the_blocks() -> None:
    for size in (1, 3, 7, 50):
        table = CallTable(10)
        for first in range(0, 100, size):
            table.add_records([record(number) for number in range(first, min(first + size, 100))], {})
        assert sorted(table["nbytes"].tolist()) == [8 * number for number in range(90, 100)]
        newest = table.since(95)
        assert table.columns["key"][newest].tolist() == [f"inc-{number}" for number in range(95, 100)]


def test_the_calls_of_a_task_are_found_in_the_order_in_which_they_ended_also_around_the_end_of_the_ring() -> None:
    table = CallTable(10)
    table.add_records([record(number % 4, worker=f"w-{number}") for number in range(13)], {})
    assert [table.lanes[table["lane"][row]].worker for row in table.of_key("inc-0")] == ["w-4", "w-8", "w-12"]
    assert table.of_key("other") == []


def test_a_reader_that_was_away_too_long_gets_what_is_left() -> None:
    table = CallTable(10)
    table.add_records([record(number) for number in range(50)], {})
    assert table.columns["key"][table.since(3)].tolist() == [f"inc-{number}" for number in range(40, 50)]
    assert len(table.since(50)) == 0


def test_more_than_there_ever_was_is_what_there_is() -> None:
    table = CallTable(10)
    table.add_records([record(number) for number in range(3)], {})
    assert table.columns["key"][table.since(-5)].tolist() == ["inc-0", "inc-1", "inc-2"]


def test_a_window_has_every_call_of_which_any_part_lies_in_it() -> None:
    table = CallTable(10)
    table.add_records([record(number) for number in range(5)], {})
    assert table["key"][table.window(101.9, 103.0)].tolist() == ["inc-2", "inc-3"]  # inc-3 by its transfer
    assert len(table.window(0.0, 50.0)) == 0


def test_calls_of_a_host_whose_clock_is_wrong_are_moved_to_ours() -> None:
    table = CallTable(10)
    table.add_records([record(0)], {HOST: 1000.0})
    assert table["start"].tolist() == [1100.0]


def test_what_was_refused_before_it_began_is_in_no_window() -> None:
    table = CallTable(10)
    table.add_records([TaskRecord(Key("x"), "x", HOST, "w", "error", Timing(0.0, 0.0, 0.0, 0.0), 0)], {})
    assert len(table) == 1
    assert len(table.window(-1.0, 1e10)) == 0
    assert table.first == float("inf")
