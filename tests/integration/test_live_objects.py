"""Objects that workers keep: calls find them, nobody sees another's changes, and they go with their results."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest

from himalia import Client, LocalCluster
from tests.waiting import wait_until

SIZE = 100_000
"""Numbers of an array that doesn't travel in messages."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster


def kept(client: Client) -> int:
    """How many objects the workers keep."""
    return sum(client.run(count_kept).values())


def count_kept() -> int:
    import gc

    return sum(len(found._frozen) for found in gc.get_objects() if type(found).__name__ == "LiveObjects")


def reads(folder: Path) -> int:
    return len(list(folder.iterdir()))


def unpickled(folder: str) -> str:
    Path(folder, f"{os.getpid()}-{len(os.listdir(folder))}").touch()
    return folder


class Text:
    """Part of a dict that is shared as a whole; what is in it says when it is unpickled."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return unpickled, (self.folder,)


def test_an_input_of_many_calls_is_read_once(client: Client, tmp_path: Path) -> None:
    """Each takes a part of what one call returned: reading all of it for each took most of the time of a shuffle."""
    folder = str(tmp_path)

    def make() -> Any:
        parts = {number: pd.DataFrame({"x": np.arange(1000.0) + number}) for number in range(16)}
        return {**parts, "note": Text(folder)}

    whole = dask.delayed(make)()
    sums = [dask.delayed(lambda frame: float(frame.x.sum()))(whole[number]) for number in range(16)]
    assert list(dask.compute(*sums)) == [499_500.0 + 1000.0 * number for number in range(16)]
    # Once, since what was made had something that can't be shared; that became a text when it was read.
    assert reads(tmp_path) == 1


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


def test_an_error_that_speaks_of_something_else_is_the_calls_own(client: Client, tmp_path: Path) -> None:
    def fail(x: Any) -> None:
        Path(tmp_path, f"{len(os.listdir(tmp_path))}").touch()
        raise ValueError("the database is read-only")

    x = dask.delayed(np.zeros)(SIZE)
    with pytest.raises(ValueError, match="database is read-only"):
        dask.compute(dask.delayed(fail)(x + 1))
    assert reads(tmp_path) <= 2  # it may have been a write to the input


def test_a_submitted_function_may_write_to_its_arrays(client: Client) -> None:
    def write(x: Any) -> float:
        x += 1
        return float(x.sum())

    x = client.submit(np.zeros, SIZE, pure=False)
    assert client.gather(client.map(write, [x] * 3, pure=False)) == [float(SIZE)] * 3
    assert client.submit(np.sum, x).result() == 0.0


def test_what_a_worker_keeps_goes_with_the_result(client: Client) -> None:
    x = da.random.default_rng(0).random((8, SIZE), chunks=(1, SIZE)).persist()
    x.sum().compute()
    assert kept(client) >= 8
    del x
    wait_until(lambda: kept(client) == 0)


def test_a_small_worker_keeps_a_sixteenth_of_what_it_may_have(nothing_left: None) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, memory_limit="768MiB", dashboard_address=None) as cluster:
        with Client(cluster) as client:
            x = da.arange(SIZE * 90, chunks=SIZE).persist()
            for number in range(3):  # read once, an array is mapped; read again, it is kept
                assert (x + number).sum().compute() == SIZE * 90 * (SIZE * 90 - 1 + 2 * number) // 2
            assert 10 <= kept(client) <= 768 * 2**20 // 16 // (8 * SIZE)


def test_a_view_of_a_shared_array_can_be_written_to_by_who_gets_it(client: Client) -> None:
    def write(block: Any) -> Any:
        block[:] = block + 1
        return block

    x = da.arange(SIZE * 4, chunks=SIZE).persist()
    for _ in range(3):
        x.sum().compute()
    turned = x.map_blocks(lambda block: block[::-1].reshape(-1, 10), dtype=x.dtype, new_axis=1, chunks=(SIZE // 10, 10))
    turned = turned.persist()
    assert turned.map_blocks(write).sum().compute() == SIZE * 4 * (SIZE * 4 - 1) // 2 + SIZE * 4
    future = client.compute(dask.delayed(lambda block: {"a": (block,)})(x.to_delayed()[0]))
    value = future.result()["a"][0]
    value += 1
    assert client.submit(lambda found: write(found["a"][0]).sum(), future).result() == SIZE * (SIZE - 1) // 2 + SIZE


def test_an_error_that_wraps_that_of_the_write_is_understood(client: Client) -> None:
    def write(x: Any) -> Any:
        try:
            x += 1
        except ValueError as error:
            raise RuntimeError("the block failed") from error
        return float(x.sum())

    x = dask.delayed(np.zeros)(SIZE)
    assert dask.compute(dask.delayed(np.sum)(x), dask.delayed(write)(x), dask.delayed(np.sum)(x + 1))[1] == SIZE


def test_a_result_that_holds_itself_is_sent(client: Client) -> None:
    def make() -> Any:
        found: list[Any] = ["x" * 60_000]
        found.append(found)
        return found

    dask.delayed(len)(dask.delayed(make)()).compute()
    value = client.submit(make, pure=False).result()
    assert value[1] is value
