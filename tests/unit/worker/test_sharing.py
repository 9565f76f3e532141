"""What calls of one process may share, and that none of them sees what another does to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from himalia import serialize
from himalia.worker.calls import reduce_array
from himalia.worker.live import LiveObjects
from himalia.worker.sharing import NONE, OWN, freeze, give, pickled_as


def kept(value: Any) -> Any:
    """Return what a keeper has of a value that nothing else refers to."""
    return freeze(value, OWN)


def keeps(make: Any) -> bool:
    """Whether what a call makes is kept, as a worker does it."""
    live = LiveObjects(10**9, 0)
    value = make()
    live.keep(1, value, 100)
    return live.find(1) is not NONE


def test_an_array_is_given_as_a_view_that_no_flag_makes_writable() -> None:
    frozen = kept(np.arange(4.0))
    given: Any = give(frozen)
    assert given is not frozen
    with pytest.raises(ValueError, match="read-only"):
        given += 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        given.flags.writeable = True
    given.shape = (2, 2)
    assert frozen.shape == (4,)


@pytest.mark.parametrize("name", ["x", "text"])
def test_a_frame_is_given_as_one_that_copies_what_is_written(name: str) -> None:
    columns = {"x": [1.0, 2.0, 3.0], "text": ["a", "b", "c"]}
    frame = pd.DataFrame(columns)
    expected = frame.copy()
    frozen = kept(frame)
    given: Any = give(frozen)
    given.loc[0, name] = given.loc[1, name]
    given["new"] = 1
    given.columns = [column.upper() for column in given.columns]
    frame.loc[2, name] = frame.loc[1, name]  # nor does it see what its maker does afterwards
    pd.testing.assert_frame_equal(frozen, expected)


def test_containers_are_given_anew() -> None:
    value = {"list": [1, "two"], "tuple": (None, b"x"), "frame": pd.Series([1.0])}
    frozen = kept(value)
    given: Any = give(frozen)
    given["list"].append(3)
    given.pop("tuple")
    given["frame"][0] = 7.0
    value["list"].clear()
    assert frozen["list"] == [1, "two"]
    assert frozen["tuple"] == (None, b"x")
    assert frozen["frame"][0] == 1.0


class Odd(dict[str, object]):
    def __setitem__(self, key: str, value: object) -> None:
        super().__setitem__(key, value)


class Mine:
    pass


ROW = np.arange(3.0)
FRAME = pd.Series([1.0, 2.0])


@pytest.mark.parametrize(
    "value",
    [
        np.array([object()]),
        np.ma.masked_array([1.0], [True]),
        pd.DataFrame({"a": [[1], [2]]}),
        Odd(),
        Mine(),
        {1, 2},
        [Mine()],
        bytearray(b"x"),
        np.zeros(1, dtype=[("k", "i8")])[0],
        pd.DataFrame({"k": pd.Categorical(["u", "v"])}),
        pd.Series([1, 2], dtype="Int64"),
        pd.Series([1.0, 2.0], index=[(1, [2]), 3]),
        [ROW, ROW],
        {"a": FRAME, "b": [FRAME]},
        list(range(5000)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_others_could_change_is_not_kept(value: Any) -> None:
    assert kept(value) is NONE


@pytest.mark.parametrize("value", [1, "text", b"bytes", None, np.float64(2.5), pa.table({"a": [1, 2]})])
def test_what_nobody_can_change_is_given_as_it_is(value: Any) -> None:
    assert give(kept(value)) is value


remembered: list[Any] = []


def remember(value: Any) -> Any:
    remembered.append(value)
    return value


def test_an_array_that_only_the_call_had_is_kept() -> None:
    assert keeps(lambda: np.arange(10.0))
    assert keeps(lambda: np.arange(10.0).reshape(2, 5))
    assert keeps(lambda: np.arange(10.0)[1:-1])
    assert keeps(lambda: [np.arange(10.0), {"a": np.arange(10.0)}])


def test_an_array_that_somebody_else_has_is_not() -> None:
    """It may be filled again for the next result."""
    assert not keeps(lambda: remember(np.arange(10.0)))
    assert not keeps(lambda: remember(np.arange(10.0))[1:])
    assert not keeps(lambda: remember(np.arange(10.0)).reshape(2, 5))
    assert not keeps(lambda: [remember(np.arange(10.0))])
    assert not keeps(lambda: remember([np.arange(10.0)]))
    assert not keeps(lambda: remember({"a": [np.arange(10.0)]})["a"])
    assert not keeps(lambda: memoryview(remember(np.arange(10.0))).obj)


def test_a_small_part_of_a_large_array_is_not_kept_with_all_of_it() -> None:
    assert not keeps(lambda: np.arange(100.0)[:10])


def test_a_frame_over_somebodys_array_is_kept_with_memory_of_its_own() -> None:
    buffer = np.arange(10.0)
    values: list[Any] = [pd.DataFrame(buffer, copy=False), pd.Series(buffer, index=buffer, copy=False)]
    for value in values:
        live = LiveObjects(10**9, 0)
        live.keep(1, value, 100)
        expected = value.copy()
        expected.index = expected.index.copy(deep=True)
        buffer += 1
        found: Any = live.find(1)
        assert found.equals(expected)
        assert list(found.index) == list(expected.index)
    assert not keeps(lambda: pa.table({"x": pa.array(buffer)}))


def test_no_flag_makes_an_array_of_a_given_frame_writable() -> None:
    live = LiveObjects(10**9, 0)
    frame = pd.DataFrame({"x": [1.0, 2.0]})
    live.keep(1, frame, 100)
    given: Any = give(live.find(1))
    for array in (given["x"].to_numpy(), given["x"].values, given.values):
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True
    given.loc[0, "x"] = 5.0  # is a copy by now
    assert given["x"].tolist() == [5.0, 2.0]


def test_what_can_not_be_frozen_is_only_not_kept() -> None:
    deep: list[Any] = []
    for _ in range(2000):
        deep = [deep]
    itself: list[Any] = []
    itself.append(itself)
    assert not keeps(lambda: deep)
    assert not keeps(lambda: itself)


@pytest.mark.parametrize("dtype", ["f8", "i4", "M8[ns]", "S3", "U3", [("a", "i4")]])
def test_what_is_pickled_of_a_read_only_array_can_be_written_to(dtype: Any) -> None:
    array = np.zeros(2000, dtype=dtype)
    array.flags.writeable = False
    for view in (array, array.reshape(20, 100).T, array[::2]):
        value: Any = serialize.loads(
            [bytearray(frame) for frame in serialize.dumps([view], {np.ndarray: reduce_array})]
        )
        assert value[0].flags.writeable
        assert value[0].dtype == view.dtype
        np.testing.assert_array_equal(value[0], view)
    assert not array.flags.writeable


def test_only_what_needs_it_is_copied_to_be_pickled() -> None:
    whole = np.arange(16.0).reshape(4, 4)
    for same in (whole, whole.T, np.array([[object()] * 4] * 4)[:, 1]):
        assert pickled_as(same) is same
    assert pickled_as(whole[:, 1]).flags.c_contiguous


def test_what_was_used_last_is_kept_as_long_as_it_fits() -> None:
    live = LiveObjects(400, 10)
    for number in range(5):
        live.keep(number, f"value {number}", 100)
        live.find(0)
    assert [live.find(number) is not NONE for number in range(5)] == [True, False, True, True, True]
    live.forget([2, 77])
    assert live.find(2) is NONE
    live.clear()
    assert live.find(0) is NONE


def test_neither_small_nor_very_large_values_are_worth_it() -> None:
    live = LiveObjects(400, 10)
    assert [live.is_worth_it(nbytes) for nbytes in (9, 10, 100, 101)] == [False, True, True, False]
    assert not LiveObjects(0, 0).is_worth_it(1)
