"""The functions that the benchmarks run on workers; importable there, as a user's library is."""

from __future__ import annotations

from typing import Any

import numpy as np


def noop(_: Any = None) -> None:
    """Do nothing."""


def leaf(number: int) -> int:
    """Return what it was given."""
    return number


def add(left: int, right: int) -> int:
    """Return the sum."""
    return left + right


def increment(number: int) -> int:
    """Return the next number."""
    return number + 1


def make_array(nbytes: int, fill: int) -> Any:
    """Return an array of float64 that was really written to."""
    return np.full(nbytes // 8, float(fill))


def touch(array: Any) -> tuple[int, float]:
    """Return the array's length and its outermost elements' sum: proof that it can be read."""
    return len(array), float(array[0] + array[-1])


def array_sum(chunks: int = 40) -> Any:
    """Return ``(x + x.T).sum()`` of a Dask array of 40 × 40 chunks: 3,737 tasks after optimisation."""
    import dask.array as da  # only the cases with collections need it

    x = da.random.default_rng(0).random((100 * chunks, 100 * chunks), chunks=(100, 100))
    return (x + x.T).sum()


def frame_groupby(seed: int) -> Any:
    """Return a groupby-mean of a Dask DataFrame of 100 partitions with 8,640 rows each, made by its tasks."""
    import dask.datasets

    frame = dask.datasets.timeseries(start="2000-01-01", end="2000-04-10", freq="10s", partition_freq="1d", seed=seed)
    return frame.groupby("name").x.mean()
