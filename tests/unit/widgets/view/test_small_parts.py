from __future__ import annotations

import itertools
import json
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from himalia.show.natural import natural
from himalia_widgets.view import colors, profile, units
from himalia_widgets.view.colors import PALETTE, Colors
from himalia_widgets.view.series import Series
from himalia_widgets.view.text import hover, label
from tests.unit.widgets.corpus import MARKUP


@pytest.mark.parametrize("text", MARKUP)
def test_no_text_of_a_user_is_tex_or_more_than_a_line(text: str) -> None:
    for fit in (label(text), hover(text)):
        assert not any(
            mark in fit for mark in ("$$", r"\(", r"\[", r"\)", r"\]", "\n", "\r", "\x00", "\u2028", "\u202e")
        )
        assert len(fit) <= 2 * 120
        json.dumps(fit).encode()
        fit.encode()


@given(st.text())
def test_any_text_can_be_sent_and_drawn(text: str) -> None:
    fit = label(text)
    fit.encode()
    assert "$$" not in fit
    assert not {unicodedata.category(mark) for mark in fit} & {"Cc", "Cs", "Zl", "Zp"}


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    fit = label("beginning-" + "x" * 1000 + "-end", 30)
    assert len(fit) == 30
    assert fit.startswith("beginning-")
    assert fit.endswith("-end")
    assert label("short") == "short"


def test_names_are_sorted_as_people_count() -> None:
    names = ["w-10", "w-9", "w-1", "a-2", "w", ""]
    assert sorted(names, key=natural) == ["", "a-2", "w", "w-1", "w-9", "w-10"]


def test_a_function_has_the_same_colour_wherever_it_is_met() -> None:
    code = "from himalia_widgets.view.colors import Colors; c = Colors(); print([c.number(n) for n in ('inc', 'add')])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    here = Colors()
    assert printed.strip() == str([here.number(name) for name in ("inc", "add")])


def test_functions_have_different_colours_as_long_as_there_are_any_and_never_that_of_errors() -> None:
    table = Colors()
    numbers = [table.number(f"function-{number}") for number in range(100)]
    there = len(PALETTE) - colors.MIXED - 1
    assert len(set(numbers[:there])) == there
    assert min(numbers) > colors.MIXED
    assert max(numbers) < len(PALETTE)
    assert [table.number(f"function-{number}") for number in range(100)] == numbers


@given(st.lists(st.text(), min_size=2, max_size=4, unique=True))
def test_the_colours_of_few_functions_can_be_told_apart_at_a_glance(names: list[str]) -> None:
    table = Colors()
    taken = [table.color(name) for name in names]
    assert min(colors.distance(one, other) for one, other in itertools.combinations(taken, 2)) >= colors.APART


def test_colours_can_be_told_from_white_and_from_black() -> None:
    for color in PALETTE:
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert 1.05 / (light + 0.05) > 1.8
        assert (light + 0.05) / 0.05 > 3.5


def test_a_series_is_bounded_and_keeps_the_newest_densely() -> None:
    series = Series(["value"], seconds=1e9, limit=100)
    for number in range(10_000):
        series.add(float(number), number * 2.0)
    times = series.column("time")
    assert len(series) <= 100
    assert series.last("value") == 2.0 * 9999
    assert times[-20:].tolist() == [float(number) for number in range(9980, 10_000)]
    assert (times[1:] > times[:-1]).all()
    assert (series.column("value") == 2 * times).all()


def test_a_series_forgets_what_is_too_old_before_it_thins() -> None:
    series = Series(["value"], seconds=50.0, limit=100)
    for number in range(1000):
        series.add(float(number), 0.0)
    assert series.column("time").min() >= 1000 - 50 - 100


def test_a_point_that_isnt_newer_replaces_the_last() -> None:
    series = Series(["value"], seconds=50.0)
    series.add(1.0, 1.0)
    series.add(1.0, 2.0)
    assert series.column("value").tolist() == [2.0]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0 µs"), (0.0000412, "41 µs"), (0.0123, "12.3 ms"), (1.234, "1.23 s"), (99.0, "99 s"), (200.0, "3 min 20 s"),
     (7500.0, "2 h 05 min"), (90000.0, "1 d 1 h")],
)  # fmt: skip
def test_durations_are_written_in_three_digits(value: float, text: str) -> None:
    assert units.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.50 KiB"), (15 * 2**20, "15.0 MiB"), (150 * 2**30, "150 GiB")],
)
def test_sizes_are_written_in_three_digits(value: int, text: str) -> None:
    assert units.size(value) == text


def test_other_numbers_are_written_for_people() -> None:
    assert (units.count(9800), units.count(1_250_000)) == ("9,800", "1.25 M")
    assert (units.rate(35.4), units.rate(0.26)) == ("35/s", "0.26/s")
    assert (units.soon(0.05), units.soon(80), units.soon(600), units.soon(8000)) == ("1 s", "80 s", "10 min", "2 h")
    assert units.percent(0.5) == "50 %"


SAMPLES = {
    "w-0": [(1.0, "main (a.py:1);load (a.py:5);read (b.py:7)", 6), (2.0, "main (a.py:1);load (a.py:5)", 2)],
    "w-1": [(3.0, "main (a.py:1);train (c.py:9)", 2), (9.0, "other (d.py:1)", 5)],
}


def test_a_flame_is_as_wide_as_its_samples_and_stands_on_who_called_it() -> None:
    early = {worker: [row for row in rows if row[0] <= 5.0] for worker, rows in SAMPLES.items()}
    found = profile.flames(profile.tree(early))
    drawn = [(one.function, one.depth, round(one.left, 3), round(one.right, 3), one.count, one.own) for one in found]
    assert drawn == [
        ("main", 0, 0.0, 1.0, 10, 0), ("load", 1, 0.0, 0.8, 8, 2), ("train", 1, 0.8, 1.0, 2, 2),
        ("read", 2, 0.0, 0.6, 6, 6),
    ]  # fmt: skip
    assert found[-1].place == "b.py:7"


def test_a_profile_is_of_a_function_a_worker_and_a_time() -> None:
    assert profile.tree(SAMPLES).count == 15
    assert profile.tree(SAMPLES, since=2.5).count == 7
    assert profile.tree(SAMPLES, worker="w-0").count == 8
    only = profile.tree(SAMPLES, function="load")
    assert (only.count, list(only.children)) == (8, ["load (a.py:5)"])
    assert profile.functions(SAMPLES)[:2] == [("main", 10), ("load", 8)]


def test_no_samples_are_no_flames() -> None:
    assert profile.flames(profile.tree({})) == []
