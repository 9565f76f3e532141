"""Interrupts that arrive while a worker's call does something global: the next call finds it whole."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from himalia import Client, LocalCluster
from himalia.messages.worker import InterruptRun, Raised, Returned
from tests.integration.worker_harness import WorkerHarness
from tests.waiting import hold, wait_until

STEPS = 60
"""Of 10 ms each: how long each of these takes."""
LOG: list[str] = []
LOCK = threading.Condition(threading.Lock())


@pytest.fixture
def slow(tmp_path: Path) -> str:
    """Return a folder with a package that is long in being imported."""
    package = tmp_path / "slow_package"
    package.mkdir()
    begin = "import pathlib, time\nfor step in range(20):\n    time.sleep(0.01)\n    sum(range(20_000))\n"
    (package / "__init__.py").write_text(
        "import pathlib\npathlib.Path(__file__).with_name('begun').write_text('x')\n"
        "from . import one\nfrom . import two\nwhole = one.x + two.x\n"
    )
    for name in ("one", "two"):
        (package / f"{name}.py").write_text(begin + "x = 21\n")
    return str(tmp_path)


def spin() -> None:
    while True:
        sum(range(1000))


def use_package() -> int:
    import slow_package  # type: ignore[import-not-found]

    return int(slow_package.whole)


def import_and_spin() -> None:
    use_package()
    spin()


def import_by_name() -> None:
    __import__("slow_package.two")
    spin()


def dawdle() -> None:
    for step in range(STEPS):
        time.sleep(0.01)
        sum(range(20_000))
        LOG.append(str(step))


class Dying:
    def __del__(self) -> None:
        dawdle()


class Dawdling(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        dawdle()


def finalize() -> None:
    Dying()
    spin()


def call_back() -> None:
    thing = Dawdling()
    reference = weakref.ref(thing, lambda gone: dawdle())
    del thing
    spin()
    print(reference)


def write_log() -> None:
    logger = logging.Logger("slow")
    logger.addHandler(Dawdling())
    logger.error("text")
    spin()


def lock_often() -> None:
    while True:
        with LOCK:
            sum(range(10))


def steps() -> list[str]:
    found = LOG.copy()
    LOG.clear()
    return found


def is_lock_free() -> bool:
    free = LOCK.acquire(timeout=2)
    if free:
        LOCK.release()
    return free


class Stage:
    """A worker of which one thread is free, the main one or another, and what a test does with it."""

    def __init__(self, worker: WorkerHarness, thread: int, folder: Path) -> None:
        self.worker = worker
        self.thread = thread
        self.held: dict[int, Path] = {}
        if thread:
            worker.teach(hold)
            while worker.slot(0) not in self.held:  # both threads take calls: hold the main one
                ready = folder / f"free-{len(self.held)}"
                run = worker.run(hold, str(ready))
                self.wait_for(run)
                self.held[run] = ready
            self.free(worker.slot(1))

    def wait_for(self, run: int) -> None:
        wait_until(lambda: run in (self.worker.slot(0), self.worker.slot(1)))

    def free(self, run: int) -> None:
        if run in self.held:
            self.held.pop(run).touch()
            assert self.worker.receive().run == run

    def interrupt(self, function: Callable[[], Any], after: float) -> None:
        """Run a function, interrupt it once after some seconds, and see it end by that."""
        worker = self.worker
        worker.teach(function)
        run = worker.run(function)
        wait_until(lambda: worker.slot(self.thread) == run)
        time.sleep(after)
        worker.tell(InterruptRun(run))
        answer = worker.receive()
        assert isinstance(answer, Raised), answer
        assert answer.run == run
        assert "KeyboardInterrupt" in answer.error.text

    def call(self, function: Callable[[], Any]) -> Any:
        self.worker.run(function)
        return self.worker.result()


@pytest.fixture(params=[0, 1], ids=["main", "other"])
def stage(request: pytest.FixtureRequest, slow: str, tmp_path: Path) -> Iterator[Stage]:
    path = [slow, *[path for path in sys.path if path]]
    with WorkerHarness(nthreads=1 + request.param, sys_path=path) as harness:
        yield Stage(harness, request.param, tmp_path)


@pytest.mark.parametrize("after", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("use", [import_and_spin, import_by_name])
def test_an_import_is_whole_for_the_next_call(stage: Stage, use: Callable[[], None], after: float) -> None:
    stage.interrupt(use, after)
    assert stage.call(use_package) == 42


@pytest.mark.parametrize("use", [finalize, call_back, write_log])
def test_finalizers_and_logging_are_finished(stage: Stage, use: Callable[[], None]) -> None:
    stage.interrupt(use, 0.2)
    assert stage.call(steps) == list(map(str, range(STEPS)))


def test_a_lock_is_free_afterwards(stage: Stage) -> None:
    for number in range(20):
        stage.interrupt(lock_often, 0.01 * (number % 7))
        assert stage.call(is_lock_free)


@pytest.mark.parametrize("use", [spin, lambda: threading.Event().wait(60), lambda: subprocess.run(["sleep", "60"])])
def test_what_waits_in_the_main_thread_ends_at_once(slow: str, tmp_path: Path, use: Callable[[], Any]) -> None:
    with WorkerHarness(sys_path=[path for path in sys.path if path]) as harness:
        stage = Stage(harness, 0, tmp_path)
        stage.interrupt(use, 0.2)
        assert stage.call(is_lock_free)


def test_a_worker_that_was_interrupted_in_a_bad_place_retires(tmp_path: Path) -> None:
    with WorkerHarness(sys_path=[path for path in sys.path if path]) as harness:
        harness.run(interrupt_in_a_finalizer)
        while not isinstance(harness.receive(), Returned):  # what it printed comes first
            pass
        assert harness.process.wait(20) == 0


def interrupt_in_a_finalizer() -> None:
    """Be so unlucky as to be interrupted where nobody could have seen it coming."""

    class Unlucky:
        def __del__(self) -> None:
            raise KeyboardInterrupt

    Unlucky()


def test_a_call_that_is_cancelled_in_an_import_costs_no_later_call(slow: str) -> None:
    def add_path() -> None:
        sys.path.insert(0, slow)

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        client.run(add_path)
        future = client.submit(use_package, pure=False)
        begun = Path(slow) / "slow_package" / "begun"
        wait_until(begun.exists)
        future.cancel()
        begun.unlink()
        client.run(add_path)
        assert client.submit(use_package, pure=False).result(30) == 42
