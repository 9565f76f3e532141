"""How a host is divided into workers, threads and memory."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from himalia.deploy.layout import WorkerLayout, choose_layout, default_split
from himalia.errors import UsageError

GIB = 2**30


def choose(**said: Any) -> WorkerLayout:
    return choose_layout(**{"cpus": 8, "memory": 16 * GIB, **said})


@pytest.mark.parametrize(
    ("cpus", "split"), [(1, (1, 1)), (2, (2, 1)), (4, (4, 1)), (6, (3, 2)), (8, (4, 2)), (32, (8, 4)), (7, (7, 1))]
)
def test_the_default_split_is_the_one_dask_users_know(cpus: int, split: tuple[int, int]) -> None:
    assert default_split(cpus) == split


@given(st.integers(1, 4096))
def test_the_default_split_uses_each_cpu_once(cpus: int) -> None:
    workers, threads = default_split(cpus)
    assert workers * threads == cpus
    assert workers >= threads


def test_what_the_user_leaves_open_is_filled_in() -> None:
    assert choose() == WorkerLayout(nworkers=4, nthreads=2, memory_limit=4 * GIB)
    assert choose(n_workers=2) == WorkerLayout(nworkers=2, nthreads=4, memory_limit=8 * GIB)
    assert choose(threads_per_worker=4) == WorkerLayout(nworkers=2, nthreads=4, memory_limit=8 * GIB)
    assert choose(threads_per_worker=100) == WorkerLayout(nworkers=1, nthreads=100, memory_limit=16 * GIB)
    assert choose(n_workers=3, threads_per_worker=1, memory_limit=None).memory_limit == 0


def test_too_many_threads_are_better_than_an_idle_cpu() -> None:
    assert choose(n_workers=3).nthreads == 3


def test_a_cluster_may_start_without_workers() -> None:
    assert choose(n_workers=0) == WorkerLayout(nworkers=0, nthreads=8, memory_limit=16 * GIB)


@pytest.mark.parametrize(
    ("said", "limit"),
    [
        ("auto", 4 * GIB),
        ("AUTO ", 4 * GIB),
        ("2 GiB", 2 * GIB),
        (0.5, 8 * GIB),
        ("0.25", 4 * GIB),
        (1.0, 16 * GIB),
        (2 * GIB, 2 * GIB),
        (0, 0),
        ("none", 0),
        (None, 0),
        ("1 TiB", 16 * GIB),
    ],
)
def test_a_memory_limit_may_be_a_size_a_fraction_or_a_word(said: str | float | None, limit: int) -> None:
    assert choose(memory_limit=said).memory_limit == limit


@pytest.mark.parametrize(
    "said",
    [
        {"n_workers": -1},
        {"n_workers": 1.5},
        {"n_workers": True},
        {"threads_per_worker": 0},
        {"threads_per_worker": "2"},
        {"memory_limit": "much"},
        {"memory_limit": -1},
        {"memory_limit": 4},
        {"memory_limit": True},
    ],
)
def test_what_cannot_be_meant_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        choose(**said)
