"""Dask collections as people write them: each case makes a collection anew, so that nobody answers from memory.

What is compared is the time of ``compute()`` with everything that belongs to it: optimising the graph, sending it,
running it, and the value's way home.
"""

from __future__ import annotations

import atexit
import importlib
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from tests.benchmarks.engines.base import Engine
from tests.benchmarks.footprint import Peak, cpu_time

FILES: Final = 200
ROWS: Final = 17_000
"""Rows of each file."""


class Measured(NamedTuple):
    """What one process measured."""

    warm: list[float]
    """Seconds."""
    also: dict[str, list[float]]
    """``cold`` (seconds of the first run), ``peak`` (MB of all processes), ``system`` (part of the workers' CPU)."""


@dataclass(frozen=True)
class Collection:
    """A computation on an engine that offers collections.

    ``run`` is given the engine and a number that no other run of the case has.
    """

    name: str
    title: str
    run: Callable[[Engine, int], object]
    prepare: Callable[[], object] = lambda: None
    """Makes what lies on disk, before anything is measured."""
    needs: tuple[str, ...] = ()
    """Packages without which it can't be run."""
    repeats: int = 3
    """Warm runs."""


# Files


def folder() -> Path:
    """Where this process keeps files; gone when it ends."""
    global _folder
    if _folder is None:
        _folder = Path(tempfile.mkdtemp(prefix="himalia-bench-"))
        atexit.register(shutil.rmtree, _folder, ignore_errors=True)
    return _folder


_folder: Path | None = None


def write_csv_files() -> None:
    """Write the files of :func:`csv_groupby`, 0.45 MB each."""
    import pandas as pd

    rng = np.random.default_rng(0)
    names = np.array(["Alice", "Bob", "Charlie", "Dan", "Edith", "Frank", "Ingrid", "Jerry"])
    frame = pd.DataFrame(
        {
            "id": rng.integers(900, 1100, ROWS),
            "name": names[rng.integers(0, len(names), ROWS)],
            "x": rng.random(ROWS).round(6),
            "y": rng.random(ROWS).round(6),
        }
    )
    first = folder() / "part-000.csv"
    frame.to_csv(first, index=False)
    for number in range(1, FILES):
        shutil.copy(first, folder() / f"part-{number:03}.csv")


def csv_groupby(engine: Engine, number: int) -> None:
    """200 CSV files, the mean by name."""
    import dask.dataframe as dd

    frame = dd.read_csv(str(folder() / "part-*.csv"))
    means = engine.compute(frame[frame.id > number].groupby("name").x.mean())
    assert len(means) == 8


def merge(engine: Engine, number: int) -> None:
    """Two frames of 16 partitions, joined by a column that isn't the index; by tasks, without p2p."""
    left, right = _table(number, "x"), _table(1000 + number, "y")
    total = engine.compute(left.merge(right, on="key", shuffle_method="tasks").x.sum())
    assert total > 0


def set_index(engine: Engine, number: int) -> None:
    """Sort a frame of 16 partitions by a column."""
    frame = _table(number, "x")
    divisions = tuple(range(0, 200_001, 12_500))
    sizes = engine.compute(frame.set_index("key", divisions=divisions, shuffle_method="tasks").map_partitions(len))
    assert sum(sizes) == 16 * 100_000


def _table(seed: int, column: str) -> Any:
    import dask.dataframe as dd

    return dd.from_map(_rows, range(seed * 16, seed * 16 + 16), column=column)


def _rows(seed: int, column: str) -> Any:
    import pandas as pd

    rng = np.random.default_rng(seed)
    return pd.DataFrame({"key": rng.integers(0, 200_000, 100_000), column: rng.random(100_000)})


# Arrays


def rechunk_fft(engine: Engine, number: int) -> None:
    """FFT along both axes of 4,000², with a rechunk between them."""
    import dask.array as da

    x = da.random.default_rng(number).random((4_000, 4_000), chunks=(4_000, 500))
    y = da.fft.fft(da.fft.fft(x, axis=0).rechunk((500, 4_000)), axis=1)
    assert engine.compute(abs(y).sum()) > 0


def where_std(engine: Engine, number: int) -> None:
    """Elementwise work on 6,000² and one number at the end."""
    import dask.array as da

    x = da.random.default_rng(number).random((6_000, 6_000), chunks=(1_000, 1_000))
    assert engine.compute(da.where(x > 0.5, x**2.5, -x).std()) > 0


def overlap(engine: Engine, number: int) -> None:
    """``map_overlap`` three times on 4,000²: many small slices, each needed once."""
    import dask.array as da

    x = da.random.default_rng(number).random((4_000, 4_000), chunks=(500, 500))
    for _ in range(3):
        x = x.map_overlap(_smooth, depth=2, boundary="reflect")
    assert engine.compute(x.sum()) > 0


def _smooth(block: Any) -> Any:
    return (block + np.roll(block, 1, 0) + np.roll(block, 1, 1)) / 3


# Other programs


def training(engine: Engine, number: int) -> None:
    """A thousand rounds of gradient descent: small graphs on data that stay on the cluster."""
    import dask
    import dask.array as da

    rng = da.random.default_rng(number)
    x = rng.random((40_000, 10), chunks=(10_000, 10))
    x, y = engine.persist(x, x.sum(axis=1))
    weights = np.zeros(10)
    with dask.config.set({"optimization.fuse.active": True}):
        for _ in range(1_000):
            gradient = x.T.dot(x.dot(weights) - y) / 40_000
            weights = weights - 0.1 * engine.compute(gradient)
    assert np.isfinite(weights).all()


def write_zarr() -> None:
    """Write the store of :func:`xarray_zarr`: 400 MB."""
    import dask
    import dask.array as da
    import xarray as xr

    data = da.random.default_rng(0).random((200, 500, 500), chunks=(10, 500, 500))
    dataset = xr.Dataset({"t": (("time", "y", "x"), data)}, coords={"time": np.arange(200)})
    with dask.config.set(scheduler="threads"):
        dataset.to_zarr(folder() / "t.zarr", zarr_format=2)


def xarray_zarr(engine: Engine, number: int) -> None:
    """Anomalies by group of a zarr store, then their mean over time."""
    import xarray as xr

    data = xr.open_zarr(folder() / "t.zarr").t + number
    by_month = data.assign_coords(month=data.time % 12).groupby("month")
    anomalies = by_month - by_month.mean()
    assert np.isfinite(engine.compute((anomalies**2).mean("time").data)).all()


def measure(collection: Collection, engine: Engine) -> Measured:
    """Run a collection once on a fresh cluster, some times more, and once for its memory."""
    for package in collection.needs:
        importlib.import_module(package)
    collection.prepare()
    engine.start()
    started = time.perf_counter()
    collection.run(engine, 0)
    cold = time.perf_counter() - started
    before = cpu_time(own=engine.runs_here)
    warm = []
    for number in range(1, collection.repeats + 1):
        started = time.perf_counter()
        collection.run(engine, number)
        warm.append(time.perf_counter() - started)
    used = cpu_time(own=engine.runs_here).since(before)
    with Peak() as peak:
        collection.run(engine, collection.repeats + 1)
    engine.close()
    return Measured(
        [statistics.median(warm)], {"cold": [cold], "peak": [peak.nbytes / 1e6], "system": [used.system_share]}
    )


COLLECTIONS: Final = (
    Collection("csv", f"{FILES} CSV files, groupby", csv_groupby, write_csv_files, ("pandas",)),
    Collection("merge", "merge, 16 × 16 partitions", merge, needs=("pandas",)),
    Collection("fft", "rechunk + FFT, 4,000²", rechunk_fft),
    Collection("where", "where, power, std, 6,000²", where_std),
    Collection("overlap", "map_overlap × 3, 4,000²", overlap),
    Collection("set-index", "set_index, 16 partitions", set_index, needs=("pandas",)),
    Collection("training", "training, 1,000 rounds", training, repeats=1),
    Collection("xarray", "xarray + zarr, anomalies", xarray_zarr, write_zarr, ("xarray", "zarr")),
)
BY_NAME: Final = {collection.name: collection for collection in COLLECTIONS}
