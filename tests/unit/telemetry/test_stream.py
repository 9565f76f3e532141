from __future__ import annotations

from itertools import pairwise

import pytest

from himalia.messages import Timing
from himalia.names import HostId, Key, PeerId
from himalia.telemetry.stream import BLOCK, Row, TelemetryLog


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
    gaps = {b.timing.start - a.timing.start for a, b in pairwise(records)}
    assert len(gaps) == 1
    assert skipped == 3 * BLOCK - len(records)
