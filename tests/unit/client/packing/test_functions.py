from __future__ import annotations

import functools
import math
import types
from collections.abc import Callable
from typing import Any

import pytest

from himalia import serialize
from himalia.callables import PerCall
from himalia.client.packing.functions import FunctionCache, PickledFunction, function_name, is_importable, traits_of
from himalia.messages.parts import ForgetFunctions, FunctionBody

FACTOR = 2


def by_factor(x: int) -> int:
    return x * FACTOR


def notebook(source: str, name: str = "f", **names: Any) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return a function as a cell of a notebook defines it, and the notebook's globals."""
    cells: dict[str, Any] = {"__name__": "__main__", **names}
    exec(source, cells)  # what a notebook does
    return cells[name], cells


def call(pickled: PickledFunction, *args: Any) -> Any:
    return serialize.loads_packed(pickled.body)(*args)


def test_the_same_function_is_pickled_once() -> None:
    cache = FunctionCache(10)
    function = lambda x: x + 1  # noqa: E731
    assert cache.pickle(function) is cache.pickle(function)


def test_a_redefined_global_is_seen() -> None:
    cache = FunctionCache(10)
    function, cells = notebook("def f(x): return x * factor", factor=2)
    assert call(cache.pickle(function), 3) == 6
    cells["factor"] = 5
    assert call(cache.pickle(function), 3) == 15


def test_a_redefined_helper_is_seen() -> None:
    cache = FunctionCache(10)
    function, cells = notebook("def g(x): return 1\ndef f(x): return g(x)")
    assert call(cache.pickle(function), 0) == 1
    exec("def g(x): return 2", cells)
    assert call(cache.pickle(function), 0) == 2


def test_a_global_of_a_helper_is_seen() -> None:
    cache = FunctionCache(10)
    function, cells = notebook("def g(): return n\ndef f(): return g()", n=1)
    cache.pickle(function)
    cells["n"] = 2
    assert call(cache.pickle(function)) == 2


def test_a_global_that_appears_later_is_seen() -> None:
    cache = FunctionCache(10)
    function, cells = notebook("def f(): return later")
    cache.pickle(function)
    cells["later"] = 4
    assert call(cache.pickle(function)) == 4


def test_a_changed_variable_of_a_closure_is_seen() -> None:
    cache = FunctionCache(10)
    amount = 1

    def add(x: int) -> int:
        return x + amount

    assert call(cache.pickle(add), 1) == 2
    amount = 10
    assert call(cache.pickle(add), 1) == 11


def test_a_change_inside_of_what_is_captured_is_seen() -> None:
    cache = FunctionCache(10)
    amounts = [1]

    def add(x: int) -> int:
        return x + amounts[0]

    assert call(cache.pickle(add), 1) == 2
    amounts[0] = 10
    assert call(cache.pickle(add), 1) == 11


def test_replaced_code_and_defaults_are_seen() -> None:
    cache = FunctionCache(10)
    function, _ = notebook("def f(x=1): return x")
    cache.pickle(function)
    function.__defaults__ = (7,)
    assert call(cache.pickle(function)) == 7


def test_a_global_used_in_a_nested_function_is_seen() -> None:
    cache = FunctionCache(10)
    function, cells = notebook("def f(): return (lambda: n)()", n=1)
    cache.pickle(function)
    cells["n"] = 3
    assert call(cache.pickle(function)) == 3


@pytest.mark.parametrize("function", [math.sin, len, FunctionCache, by_factor, FunctionCache.pickle])
def test_what_can_be_imported_is_named_by_its_module(function: Callable[..., Any]) -> None:
    assert is_importable(function)
    assert traits_of(function) == []


@pytest.mark.parametrize("function", [lambda: 0, [].append, functools.partial(by_factor), FunctionCache(1).pickle])
def test_what_cannot_be_imported_is_not(function: Callable[..., Any]) -> None:
    assert not is_importable(function)


def test_partials_are_looked_into() -> None:
    assert traits_of(functools.partial(by_factor, 1)) is not None
    assert traits_of(functools.partial(print, [1])) is None


def test_bound_methods_and_instances_are_pickled_each_time() -> None:
    cache = FunctionCache(10)
    method = [3, 1].count
    assert cache.pickle(method) is not cache.pickle(method)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.__kwdefaults__.update(x=7),
        lambda f: setattr(f, "x", 1),
        lambda f: setattr(f, "__wrapped__", len),
    ],
)
def test_changed_keyword_defaults_and_attributes_are_seen(change: Callable[[Any], None]) -> None:
    cache = FunctionCache(10)
    function, _ = notebook("def f(*, x=1): return x")
    before = cache.pickle(function)
    change(function)
    assert cache.pickle(function).digest != before.digest


def test_a_changed_keyword_of_a_partial_is_seen() -> None:
    cache = FunctionCache(10)
    function = functools.partial(notebook("def f(x): return x")[0], x=1)
    assert call(cache.pickle(function)) == 1
    function.keywords["x"] = 2
    assert call(cache.pickle(function)) == 2


def test_a_module_made_by_hand_can_change_inside() -> None:
    function, _ = notebook("def f(): return module.x", module=types.ModuleType("made_by_hand"))
    assert traits_of(function) is None


SHARED = [
    "def f(x): return x + 1",
    "def f(x):\n    n = 0\n    def g():\n        nonlocal n\n        n += 1\n    g()\n    return n",
    "def f(x):\n    thing.x = 1\n    return math.sin(x)",
    "def g(x): return x\ndef f(x): return g(x)",
    "def f(x=(1, 'a', frozenset({2}), math), *, y=1.5): return x",
    "import functools\ndef g(x, y): return x\nf = functools.partial(g, 1, y=(2, 3))",
]
STATEFUL = [
    "def f(x, seen=[]): seen.append(x); return seen",
    "def f(x, *, seen={}): seen[x] = x; return seen",
    "def f():\n    global n\n    n = 1",
    "def f():\n    def g():\n        global n\n        del n\n    g()",
    "def f(): f.calls = 1",
    "def g(): f.calls += 1\ndef f(): g()",
    "def f(): setattr(f, 'calls', 1)",
    "def f(): f.__dict__['calls'] = 1",
    "def f(): globals()['n'] = 1",
    "def f(): exec('n = 1', globals())",
    "def f(): pass\nf.calls = 0",
    "def make(n):\n    def f():\n        nonlocal n\n        n += 1\n        return n\n    return f\nf = make(0)",
    "def make(n):\n    def f():\n        def g():\n            nonlocal n; del n\n    return f\nf = make(0)",
    "seen = []\ndef f(x): seen.append(x)",
    "import itertools, functools\nf = functools.partial(next, itertools.count())",
    "import functools\nf = functools.partial(lambda x, y: y, y=[])",
    "f = [].append",
    "f = {}.setdefault",
    "class Thing:\n    def __call__(self): pass\nf = Thing()",
    "class Thing:\n    def do(self): pass\nf = Thing().do",
    "class Thing:\n    n = 0\n    @classmethod\n    def f(cls): cls.n += 1\nf = Thing.f",
    "import functools\n@functools.lru_cache\ndef f(x): return [x]",
    "import collections\nf = collections.deque().append",
]


@pytest.mark.parametrize("source", SHARED)
def test_functions_that_can_not_carry_state_are_shared_by_calls(source: str) -> None:
    function, _ = notebook(source, math=math)
    pickled = FunctionCache(10).pickle(function)
    assert pickled.is_shared
    (body,) = FunctionCache(10).announce(pickled)
    assert body == FunctionBody(pickled.digest, pickled.body)


@pytest.mark.parametrize("source", STATEFUL)
def test_of_functions_that_may_carry_state_each_call_gets_its_own(source: str) -> None:
    function, _ = notebook(source)
    pickled = FunctionCache(10).pickle(function)
    assert not pickled.is_shared
    (message,) = FunctionCache(10).announce(pickled)
    assert isinstance(message, FunctionBody)
    assert message.digest == pickled.digest
    kept = serialize.loads_packed(message.body)
    assert isinstance(kept, PerCall)
    assert kept.make() is not kept.make()


def test_functions_that_refer_to_each_other_are_looked_at_once() -> None:
    function, _ = notebook("def g(x): return f(x)\ndef f(x): return g(x)")
    traits = traits_of(function)
    assert traits is not None
    assert len(traits) == 2


def test_a_function_is_named_from_its_second_use_on() -> None:
    cache = FunctionCache(10)
    pickled = cache.pickle(lambda: 0)
    assert not cache.is_worth_naming(pickled)
    assert cache.is_worth_naming(pickled)


def test_a_body_is_sent_once() -> None:
    cache = FunctionCache(10)
    pickled = cache.pickle(by_factor)
    assert cache.announce(pickled) == [FunctionBody(pickled.digest, pickled.body)]
    assert cache.announce(pickled) == []


def test_a_body_that_may_not_have_been_sent_is_sent_again() -> None:
    cache = FunctionCache(10)
    pickled = cache.pickle(by_factor)
    cache.announce(pickled)
    cache.retract(pickled)
    assert cache.announce(pickled)


def test_the_oldest_function_is_forgotten_and_sent_again_when_it_is_needed() -> None:
    cache = FunctionCache(2)
    functions = [cache.pickle(notebook(f"def f(): return {number}")[0]) for number in range(3)]
    cache.announce(functions[0])
    cache.announce(functions[1])
    cache.announce(functions[0])
    assert cache.announce(functions[2])[1:] == [ForgetFunctions([functions[1].digest])]
    assert cache.announce(functions[1])[0] == FunctionBody(functions[1].digest, functions[1].body)


def test_a_pickled_function_inside_of_a_call_is_the_function_there() -> None:
    pickled = PickledFunction(lambda x: x + 1)
    assert serialize.loads_packed(serialize.dumps_packed(pickled))(1) == 2


def test_names() -> None:
    assert function_name(lambda: 0) == "lambda"
    assert function_name(functools.partial(functools.partial(by_factor, 1))) == "by_factor"
    assert function_name(functools.partial) == "partial"
    assert function_name(_Callable()) == "_Callable"


class _Callable:
    def __call__(self) -> int:
        return 1
