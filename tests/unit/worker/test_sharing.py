"""What calls of one process may share, and that none of them sees what another does to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from himalia.worker.live import LiveObjects
from himalia.worker.sharing import NONE, OWN, contiguous, freeze, give


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
    given: Any = give(frozen, read_only=True)
    assert given is not frozen
    with pytest.raises(ValueError, match="read-only"):
        given += 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        given.flags.writeable = True
    given.shape = (2, 2)
    assert frozen.shape == (4,)


def test_whoever_may_write_gets_no_array() -> None:
    for value in (np.arange(4.0), {"a": [np.arange(4.0)]}):
        assert give(kept(value), read_only=False) is NONE


@pytest.mark.parametrize("name", ["x", "text", "kind"])
def test_a_frame_is_given_as_one_that_copies_what_is_written(name: str) -> None:
    columns = {"x": [1.0, 2.0, 3.0], "text": ["a", "b", "c"], "kind": pd.Categorical(["u", "v", "u"])}
    frame = pd.DataFrame(columns)
    expected = frame.copy()
    frozen = kept(frame)
    given: Any = give(frozen, read_only=False)
    given.loc[0, name] = given.loc[1, name]
    given["new"] = 1
    given.columns = [column.upper() for column in given.columns]
    frame.loc[2, name] = frame.loc[1, name]  # nor does it see what its maker does afterwards
    pd.testing.assert_frame_equal(frozen, expected)


def test_containers_are_given_anew() -> None:
    value = {"list": [1, "two"], "tuple": (None, b"x"), "frame": pd.Series([1.0])}
    frozen = kept(value)
    given: Any = give(frozen, read_only=True)
    given["list"].append(3)
    given.pop("tuple")
    given["frame"][0] = 7.0
    value["list"].clear()
    assert frozen["list"] == [1, "two"]
    assert frozen["tuple"] == (None, b"x")
    assert frozen["frame"][0] == 1.0


def test_a_dict_of_another_name_stays_of_its_type() -> None:
    class Groups(dict[int, object]):
        pass

    given: Any = give(kept(Groups({1: pd.Series([1.0])})), read_only=True)
    assert type(given) is Groups
    groups = Groups({1: "a"})
    groups.note = "which a copy wouldn't have"  # type: ignore[attr-defined]
    assert kept(groups) is NONE


class Odd(dict[str, object]):
    def __setitem__(self, key: str, value: object) -> None:
        super().__setitem__(key, value)


class Mine:
    pass


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
        list(range(5000)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_others_could_change_is_not_kept(value: Any) -> None:
    assert kept(value) is NONE


@pytest.mark.parametrize("value", [1, "text", b"bytes", None, np.float64(2.5), pa.table({"a": [1, 2]})])
def test_what_nobody_can_change_is_given_as_it_is(value: Any) -> None:
    assert give(kept(value), read_only=False) is value


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


def test_a_part_of_an_array_becomes_contiguous_and_others_stay_what_they_are() -> None:
    whole = np.arange(16.0).reshape(4, 4)
    part = contiguous(whole[1:3, 1:3])
    assert part.flags.c_contiguous
    assert part.tolist() == [[5.0, 6.0], [9.0, 10.0]]
    for same in (whole, whole.T, whole[:2], 5, "text", np.array([[object()] * 4] * 4)[:, 1]):
        assert contiguous(same) is same


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
