"""What calls do to their inputs and results is seen by nobody else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest

from himalia import Client, LocalCluster

SIZE = 100_000
"""Numbers of an array that doesn't travel in messages."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster


@pytest.mark.parametrize("calls", [1, 3])
def test_a_call_that_writes_to_its_input_changes_nobody_elses(client: Client, calls: int) -> None:
    def write(x: Any, number: int) -> Any:
        x += number
        return float(x.sum())

    x = dask.delayed(np.zeros)(SIZE)
    assert dask.compute(*[dask.delayed(write)(x, number) for number in range(1, calls + 1)]) == tuple(
        float(SIZE * number) for number in range(1, calls + 1)
    )


def test_so_does_one_that_writes_to_what_was_made_elsewhere(client: Client) -> None:
    x = da.ones((4, SIZE), chunks=(1, SIZE))

    def write(block: Any) -> Any:
        block[:] = block * 2 + 1
        return block

    y = x + 1
    first, second, third = dask.compute(y.map_blocks(write).sum(), y.sum(), y.map_blocks(write).sum())
    assert (first, second, third) == (20.0 * SIZE, 8.0 * SIZE, 20.0 * SIZE)


def test_a_frame_that_a_call_changes_is_changed_for_it_alone(client: Client) -> None:
    def write(frame: Any, number: int) -> Any:
        frame.loc[:, "x"] = number
        frame["new"] = 1
        return float(frame.x.sum()), list(frame.columns)

    frame = dask.delayed(pd.DataFrame)({"x": np.arange(float(SIZE))})
    results = dask.compute(*[dask.delayed(write)(frame, float(number)) for number in range(3)], frame)
    assert results[:3] == tuple((float(SIZE * number), ["x", "new"]) for number in range(3))
    assert list(results[3].columns) == ["x"]
    assert results[3].x.iloc[-1] == SIZE - 1


def test_a_call_that_fills_its_last_result_again_changes_no_other_result(client: Client) -> None:
    def fill(number: int) -> Any:
        buffer: Any = sys.modules.setdefault("himalia_test_buffer", np.zeros(SIZE))  # type: ignore[arg-type]
        buffer[:] = number
        return buffer

    parts = [dask.delayed(fill)(number) for number in range(5)]
    again = [dask.delayed(lambda part, _: (float(part.min()), float(part.max())))(part, parts[-1]) for part in parts]
    assert dask.compute(*again) == tuple((float(number), float(number)) for number in range(5))


def test_a_submitted_function_may_write_to_its_arrays(client: Client) -> None:
    def write(x: Any) -> float:
        x += 1
        return float(x.sum())

    x = client.submit(np.zeros, SIZE, pure=False)
    assert client.gather(client.map(write, [x] * 3, pure=False)) == [float(SIZE)] * 3
    assert client.submit(np.sum, x).result() == 0.0


@pytest.mark.parametrize("part", [np.s_[:, :2], np.s_[::-1], np.s_[::2, 1:]])
def test_a_part_of_an_array_is_that_part_and_can_be_written_to(client: Client, part: Any) -> None:
    def write(block: Any) -> Any:
        block += 1
        return block

    x = np.arange(float(SIZE)).reshape(-1, 10)
    future = client.submit(lambda: np.arange(float(SIZE)).reshape(-1, 10)[part], pure=False)
    np.testing.assert_array_equal(client.submit(write, future).result(), x[part] + 1)
    value = future.result()
    value += 1
    np.testing.assert_array_equal(future.result(), x[part])


def test_a_part_of_an_array_of_objects_is_sent(client: Client) -> None:
    value = client.submit(lambda: np.array([{"a": 1}, None, "x" * 50_000], dtype=object)[::2]).result()
    assert list(value) == [{"a": 1}, "x" * 50_000]


def test_a_result_that_holds_itself_is_sent(client: Client) -> None:
    def make() -> Any:
        found: list[Any] = ["x" * 60_000]
        found.append(found)
        return found

    dask.delayed(len)(dask.delayed(make)()).compute()
    value = client.submit(make, pure=False).result()
    assert value[1] is value
