from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from himalia.messages.parts import Timing
from himalia.messages.telemetry import TaskRecord
from himalia.names import HostId, Key, PeerId
from himalia.telemetry.finished_calls import BLOCK, Row, TelemetryLog


def row(number: int) -> Row:
    timing = Timing(float(number), 0.0, 1.0, 0.0)
    return (Key(f"x-{number}"), "x", HostId(PeerId("host")), "worker", "ok", timing, 8)


def filled(count: int, limit: int = 4 * BLOCK) -> TelemetryLog:
    log = TelemetryLog(limit)
    for number in range(count):
        log.add(row(number))
    return log


@pytest.mark.parametrize("count", [0, 1, BLOCK, 2 * BLOCK, 2 * BLOCK + 1, 5 * BLOCK])
def test_everything_that_is_kept_is_found_again_in_order(count: int) -> None:
    starts = [record.timing.start for record in filled(count).since_time(0.0)]
    assert starts == [float(number) for number in range(count)]


def test_packing_at_any_time_changes_nothing() -> None:
    log = TelemetryLog(4 * BLOCK)
    for number in range(500):
        log.add(row(number))
        if number % 7 == 0:
            log.pack()
    assert [record.key for record in log.since_time(0.0)] == [f"x-{number}" for number in range(500)]


def test_it_is_bounded_and_counts_what_it_forgot() -> None:
    log = filled(50 * BLOCK)
    assert len(log) <= 6 * BLOCK
    assert log.total == 50 * BLOCK
    records, skipped = log.since_number(0, 10**9)
    assert len(records) + skipped == 50 * BLOCK
    assert records[-1].key == f"x-{50 * BLOCK - 1}"


def test_a_follower_gets_what_is_new_and_the_newest_of_it_always() -> None:
    log = filled(100)
    records, skipped = log.since_number(90, 1000)
    assert [record.key for record in records] == [f"x-{number}" for number in range(90, 100)]
    assert skipped == 0
    assert log.since_number(100, 1000) == ([], 0)


def test_what_is_too_much_is_thinned_evenly() -> None:
    records, skipped = filled(3 * BLOCK).since_number(0, 100)
    assert len(records) <= 100
    assert records[-1].key == f"x-{3 * BLOCK - 1}"
    gaps = [b.timing.start - a.timing.start for a, b in pairwise(records)]
    seams = [gap for gap in gaps if gap != gaps[0]]
    assert len(seams) <= 1, "only where packed records end and unpacked ones begin"
    assert all(gaps[0] / 2 <= gap <= 2 * gaps[0] for gap in seams)
    assert skipped == 3 * BLOCK - len(records)


def test_blocks_hold_every_record_once_for_whoever_asks_in_steps() -> None:
    log = filled(0)
    got: list[TaskRecord] = []
    seen = 0
    for count in (1, 5, 3 * BLOCK, 0, 7):
        for _ in range(count):
            log.add(row(log.total))
        for block in log.blocks_since(seen):
            got += msgspec.msgpack.decode(block, type=list[TaskRecord])
        seen = log.total
    assert [record.key for record in got] == [f"x-{number}" for number in range(log.total)]


def test_blocks_that_fell_out_of_the_ring_are_missing_and_nothing_else() -> None:
    log = filled(6 * BLOCK, limit=2 * BLOCK)
    rows = [record for block in log.blocks_since(0) for record in msgspec.msgpack.decode(block, type=list[TaskRecord])]
    assert rows[-1].key == f"x-{6 * BLOCK - 1}"
    assert len(rows) == len(log) <= 3 * BLOCK
