"""What a replay answers beside the pages of a dashboard: the moment it is at, and how two runs differ.

A moment is chosen by asking for it, so that the guard's rule holds here too: pages ask, and nothing is sent to them.
Whoever has the page open moves the same moment.
"""

from __future__ import annotations

from typing import Final, TypedDict

from himalia.show.plain import Plain
from himalia_widgets.dashboard.rest import Answer, Argument, JsonHandler, Route
from himalia_widgets.replay.comparison import FunctionTimes, compare, whole_run
from himalia_widgets.replay.source import ReplaySource
from himalia_widgets.view.units import seconds

SPEEDS: Final = (0.1, 1000.0)
"""Least and most recorded seconds for each second."""
ROWS: Final = 200
"""Functions of two runs that are compared, those that took the longest."""


class Differences(TypedDict):
    """How two runs differ."""

    titles: list[str]
    lengths: list[str]
    """As they are said everywhere."""
    rows: list[Plain]
    left_out: int
    """Functions for which there is no row."""


def routes(source: ReplaySource, compared: tuple[ReplaySource, ReplaySource] | None = None) -> list[Route]:
    """Return Tornado's routes for a recording that is moved, and for two that are compared, which nobody moves."""

    async def moment(argument: Argument) -> Answer:
        return move(source, argument) | {"runs": 1 if compared is None else 2}

    found: list[Route] = [(r"/replay\.json", JsonHandler, {"answer": moment})]
    if compared is not None:
        first, second = compared

        async def differences(argument: Argument) -> Answer:
            return describe_differences(first, second)

        found.append((r"/compare\.json", JsonHandler, {"answer": differences}))
    return found


def move(source: ReplaySource, argument: Argument) -> Plain:
    """Do what is asked for (``time`` in seconds since the start, ``speed``, ``play``), and tell where it is now."""
    reel = source.reel
    # 0 is no speed: time that stands still is a pause.
    if speed := read_number(argument("speed")):
        source.speed = min(max(speed, SPEEDS[0]), SPEEDS[1])
    # Before ``play``, which begins anew if it is at the end.
    time = read_number(argument("time"))
    if time is not None:
        source.seek(reel.started + time)
    if argument("play") == "1":
        source.play()
    elif argument("play") == "0":
        source.pause()
    return {
        "title": source.title,
        "started": reel.started,
        "length": source.length,
        "time": reel.time - reel.started,
        # As the terminal and the page of two runs say them.
        "texts": [seconds(reel.time - reel.started), seconds(source.length)],
        "speed": source.speed,
        "playing": source.is_playing,
    }


def read_number(text: str) -> float | None:
    """Return the number that a text is, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < 1e12 else None  # nor is "nan" or "inf" one


def describe_differences(first: ReplaySource, second: ReplaySource) -> Differences:
    """Return the titles of two runs, and a row for each function."""
    rows = compare(first.history, second.history)
    # First, and never cut: the total is of all functions, also of those that are left out below.
    total = ("All functions", whole_run(first.history), whole_run(second.history))
    return {
        "titles": [source.title for source in (first, second)],
        "lengths": [seconds(source.length) for source in (first, second)],
        "rows": [describe_row(*row) for row in (total, *rows[:ROWS])],
        "left_out": max(0, len(rows) - ROWS),
    }


def describe_row(name: str, first: FunctionTimes, second: FunctionTimes) -> Plain:
    """Return one function; each number twice."""
    return {"name": name} | {field: [getattr(first, field), getattr(second, field)] for field in FunctionTimes._fields}
