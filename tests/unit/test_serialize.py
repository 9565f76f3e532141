"""User values survive the way to another process: arrays stay writable, ``__main__`` goes by value."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from typing import Any

import cloudpickle
import numpy as np
import pytest

from himalia import serialize
from himalia.comm.packing import pack, unpack
from himalia.errors import UsageError
from himalia.names import Key


class Reference:
    """Behaves as a future does while it is pickled."""

    def __init__(self, key: str) -> None:
        self.key = Key(key)

    def __reduce__(self) -> Any:
        return serialize.reference(self.key) or (Reference, (self.key,))


def there_and_back(value: Any) -> Any:
    return serialize.loads(serialize.dumps(value))


@pytest.mark.parametrize(
    "value", [None, 1, "text", b"bytes", [1, {"a": (2.5,)}], {1, 2}, range(3), "__main__", b"\x80"]
)
def test_plain_values_are_one_frame_and_pack_to_their_own_pickle(value: Any) -> None:
    frames = serialize.dumps(value)

    assert len(frames) == 1
    assert serialize.pack(frames) is frames[0]
    assert serialize.loads(frames) == serialize.loads_packed(serialize.pack(frames)) == value


def test_large_buffers_are_frames_that_share_the_memory_of_the_value() -> None:
    array = np.arange(100_000.0)

    frames = serialize.dumps([array, array[:10], "x"])

    assert len(frames) == 2
    assert np.shares_memory(np.frombuffer(frames[1], dtype=float), array)
    assert serialize.nbytes(frames) == len(frames[0]) + array.nbytes


@pytest.mark.parametrize("size", [0, 1, 100, 511, 512, 513, 100_000])
@pytest.mark.parametrize("packed", [False, True])
def test_arrays_come_back_equal_and_writable(size: int, packed: bool) -> None:
    array = np.arange(float(size)).reshape(1, size)
    frames = serialize.dumps({"a": array, "transposed": array.T})

    found = serialize.loads_packed(serialize.pack(frames)) if packed else serialize.loads(frames)

    for name, expected in (("a", array), ("transposed", array.T)):
        np.testing.assert_array_equal(found[name], expected)
        assert found[name].flags.writeable
        found[name][:] = 0


@pytest.mark.parametrize("make", [lambda a: a[::2], lambda a: a[:, ::-1], lambda a: np.asfortranarray(a)])
def test_arrays_of_any_layout_come_back(make: Any) -> None:
    array = make(np.arange(20_000.0).reshape(200, 100))

    np.testing.assert_array_equal(there_and_back(array), array)


def test_a_read_only_array_stays_read_only() -> None:
    array = np.arange(10_000)
    array.flags.writeable = False

    assert not there_and_back(array).flags.writeable


def test_frames_are_bounded_however_many_arrays_there_are() -> None:
    arrays = [np.full(1000, i) for i in range(2000)]

    frames = serialize.dumps(arrays)

    assert len(frames) == serialize.MAX_FRAMES
    assert [int(array[-1]) for array in serialize.loads(frames)] == list(range(2000))


def test_dataframes_come_back_equal_and_writable() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": np.arange(10_000), "b": np.random.default_rng(0).random(10_000), "c": ["x"] * 10_000})

    found = there_and_back(frame)

    pd.testing.assert_frame_equal(found, frame)
    found.loc[3, "a"] = 7
    assert found.loc[3, "a"] == 7


SCRIPT = """
import sys
from himalia import serialize

class Point:
    scale = 10
    def __init__(self, x): self.x = x
    def value(self): return self.x * self.scale

def helper(x): return Point(x).value() + offset
offset = 1
closure = (lambda n: lambda x: helper(x) + n)(100)

sys.stdout.buffer.write(serialize.dumps_packed([Point(3), helper, closure, Point(4).value, Point]))
"""


def test_what_a_main_module_defines_is_known_in_a_process_with_another_main() -> None:
    answer = subprocess.run([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, check=True, timeout=25)

    point, helper, closure, method, kind = serialize.loads_packed(answer.stdout)

    assert point.value() == 30
    assert helper(5) == 51
    assert closure(5) == 151
    assert method() == 40
    assert type(point) is kind


def test_a_class_that_came_by_value_is_the_same_class_when_it_comes_back() -> None:
    class Local:
        pass

    local = there_and_back(Local)

    assert local is Local
    assert type(there_and_back(Local())) is Local


def test_a_module_registered_by_value_is_sent_by_value() -> None:
    module = sys.modules[__name__]
    assert b"cloudpickle" not in serialize.dumps(there_and_back)[0]

    cloudpickle.register_pickle_by_value(module)
    try:
        assert b"cloudpickle" in serialize.dumps(there_and_back)[0]
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def test_nesting_that_is_too_deep_is_a_usage_error_that_says_so() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]

    with pytest.raises(UsageError, match=r"builtins\.list is nested too deeply"):
        serialize.dumps(nested)

    while nested:  # freed level by level: the collector would recurse
        nested = nested.pop()


def test_self_reference_is_no_problem() -> None:
    value: list[Any] = [1]
    value.append(value)

    found = there_and_back(value)

    assert found[1] is found


class Spiteful:
    def __reduce__(self) -> Any:
        raise SpitefulError


class SpitefulError(Exception):
    def __str__(self) -> str:
        raise ValueError("not even this")


@pytest.mark.parametrize("value", [threading.Lock(), (i for i in range(3)), Spiteful()])
def test_what_can_not_be_pickled_is_a_usage_error_with_its_type_and_the_cause(value: Any) -> None:
    with pytest.raises(UsageError, match=rf"type \w+.*{type(value).__name__}") as caught:
        serialize.dumps(value)

    assert caught.value.__cause__ is not None


def test_functions_are_named_by_what_they_do() -> None:
    digest, body = serialize.dumps_function(there_and_back)

    assert len(digest) == 16
    assert serialize.dumps_function(there_and_back) == (digest, body)
    assert serialize.dumps_function(pack)[0] != digest
    assert serialize.loads_packed(body) is there_and_back


def test_futures_of_a_call_become_references_that_its_worker_resolves() -> None:
    call = ([Reference("b"), {"x": (Reference("a"),)}], {"again": Reference("b")})

    with serialize.collecting() as found:
        body = serialize.dumps_packed(call)
    with serialize.resolving({Key("a"): 1, Key("b"): 2}):
        resolved = serialize.loads_packed(body)

    assert list(found) == ["b", "a"]
    assert resolved == ([2, {"x": (1,)}], {"again": 2})


def test_futures_of_a_call_that_only_cloudpickle_can_write_are_found_once() -> None:
    with serialize.collecting() as found:
        found[Key("before")] = None
        body = serialize.dumps_packed((Reference("a"), lambda: 1, Reference("b")))
    with serialize.resolving({Key("a"): 1, Key("b"): 2}):
        first, function, second = serialize.loads_packed(body)

    assert list(found) == ["before", "a", "b"]
    assert (first, function(), second) == (1, 1, 2)


def test_contexts_nest_and_are_bound_to_their_thread() -> None:
    seen: list[Any] = []
    with serialize.collecting() as outer:
        with serialize.collecting() as inner:
            serialize.dumps(Reference("in"))
        thread = threading.Thread(target=lambda: seen.append(serialize.reference(Key("k"))))
        thread.start()
        thread.join()
        serialize.dumps(Reference("out"))

    assert (list(outer), list(inner), seen) == (["out"], ["in"], [None])
    assert serialize.reference(Key("k")) is None


def test_a_reference_outside_of_its_call_says_what_is_wrong() -> None:
    with serialize.collecting():
        body = serialize.dumps_packed(Reference("some-key"))

    with pytest.raises(UsageError, match="some-key, which only its worker has"):
        serialize.loads_packed(body)
    with serialize.resolving({}), pytest.raises(UsageError, match="some-key, which is not among its inputs"):
        serialize.loads_packed(body)


@pytest.mark.parametrize("frames", [[b"\x80abc"], [b"abc"], [b"\x80a", b""], [b"", bytearray(b"x"), memoryview(b"yz")]])
def test_packing_keeps_frames(frames: list[serialize.Buffer]) -> None:
    packed = pack(frames)

    assert type(packed) is bytes
    assert [bytes(frame) for frame in unpack(packed)] == [bytes(frame) for frame in frames]


@pytest.mark.parametrize("data", [b"", b"\x02abc", b"\x01", b"\x01\x91"])
def test_unpacking_refuses_what_was_not_packed(data: bytes) -> None:
    with pytest.raises(ValueError):
        unpack(data)


def test_the_pickles_of_exceptions_keep_their_fields() -> None:
    error = there_and_back(UsageError("text"))

    assert type(error) is UsageError
    assert str(error) == "text"
    assert pickle.loads(serialize.dumps(KeyError("k"))[0]).args == ("k",)
