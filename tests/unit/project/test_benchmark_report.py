from __future__ import annotations

from tests.benchmarks.cases import BY_NAME, CASES, Goal
from tests.benchmarks.engines import MODULES
from tests.benchmarks.report import cell, judge, table
from tests.benchmarks.runner import Outcome


def test_a_cell_shows_median_and_spread() -> None:
    assert cell(Outcome(values=[3.0, 1.0, 2.0])) == "2 (1–3)"


def test_a_cell_without_values_says_why() -> None:
    assert cell(Outcome()) == "–"
    assert cell(Outcome(errors=["not finished after 180 s"])) == "failed"


def test_more_tasks_a_second_are_better() -> None:
    outcomes = {("noop", "himalia"): Outcome(values=[60_000.0]), ("noop", "distributed"): Outcome(values=[600.0])}
    assert judge(BY_NAME["noop"], Goal(50, "distributed"), outcomes) == "✓ 50 × distributed (is 100 ×)"


def test_more_seconds_are_worse() -> None:
    outcomes = {("array", "himalia"): Outcome(values=[2.0]), ("array", "distributed"): Outcome(values=[6.0])}
    assert judge(BY_NAME["array"], Goal(1 / 5, "distributed"), outcomes) == "✗ 5 × distributed (is 3 ×)"


def test_a_goal_may_allow_more_time_than_a_peer_takes() -> None:
    outcomes = {("latency", "himalia"): Outcome(values=[200.0]), ("latency", "pool"): Outcome(values=[100.0])}
    assert judge(BY_NAME["latency"], Goal(1.5, "pool"), outcomes) == "✗ ≤ 1.5 × the time of pool (is 2 ×)"


def test_a_goal_without_a_peer_bounds_the_value() -> None:
    assert judge(BY_NAME["import"], Goal(0.15), {("import", "himalia"): Outcome(values=[0.1])}) == "✓ ≤ 0.15 s"


def test_a_goal_without_both_values_stays_open() -> None:
    assert judge(BY_NAME["noop"], Goal(3, "pool"), {}).startswith("? ")


def test_the_table_has_a_row_for_each_case_and_a_column_for_each_engine() -> None:
    lines = table(CASES, list(MODULES), {}).splitlines()
    assert len(lines) == len(CASES) + 2
    assert {line.count("|") for line in lines} == {len(MODULES) + 4}
