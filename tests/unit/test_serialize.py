"""User values survive the way to another process: arrays stay writable, ``__main__`` goes by value."""

from __future__ import annotations

import importlib.util
import pickle
import runpy
import subprocess
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

from himalia import serialize
from himalia.comm.buffers import pack, unpack
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


MODULE = """
import dataclasses, enum, functools

class Colour(enum.Enum):
    RED = 1

@dataclasses.dataclass
class Point:
    x: int
    colour: Colour = Colour.RED

class Invalid(ValueError):
    pass

def double(point): return Point(helper(point.x))
def helper(x): return x * 2

@functools.lru_cache(maxsize=7)
def slow(x): return helper(x)

def fail(): raise Invalid("no")
"""
READER = """
import dataclasses, sys
from himalia import serialize
point, double, slow, fail, kinds = serialize.loads_packed(sys.stdin.buffer.read())
assert double(point).x == 6 and slow(4) == 8 and slow.cache_parameters()["maxsize"] == 7
assert [field.name for field in dataclasses.fields(point)] == ["x", "colour"]
try:
    fail()
except ValueError as error:
    raised = error
sys.stdout.buffer.write(serialize.dumps_packed([double(point), raised, *kinds]))
"""


def by_exec(name: str, path: Path) -> types.ModuleType:
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(MODULE, module.__dict__)
    return module


def by_file(name: str, path: Path) -> types.ModuleType:
    (path / "source.py").write_text(MODULE)
    spec = importlib.util.spec_from_file_location(name, path / "source.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def by_runpy(name: str, path: Path) -> types.ModuleType:
    (path / "script.py").write_text(MODULE)
    module = types.ModuleType(name)
    module.__dict__.update(runpy.run_path(str(path / "script.py"), run_name="a_script"))
    return module


def by_lost_path(name: str, path: Path) -> types.ModuleType:
    (path / f"{name}.py").write_text(MODULE)
    sys.path.insert(0, str(path))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(path))


def by_package(name: str, path: Path) -> types.ModuleType:
    (path / name).mkdir()
    (path / name / "__init__.py").write_text("")
    (path / name / "inner.py").write_text(MODULE)
    sys.path.insert(0, str(path))
    try:
        return importlib.import_module(f"{name}.inner")
    finally:
        sys.path.remove(str(path))


@pytest.mark.parametrize("name", ["only_here", "__mp_main__", "colorsys_of_mine"])
@pytest.mark.parametrize("make", [by_exec, by_file, by_runpy, by_lost_path, by_package])
def test_what_a_module_defines_that_exists_here_only_travels_by_value_both_ways(
    name: str, make: Callable[[str, Path], types.ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))  # so that it is taken out again
    del sys.modules[name]
    module = make(name, tmp_path)
    kinds = [module.Point, module.Colour, module.Colour.RED]
    sent = serialize.dumps_packed([module.Point(3), module.double, module.slow, module.fail, kinds])

    answer = subprocess.run([sys.executable, "-c", READER], input=sent, stdout=subprocess.PIPE, check=True, timeout=25)

    point, raised, *back = serialize.loads_packed(answer.stdout)
    assert point == module.Point(6)
    assert type(raised) is module.Invalid
    assert back == kinds
    for child in [child for child in sys.modules if child.startswith(f"{name}.")]:
        del sys.modules[child]


def test_a_function_of_main_that_uses_a_module_made_by_hand_takes_it_along(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("made_by_hand")
    monkeypatch.setitem(sys.modules, "made_by_hand", module)
    exec("def double(x): return x * 2", module.__dict__)
    cell: dict[str, Any] = {"__name__": "__main__", "module": module}
    exec("def f(x): return module.double(x)", cell)
    sent = serialize.dumps_packed(cell["f"])
    code = "import sys; from himalia import serialize; print(serialize.loads_packed(sys.stdin.buffer.read())(21))"
    assert subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True, check=True).stdout == b"42\n"


def test_what_lies_in_files_that_others_find_is_named() -> None:
    for value in (Path, np.sin, pytest.raises, there_and_back, serialize.dumps, [Path("x"), np.arange(3)]):
        assert b"cloudpickle" not in serialize.dumps(value)[0]
    assert not serialize.travels_by_value("six.moves")


def test_asking_cloudpickle_for_a_module_is_over_when_the_pickle_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    module = by_exec("for_a_moment", Path())
    monkeypatch.setitem(sys.modules, "for_a_moment", module)
    serialize.dumps(module.double)
    assert not cloudpickle.list_registry_pickle_by_value()


def test_a_string_that_looks_like_a_module_costs_nothing_else() -> None:
    assert there_and_back(["__main__", Path("__main__")]) == ["__main__", Path("__main__")]


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


def test_coroutines_and_generators_are_explained() -> None:
    async def fetch() -> int:
        return 1

    with pytest.raises(UsageError, match=r"fetch is an `async def` function.*asyncio.run\(fetch\(\*args\)\)"):
        serialize.dumps(fetch())
    with pytest.raises(UsageError, match=r"generator.*Return a list of it"):
        serialize.dumps(item for item in range(3))


def test_code_keeps_the_name_of_its_file_whatever_cloudpickle_thinks_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """From 3.1.3 on it writes ``<dynamic-code>``: tracebacks would have no lines, profiles no file."""
    from himalia import cloud

    def without_file(code: Any) -> Any:
        kind, arguments = reduce_code(code)
        return kind, tuple(cloud.NO_FILE if argument == code.co_filename else argument for argument in arguments)

    reduce_code = cloud.reduce_code
    monkeypatch.setattr(cloud, "reduce_code", without_file)
    function = eval(compile("lambda x: x / 0", "<a cell>", "eval"))
    copy = serialize.loads(serialize.dumps(function))
    assert (copy.__code__.co_filename, copy.__code__.co_name) == ("<a cell>", "<lambda>")
