"""Integration tests run real processes; none of them may leave anything behind."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from himalia import Client, LocalCluster
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


@pytest.fixture(scope="module")
def client(cluster: LocalCluster) -> Iterator[Client]:
    """Return the client of the cluster that a file's tests share; some files have another one."""
    with Client(cluster) as client:
        yield client


@pytest.fixture
def nothing_left(test_run: str, own_place: Path) -> Iterator[None]:
    """Ask for this in a test that starts and ends its own cluster: right after it, nothing is left."""
    yield from check(test_run, own_place)
