"""Sizes, durations and resources as people write them."""

from __future__ import annotations

from typing import Any

import pytest

from himalia.errors import UsageError
from himalia.show.units import format_ago, format_bytes, parse_bytes, parse_duration, parse_resources, parse_timeout


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("4 GiB", 4 * 2**30),
        ("4GB", 4 * 10**9),
        ("512m", 512 * 10**6),
        ("1.5 KiB", 1536),
        ("1e9", 10**9),
        ("0", 0),
        (1000, 1000),
        (2.5e9, 2_500_000_000),
    ],
)
def test_sizes_mean_bytes(text: str | float, nbytes: int) -> None:
    assert parse_bytes(text) == nbytes


@pytest.mark.parametrize("text", ["", "GiB", "4 parsecs", "-1", "4 GiB 3", "nan", "inf", "1e30", -1, float("nan")])
def test_what_is_no_size_is_refused_with_an_example(text: str | float) -> None:
    with pytest.raises(UsageError, match="4 GiB"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300.0),
        ("90", 90.0),
        ("1h 30m", 5400.0),
        ("1h30min", 5400.0),
        ("500ms", 0.5),
        ("5µs", 5e-6),
        ("5μs", 5e-6),  # the Greek letter, as many keyboards have it
        ("2 days", 172800.0),
        ("0", 0.0),
        (7, 7.0),
    ],
)
def test_durations_mean_seconds(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "m", "5 parsecs", "-5m", "1h 30", "5m!", "inf", -1.0, float("inf")])
def test_what_is_no_duration_is_refused_with_an_example(text: str | float) -> None:
    with pytest.raises(UsageError, match="5m"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ("10s", 10.0),
        ("500 ms", 0.5),
        ("2 minutes", 120.0),
        ("1.5", 1.5),
        (".5h", 1800.0),
        ("1m 30s", 90.0),
        (3, 3.0),
        (-1.0, -1.0),
        (float("inf"), float("inf")),
        (None, None),
    ],
)
def test_a_timeout_is_a_duration_or_any_number_or_none(duration: float | str | None, seconds: float | None) -> None:
    assert parse_timeout(duration) == seconds


@pytest.mark.parametrize("duration", ["soon", "10 parsecs", "", [], b"1s"])
def test_what_is_no_timeout_is_refused_with_an_example(duration: Any) -> None:
    with pytest.raises(UsageError, match="5m"):
        parse_timeout(duration)


def test_resources_are_amounts_by_name() -> None:
    assert parse_resources("GPU=1,foo=2.5") == {"GPU": 1.0, "foo": 2.5}
    assert parse_resources("GPU=1 foo=2") == {"GPU": 1.0, "foo": 2.0}


@pytest.mark.parametrize("text", ["", "GPU", "GPU=", "=1", "GPU=x", "GPU=-1", "GPU=inf", "GPU=1,GPU=2"])
def test_what_lists_no_resources_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_resources(text)


def test_sizes_and_ages_are_written_for_people() -> None:
    assert format_bytes(0) == "0 B"
    assert format_bytes(1023) == "1.00 KiB"
    assert format_bytes(1.5 * 2**30) == "1.50 GiB"
    assert format_ago(3) == "Just now"
    assert format_ago(42) == "42 seconds ago"
    assert format_ago(60) == "1 minute ago"
    assert format_ago(7300) == "2 hours ago"
