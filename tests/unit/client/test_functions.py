from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import pytest

from himalia import serialize
from himalia.client.functions import FunctionCache, PickledFunction, function_name, is_importable, traits_of
from himalia.messages import ForgetFunctions, FunctionBody

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
    assert traits_of(functools.partial(by_factor, 1)) == []
    assert traits_of(functools.partial(print, [1])) is None


def test_bound_methods_and_instances_are_pickled_each_time() -> None:
    cache = FunctionCache(10)
    method = [3, 1].count
    assert cache.pickle(method) is not cache.pickle(method)


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
