from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from himalia_widgets.view.stream.crowds import ENOUGH, CrowdedCalls, Crowds, crowd

START, LENGTH = 1_700_000_000.0, 100.0

spans = st.tuples(st.floats(0.0, 100.0), st.floats(0.0, 100.0), st.integers(0, 3), st.integers(0, 5))


def make(drawn: list[tuple[float, float, int, int]]) -> CrowdedCalls:
    ordered = [(min(a, b), max(a, b), row, color) for a, b, row, color in drawn]
    start, end, row, color = zip(*ordered, strict=True)
    return CrowdedCalls(
        START + np.array(start), START + np.array(end), np.array(row, np.int32), np.array(color, np.int32)
    )


def busy_by_row(parts: Crowds) -> list[float]:
    return [float(parts.busy[parts.row == row].sum()) for row in range(4)]


def sums(calls: CrowdedCalls) -> list[float]:
    return [float((calls.end - calls.start)[calls.row == row].sum()) for row in range(4)]


@given(st.lists(spans, min_size=1, max_size=60), st.sampled_from([1, 2, 64, 1024]), st.integers(1, 500))
@settings(deadline=None, max_examples=150)
def test_no_second_and_no_call_of_a_row_is_lost_however_coarse_it_is(
    drawn: list[tuple[float, float, int, int]], columns: int, budget: int
) -> None:
    calls = make(drawn)
    parts = crowd(calls, 4, START, LENGTH, columns=columns, budget=budget)
    np.testing.assert_allclose(busy_by_row(parts), sums(calls), atol=1e-5)
    assert int(parts.count.sum()) == len(drawn)
    assert (parts.busy >= 0.0).all()
    assert (parts.below >= 0.0).all()


@given(st.lists(spans, min_size=1, max_size=60))
@settings(deadline=None)
def test_the_seconds_of_each_colour_are_kept_while_there_is_room(drawn: list[tuple[float, float, int, int]]) -> None:
    calls = make(drawn)
    parts = crowd(calls, 4, START, LENGTH, columns=256, budget=100_000)
    of_parts = np.bincount(parts.row * 6 + parts.color, parts.busy, 24)
    of_calls = np.bincount(calls.row * 6 + calls.color, calls.end - calls.start, 24)
    np.testing.assert_allclose(of_parts, of_calls, atol=1e-5)
    assert not parts.mixed.any()


def test_bars_of_a_cell_stand_upon_each_other_and_fill_it_at_most() -> None:
    lane = [(at * 0.1, at * 0.1 + 0.09, 0, at % 3) for at in range(1000)]
    parts = crowd(make(lane), 1, START, LENGTH, columns=256, budget=1000)
    for column in np.unique(parts.start):
        cell = np.flatnonzero(parts.start == column)
        np.testing.assert_allclose(parts.below[cell], np.concatenate([[0.0], np.cumsum(parts.busy[cell])[:-1]]))
        assert parts.busy[cell].sum() <= parts.width * (1 + 1e-9)


def test_with_little_room_columns_stay_fine_and_a_cell_counts_as_its_main_colour() -> None:
    lane = [(at * 0.01, at * 0.01 + 0.009, 0, 1 if at % 10 else 2) for at in range(10_000)]
    parts = crowd(make(lane), 1, START, LENGTH, columns=1024, budget=300)
    assert len(parts.row) == ENOUGH
    assert set(parts.color.tolist()) == {1}
    assert parts.mixed.all()
    assert int(parts.count.sum()) == 10_000


def test_a_call_over_many_columns_counts_in_each_of_them() -> None:
    parts = crowd(make([(10.0, 60.0, 2, 0)]), 4, START, LENGTH, columns=8, budget=100)
    assert parts.busy.tolist() == [2.5, 12.5, 12.5, 12.5, 10.0]
    assert parts.count.tolist() == [1, 0, 0, 0, 0]
