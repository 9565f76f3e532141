from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine

import pytest

from himalia.errors import ClosedError
from himalia.follow.source import Groups
from himalia.messages.answers import TelemetryReport
from himalia.messages.telemetry import GroupSummary, TaskCounts
from himalia_widgets.cell.cell_bar import CellBar, CellTotals, add_up, facts
from himalia_widgets.view.left import WorkLeft


class FakeClient:
    """Answers with what a test says; closed, it raises."""

    def __init__(self) -> None:
        self.groups: list[GroupSummary] = []
        self.is_closed = False

    def ask(
        self, question: Callable[[Groups], Coroutine[object, object, TelemetryReport]], timeout: float
    ) -> TelemetryReport:
        return asyncio.run(question(self))

    async def telemetry(self, since: float = 0.0, span: str = "") -> TelemetryReport:
        if self.is_closed:
            raise ClosedError("This client is closed.")
        return TelemetryReport(self.groups, [])


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def bar(client: FakeClient, told: list[str], monkeypatch: pytest.MonkeyPatch) -> CellBar:
    monkeypatch.setattr(threading.Thread, "start", lambda thread: None if thread.name == "" else thread.run())
    monkeypatch.setattr(threading.Thread, "join", lambda thread, timeout=None: None)
    monkeypatch.setattr(CellBar, "_run", lambda bar: None)
    return CellBar(client, "c/1", lambda markup, text: told.append(text))


def test_the_last_state_before_a_close_stays(bar: CellBar, client: FakeClient, told: list[str]) -> None:
    client.groups = [GroupSummary("f", "c/1", assigned=2, finished=12, tasks=14)]
    bar._look()
    client.groups = [GroupSummary("f", "c/1", finished=14, compute=7.7)]
    bar.look_last()
    client.is_closed = True
    bar._look()
    assert told[-1].startswith("himalia: 14 of 14 tasks, ")
    assert told[-1].endswith("7.7 thread-seconds")
    assert "close" not in told[-1]


def test_a_close_that_came_first_is_told_as_that(bar: CellBar, client: FakeClient, told: list[str]) -> None:
    client.groups = [GroupSummary("f", "c/1", assigned=2, finished=12)]
    bar._look()
    client.is_closed = True
    bar._look()
    assert "12 of 14 tasks, closed before the rest ended" in told[-1]


def test_the_time_of_what_was_cancelled_or_failed_counts() -> None:
    group = GroupSummary("f", "c/1", cancelled=8, erred=1, failed=1, done=0, wasted=20.0)
    totals = add_up([group], CellTotals(TaskCounts()))
    assert facts(totals)[:3] == ["1 of 9 tasks", "8 cancelled", "1 failed"]
    assert "20.0 thread-seconds" in facts(totals)
    stopping = add_up([GroupSummary("f", "c/1", cancelled=8, stopping=4)], CellTotals(TaskCounts()))
    assert "4 still stopping" in facts(stopping)


def test_the_time_left_is_that_of_the_functions_that_are_left() -> None:
    """Twelve slow calls and three hundred instant ones, two threads: 0.6 s, and not the mean times all."""
    work = WorkLeft()

    def at(now: float, slow: int, quick: int) -> float | None:
        work.add(
            now,
            [
                GroupSummary("slow", "c", waiting=12 - slow, finished=slow, compute=0.2 * slow),
                GroupSummary("quick", "c", waiting=300 - quick, finished=quick, compute=1e-5 * quick),
            ],
        )
        return work.seconds(now)

    assert at(0.0, 0, 0) is None
    assert at(0.6, 6, 0) is None  # nobody knows how long a quick one takes
    assert at(0.6, 6, 1) == pytest.approx(0.6, rel=0.05)
    assert at(1.2, 12, 200) == pytest.approx(0.0, abs=0.01)


def test_a_rest_that_takes_longer_than_it_should_has_no_time_left() -> None:
    work = WorkLeft()
    for now, done in ((0.0, 0), (1.0, 100), (2.0, 100)):
        work.add(now, [GroupSummary("nap", "c", waiting=102 - done, finished=done, compute=0.01 * done)])
    assert work.seconds(2.0) == pytest.approx(0.04)
    work.add(9.0, [GroupSummary("nap", "c", waiting=2, finished=100, compute=1.0)])
    assert work.seconds(9.0) is None


def test_a_function_that_ran_in_an_earlier_cell_is_known() -> None:
    work = WorkLeft()
    groups = [GroupSummary("slow", "c", waiting=5, duration=2.0), GroupSummary("other", "c", finished=0)]
    work.add(0.0, groups)
    work.add(1.0, [groups[0], GroupSummary("other", "c", finished=1, compute=2.0)])
    assert work.seconds(1.0) == pytest.approx(5.0)
