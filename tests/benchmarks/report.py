"""The table: medians with their spread, ratios to himalia, and the goals."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Sequence
from typing import Final

from tests.benchmarks.cases import Case, Goal
from tests.benchmarks.runner import Outcome, Outcomes

SUBJECT = "himalia"


def number(value: float) -> str:
    """Return three significant digits, readable."""
    if value >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def cell(outcome: Outcome) -> str:
    """Return median and spread (lowest–highest) of one engine."""
    if not outcome.values:
        return "failed" if outcome.errors else "–"
    median = number(statistics.median(outcome.values))
    if len(outcome.values) == 1:
        return median
    return f"{median} ({number(min(outcome.values))}–{number(max(outcome.values))})"


def advantage(case: Case, mine: Outcome, other: Outcome) -> float | None:
    """How many times better himalia is than the other; ``None`` if one of them has no values."""
    if not mine.values or not other.values:
        return None
    a, b = statistics.median(mine.values), statistics.median(other.values)
    return a / b if case.more_is_better else b / a


def judge(case: Case, goal: Goal, outcomes: Outcomes) -> str:
    """Return the goal and whether it was met."""
    mine = outcomes.get((case.name, SUBJECT), Outcome())
    if not goal.peer:
        text = f"≤ {number(goal.bound)} {case.unit}"
        if not mine.values:
            return f"? {text}"
        return f"{'✓' if statistics.median(mine.values) <= goal.bound else '✗'} {text}"
    wanted = goal.bound if case.more_is_better else 1 / goal.bound
    slower = wanted < 1  # the goal allows more time than the peer takes
    text = f"≤ {number(goal.bound)} × the time of {goal.peer}" if slower else f"{number(wanted)} × {goal.peer}"
    reached = advantage(case, mine, outcomes.get((case.name, goal.peer), Outcome()))
    if reached is None:
        return f"? {text}"
    return f"{'✓' if reached >= wanted else '✗'} {text} (is {number(1 / reached if slower else reached)} ×)"


def table(cases: Sequence[Case], engines: Sequence[str], outcomes: Outcomes) -> str:
    """Return all results as a Markdown table."""
    rows = [["case", "unit", *engines, "goals"]]
    for case in cases:
        cells = [cell(outcomes.get((case.name, engine), Outcome())) for engine in engines]
        rows.append([case.title, case.unit, *cells, "; ".join(judge(case, goal, outcomes) for goal in case.goals)])
    return markdown(rows)


def markdown(rows: list[list[str]]) -> str:
    """Return rows as a table, the first as its head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)) + " |" for row in rows
    )


def collections(cases: Sequence[Case], engines: Sequence[str], outcomes: Outcomes) -> str:
    """Return what else was measured of collections as a Markdown table, and the geometric means of the ratios."""
    rows = [["collection", *(f"{engine}: {name}" for name in ALSO for engine in engines)]]
    for case in cases:
        found = [outcomes.get((case.name, engine), Outcome()).also for engine in engines]
        if any(found):
            cells = [
                ALSO[name](statistics.median(also[name])) if name in also else "–" for name in ALSO for also in found
            ]
            rows.append([case.name, *cells])
    return markdown(rows) if len(rows) > 1 else ""


ALSO: Final[dict[str, Callable[[float], str]]] = {
    "cold": lambda seconds: f"{number(seconds)} s",
    "peak": lambda megabytes: f"{number(megabytes)} MB",
    "system": lambda share: f"{share:.0%} system",
}
"""What is measured of collections beside the warm time, and how it is written."""


def behind(cases: Sequence[Case], engines: Sequence[str], outcomes: Outcomes) -> list[str]:
    """Say where another engine is better, and how the collections compare in all."""
    lines = []
    for engine in engines:
        ratios = []
        for case in cases:
            mine, other = (outcomes.get((case.name, name), Outcome()) for name in (SUBJECT, engine))
            better = advantage(case, mine, other)
            if engine == SUBJECT or better is None:
                continue
            if mine.also:
                ratios.append(1 / better)
            if better < 1:
                lines.append(f"{case.title}: {engine} is {number(1 / better)} × as good")
        if ratios:
            mean = statistics.geometric_mean(ratios)
            lines.append(f"collections: {number(mean)} × the time of {engine} (geometric mean of {len(ratios)})")
    return lines


def machine() -> str:
    """Return what the numbers were measured on."""
    model = platform.processor() or platform.machine()
    return (
        f"{platform.system()} {platform.release()}, {model}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )


def report(cases: Sequence[Case], engines: Sequence[str], rounds: int, outcomes: Outcomes) -> str:
    """Return everything that is printed at the end."""
    lines = [f"{machine()}; {rounds} rounds; median (lowest–highest); two workers with one thread each", ""]
    versions = {engine: out.version for (_, engine), out in outcomes.items() if out.version}
    lines += [", ".join(f"{engine}: {versions[engine]}" for engine in engines if engine in versions), ""]
    lines += [table(cases, engines, outcomes), ""]
    if more := collections(cases, engines, outcomes):
        lines += [more, ""]
    lines += [*behind(cases, engines, outcomes), ""]
    for (case, engine), outcome in outcomes.items():
        lines += [f"{case}, {engine}: {note}" for note in outcome.notes[-1:] if engine == SUBJECT]
        lines += [f"{case}, {engine} failed: {error.rstrip()}" for error in outcome.errors]
    absent = {engine: out.missing for (_, engine), out in outcomes.items() if out.missing.startswith("not installed")}
    lines += [f"{engine}: {reason}" for engine, reason in absent.items()]
    return "\n".join(lines)
