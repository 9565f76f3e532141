"""Integration tests run real processes; none of them may leave anything behind."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.leftovers import end_processes, look, wait_until_gone


def check(run: str, place: Path) -> Iterator[None]:
    """Compare what is there before and after."""
    gc.collect()
    before = look(run, place)
    yield
    gc.collect()
    left = wait_until_gone(run, place, before)
    end_processes(run, before)
    assert not left, "left behind:\n" + "\n".join(left)


@pytest.fixture(scope="module", autouse=True)
def nothing_left_by_module(test_run: str, own_place: Path) -> Iterator[None]:
    """After the last test of a file, and the end of what its tests shared, nothing of himalia is left."""
    yield from check(test_run, own_place)


@pytest.fixture
def nothing_left(test_run: str, own_place: Path) -> Iterator[None]:
    """Ask for this in a test that starts and ends its own cluster: right after it, nothing is left."""
    yield from check(test_run, own_place)
