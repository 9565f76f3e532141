"""Where an interrupt may land, asked at the place itself or of a thread that waits there."""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import logging
import queue
import sys
import threading
import time
import types
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from himalia.worker.landing_places import landed_badly, may_land
from tests.waiting import wait_until

ANSWERS: list[bool] = []


def ask(*ignored: Any) -> None:
    """Note whether an interrupt might land where this is called."""
    frame = sys._getframe(1)
    ANSWERS.append(may_land(frame, is_resting=False))


def answers(function: Callable[..., Any], *args: Any) -> list[bool]:
    """Return what was noted while a function ran in a thread of its own."""
    ANSWERS.clear()
    thread = threading.Thread(target=function, args=args)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    return ANSWERS.copy()


class Closed:
    """Asks in a method that is also its finalizer."""

    def close(self) -> None:
        ask()

    __del__ = close


class Deleted:
    def __del__(self) -> None:
        inside()


class Entered:
    def __enter__(self) -> None:
        ask()

    def __exit__(self, *error: object) -> None:
        inside()


class Asking(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        inside()


def inside() -> None:
    ask()


@contextlib.contextmanager
def managed() -> Iterator[None]:
    ask()
    yield
    ask()


def finalizer() -> None:
    Deleted()


def renamed_finalizer() -> None:
    Closed()


def weak_callback() -> None:
    thing = Entered()
    reference = weakref.ref(thing, lambda dead: ask())
    del thing
    assert reference() is None


def weak_callback_of_any_arguments() -> None:
    def gone(*args: Any) -> None:
        ask()

    thing = Entered()
    reference = weakref.ref(thing, gone)
    del thing
    assert reference() is None


def registered_finalizer() -> None:
    thing = Entered()
    weakref.finalize(thing, inside)
    del thing


def in_garbage_collection() -> None:
    def callback(phase: str, info: dict[str, int]) -> None:
        ask()

    gc.callbacks.append(callback)
    try:
        gc.collect()
    finally:
        gc.callbacks.remove(callback)


def in_a_cycle() -> None:
    thing = Deleted()
    thing.me = thing  # type: ignore[attr-defined]
    del thing
    gc.collect()


def abandoned_generator() -> None:
    def numbers() -> Iterator[int]:
        try:
            yield 1
        finally:
            ask()

    generator = numbers()
    next(generator)
    del generator


def enter_and_exit() -> None:
    with Entered():
        pass


def enter_and_exit_of_a_generator() -> None:
    with managed():
        pass


def log() -> None:
    logger = logging.Logger("apart")
    logger.addHandler(Asking())
    logger.warning("text")


@pytest.mark.parametrize(
    "function",
    [
        finalizer,
        renamed_finalizer,
        weak_callback,
        weak_callback_of_any_arguments,
        registered_finalizer,
        in_garbage_collection,
        in_a_cycle,
        abandoned_generator,
        enter_and_exit,
        enter_and_exit_of_a_generator,
        log,
    ],
)
def test_not_where_something_would_be_left_half_done(function: Callable[[], None]) -> None:
    given = answers(function)
    assert given
    assert not any(given)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the name of a package that asks while it is imported, and has functions that ask."""
    name = "package_that_asks"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(
        f"from {__name__} import ask\nask()\nfrom . import inner\ndef f(): ask()\n"
        "def __getattr__(name):\n    import importlib\n    return importlib.import_module('.late', __name__)\n"
    )
    (tmp_path / name / "inner.py").write_text(
        f"from {__name__} import inside\nclass Made:\n    inside()\n[inside() for _ in range(2)]\n"
    )
    (tmp_path / name / "late.py").write_text(f"from {__name__} import inside\ninside()\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    for found in [found for found in sys.modules if found.partition(".")[0] == name]:
        del sys.modules[found]


def test_not_in_imports_and_whatever_they_call(module: str) -> None:
    def use() -> None:
        exec(f"import {module}.inner")

    assert answers(use) == [False] * 4
    assert answers(lambda: importlib.import_module(f"{module}.inner")) == []
    assert answers(lambda: sys.modules[module].f()) == [True]
    assert answers(lambda: sys.modules[module].anything) == [False]


def test_not_in_a_module_that_is_loaded_lazily(module: str) -> None:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    lazy = importlib.util.module_from_spec(spec)
    sys.modules[module] = lazy
    spec.loader.exec_module(lazy)
    assert answers(lambda: lazy.f) == [False] * 4


def test_not_in_a_module_that_somebody_executes_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    made = types.ModuleType("made_by_hand")
    monkeypatch.setitem(sys.modules, "made_by_hand", made)
    code = compile(f"from {__name__} import ask, inside\nask()\ninside()", "made", "exec")
    assert answers(lambda: exec(code, made.__dict__)) == [False, False]
    assert answers(lambda: exec(code, {"__name__": "nobodys"})) == [True, True]


def plain() -> None:
    def numbers() -> Iterator[int]:
        ask()
        yield 1

    with threading.Lock():
        ask()
    with threading.Condition():
        for _ in range(1):
            ask()
    list(numbers())
    list(map(ask, [1]))


def test_elsewhere_it_may() -> None:
    assert answers(plain) == [True] * 4


def waiting(function: Callable[[], Any]) -> Iterator[FrameType]:
    """Yield the innermost frame of a thread that waits in a function."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    ident = thread.ident
    assert ident is not None

    def stands() -> bool:
        before = (frame := sys._current_frames()[ident]), frame.f_lasti
        time.sleep(0.1)  # a real thread, of which only that it hasn't moved for a while tells that it waits
        return before == ((frame := sys._current_frames()[ident]), frame.f_lasti)

    wait_until(stands)
    while True:
        yield sys._current_frames()[ident]


def test_where_a_thread_waits_it_may_unless_it_may_have_a_lock_at_any_moment() -> None:
    lock = threading.Lock()
    lock.acquire()
    condition = threading.Condition(threading.Lock())
    condition.acquire()
    event: threading.Event = threading.Event()
    empty: queue.Queue[int] = queue.Queue()

    def blocked_with() -> None:
        with lock:
            pass

    def blocked_with_condition() -> None:
        with condition:
            pass

    def blocked_acquire() -> None:
        lock.acquire()
        lock.release()

    expected: list[tuple[Callable[[], Any], bool, bool]] = [
        (blocked_with, True, True),
        (blocked_with_condition, False, False),
        (blocked_acquire, False, False),
        (lambda: event.wait(30), False, True),
        (lambda: empty.get(timeout=30), False, True),
        (lambda: time.sleep(3), True, True),  # what it waits in is what is tested
    ]
    try:
        for function, moving, resting in expected:
            frames = waiting(function)
            assert may_land(next(frames), is_resting=False) is moving, function
            assert may_land(next(frames), is_resting=True) is resting, function
    finally:
        lock.release()
        condition.release()
        event.set()
        empty.put(1)


def test_what_went_through_a_bad_place_is_known_by_its_traceback() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    class Cleaning:
        def __enter__(self) -> None:
            stop()

        def __exit__(self, *error: object) -> None:
            pass

    def enter() -> None:
        with Cleaning():
            pass

    traces = []
    for function in (stop, enter):
        try:
            function()
        except KeyboardInterrupt as error:
            traces.append(landed_badly(error.__traceback__))
    assert traces == [False, True]
