"""A shuffle's split is read part by part, and as a whole it is what it was."""

from __future__ import annotations

import operator
from typing import Any

import pytest

from himalia import serialize
from himalia.itemwise import Pickles, by_items, picking

pytest.importorskip("dask", reason="dask is not installed: pip install 'himalia[dask]'")
np = pytest.importorskip("numpy", reason="numpy is not installed: pip install 'himalia[dask]'")
pd = pytest.importorskip("pandas", reason="pandas is not installed: pip install 'himalia[dask]'")

from dask.dataframe.shuffle import shuffle_group  # noqa: E402


class Mine:
    """Defined where workers may not import it."""

    def __init__(self, number: int) -> None:
        self.number = number


def split(rows: int = 10_000, parts: int = 4, **columns: Any) -> Any:
    frame = pd.DataFrame({"key": np.arange(rows) % 97, "x": np.arange(float(rows)), **columns})
    return shuffle_group(frame, ["key"], 0, parts, parts, False, parts)


def sent(value: object) -> list[Any]:
    """What a reader gets of its frames: memory of its own."""
    return [bytearray(frame) for frame in serialize.dumps(by_items(value))]


@pytest.mark.parametrize("rows", [20, 10_000])
def test_as_a_whole_it_is_what_it_was(rows: int) -> None:
    value = split(rows, name=pd.array(["a", "b"] * (rows // 2), dtype="str"))
    read = serialize.loads(sent(value))
    assert type(read) is type(value)
    assert list(read) == list(value)
    for key, frame in value.items():
        pd.testing.assert_frame_equal(read[key], frame)
        read[key].loc[:, "x"] = -1.0


def test_who_looks_up_one_part_unpickles_that_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    value = split()
    frames = sent(value)
    loaded = []
    loads = serialize.loads

    def note(frames: Any) -> Any:
        loaded.append(frames)
        return loads(frames)

    with picking():
        read = loads(frames)
    monkeypatch.setattr(serialize, "loads", note)
    assert type(read) is Pickles
    pd.testing.assert_frame_equal(operator.getitem(read, 2), value[2])
    assert len(loaded) == 1
    with pytest.raises(KeyError):
        operator.getitem(read, 7)


def test_buffers_stay_beside_the_pickle() -> None:
    frames = serialize.dumps(by_items(split(100_000)))
    assert len(frames) > 4
    assert len(frames[0]) < 10_000


def test_parts_with_objects_of_the_notebook_are_sent() -> None:
    Mine.__module__ = "__main__"
    try:
        value = split(20, mine=pd.Series([Mine(number) for number in range(20)], dtype=object))
        with picking():
            read = serialize.loads(sent(value))
        assert [mine.number for mine in read[0].mine] == [mine.number for mine in value[0].mine]
    finally:
        Mine.__module__ = __name__


def test_other_dicts_are_left_alone() -> None:
    frame = pd.DataFrame({"x": [1.0]})
    value = {0: frame, 1: frame}
    assert by_items(value) is value
    with picking():
        read = serialize.loads(serialize.dumps(by_items(value)))
    assert read[0] is read[1]


@pytest.mark.parametrize("rows", [20, 10_000])
def test_one_that_is_looked_up_itself_becomes_the_dict_again(rows: int) -> None:
    value = split(rows)
    with picking():
        inside = {"a": serialize.loads(sent(value))}
    read = serialize.loads(sent(operator.getitem(inside, "a")))
    assert type(read) is type(value)
    pd.testing.assert_frame_equal(read[2], value[2])
