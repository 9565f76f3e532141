"""A real worker process; the tests play its nanny."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from himalia import exceptions, serialize
from himalia.client.engine.tracebacks import traceback_of
from himalia.messages.worker import CallFunction, CallReturned, InterruptRun, Place, Raised, RetireWorker, Returned
from himalia.names import Key
from tests.integration.worker_harness import MIB, WorkerHarness
from tests.waiting import PATIENCE, hold, wait_until


@pytest.fixture
def worker() -> Iterator[WorkerHarness]:
    with WorkerHarness() as harness:
        yield harness


@pytest.fixture
def threaded() -> Iterator[WorkerHarness]:
    with WorkerHarness(nthreads=2) as harness:
        yield harness


def add(a: Any, b: Any) -> Any:
    return a + b


def fail(text: str) -> None:
    raise ValueError(text)


class Odd(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__("odd")  # so that unpickling it fails: two arguments are missing


class Loud(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for you")


def raise_it(kind: type[BaseException], *args: Any) -> None:
    raise kind(*args)


def test_a_call_returns_its_result_with_its_times(worker: WorkerHarness) -> None:
    run = worker.run(add, 1, 2)
    answer = worker.receive()
    assert isinstance(answer, Returned)
    assert (answer.run, answer.type_name, worker.value(answer.place)) == (run, "int", 3)
    assert abs(answer.timing.start - time.time()) < 20
    assert 0 <= answer.timing.compute < 1
    assert answer.nbytes == len(answer.place.inline or b"")


def test_functions_are_asked_for_once(worker: WorkerHarness) -> None:
    worker.run(add, 1, 2)
    assert worker.result() == 3
    worker.functions.clear()
    digest = serialize.dumps_function(add)[0]
    worker.run(add, 3, 4)
    worker.functions.pop(digest)
    assert worker.result() == 7


def test_a_call_that_carries_its_function_needs_no_other(worker: WorkerHarness) -> None:
    worker.run(add, function=b"", call=serialize.dumps_packed((lambda x: x * 2, (21,), {})))
    assert worker.result() == 42


def test_inputs_are_put_where_the_call_refers_to_them(worker: WorkerHarness) -> None:
    key = Key("x")
    call = serialize.dumps_packed(((Reference(key), 1), {}))
    worker.run(add, call=call, inputs=[(key, Place(serialize.dumps_packed(41)))])
    assert worker.result() == 42


def test_inputs_in_the_arena_are_writable_and_their_mapping_is_reported(worker: WorkerHarness) -> None:
    key = Key("x")
    array = np.zeros(MIB)
    place = worker.put(key, serialize.dumps(array))
    worker.run(increment, call=serialize.dumps_packed(((Reference(key),), {})), inputs=[(key, place)])
    assert worker.result() == MIB
    assert np.array_equal(serialize.loads(worker.store.views(key)), array)
    worker.run(add, 1, 2)
    assert worker.result() == 3
    assert worker.unmapped == [place.offset]


def test_large_results_lie_in_the_arena(worker: WorkerHarness) -> None:
    for size in (MIB, 3 * MIB, 20):
        worker.run(np.arange, size)
        assert np.array_equal(worker.result(), np.arange(size))


def test_a_call_too_large_for_a_datagram_arrives(worker: WorkerHarness) -> None:
    worker.run(len, b"x" * MIB)
    assert worker.result() == MIB


def test_an_argument_of_its_own_holds_the_call(worker: WorkerHarness) -> None:
    key = Key("arguments")
    place = worker.put(key, serialize.dumps(((np.ones(MIB),), {})))
    worker.run(np.sum, call=b"", argument=str(key), inputs=[(key, place)])
    assert worker.result() == MIB


def test_an_exception_is_an_answer_with_the_users_frames(worker: WorkerHarness) -> None:
    worker.run(fail, "because")
    answer = worker.receive()
    assert isinstance(answer, Raised)
    assert answer.error.text == "ValueError: because"
    assert [frame.function for frame in answer.error.frames] == ["fail"]
    error = exceptions.unpack(answer.error.exception, traceback_of)
    assert isinstance(error, ValueError)
    assert error.args == ("because",)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, BaseException, MemoryError])
def test_whatever_is_raised_ends_the_call_only(worker: WorkerHarness, kind: type[BaseException]) -> None:
    worker.run(raise_it, kind)
    answer = worker.receive()
    assert answer.error.text == kind.__name__
    worker.run(add, 1, 2)
    assert worker.result() == 3


@pytest.mark.parametrize(
    ("kind", "args", "text"),
    [
        (Odd, (1, 2), "Odd: odd"),
        (Loud, (), "Loud: <a Loud whose text can't be made>"),
        (ValueError, ("x" * 10**6,), "ValueError: xxx"),
    ],
)
def test_exceptions_that_are_hard_to_pickle_are_described_and_arrive(
    worker: WorkerHarness, kind: type[BaseException], args: tuple[Any, ...], text: str
) -> None:
    worker.run(raise_it, kind, *args)
    answer = worker.receive()
    assert answer.error.text.startswith(text)
    assert len(answer.error.text) < 10_000
    assert type(exceptions.unpack(answer.error.exception, traceback_of)) is kind


def test_the_cause_of_an_exception_is_told(worker: WorkerHarness) -> None:
    def chained() -> None:
        try:
            {}["x"]  # type: ignore[index]
        except KeyError as error:
            raise ValueError("no") from error

    worker.run(chained)
    assert worker.receive().error.text == "ValueError: no\ncaused by KeyError: 'x'"


def test_a_result_that_cannot_be_pickled_is_an_error_that_says_so(worker: WorkerHarness) -> None:
    worker.run(threading.Lock)
    text = worker.receive().error.text
    assert text.startswith("key-1: It returned, but its result can't be sent.")
    assert "_thread.lock" in text


def test_arguments_that_cannot_be_read_are_an_error_that_says_so(worker: WorkerHarness) -> None:
    worker.run(add, call=b"\x80rubbish")
    assert worker.receive().error.text.startswith("key-1: Its function or arguments can't be read in the worker.")
    worker.run(add, function=b"0" * 16)
    assert "doesn't know the function" in worker.receive().error.text


def test_the_slot_names_the_run_while_it_runs(worker: WorkerHarness, tmp_path: Path) -> None:
    worker.teach(hold)
    run = worker.run(hold, str(tmp_path / "go"))
    worker.wait_for_slot(run)
    (tmp_path / "go").touch()
    worker.receive()
    worker.wait_for_slot(0)


def test_a_recalled_run_is_refused_and_never_executed(worker: WorkerHarness) -> None:
    worker.recall(1)
    worker.run(os._exit, 3)
    answer = worker.receive()
    assert (answer.run, answer.error.kind) == (1, "refused")


def test_inputs_that_are_never_read_are_reported_as_unmapped_before_the_answer(worker: WorkerHarness) -> None:
    """Of a call that was recalled, and of one that fails before it comes to them: the nanny counts them as mapped."""
    key, second = Key("x"), Key("y")
    place, other = (worker.put(name, serialize.dumps(np.zeros(MIB))) for name in (key, second))
    call = serialize.dumps_packed(((Reference(key),), {}))
    worker.recall(1)
    worker.run(increment, call=call, inputs=[(key, place)])
    assert worker.receive().error.kind == "refused"
    assert worker.unmapped == [place.offset]
    worker.run(add, function=b"0" * 16, call=call, inputs=[(key, place), (second, other)])
    assert "doesn't know the function" in worker.receive().error.text
    assert sorted(worker.unmapped) == sorted([place.offset, place.offset, other.offset])
    worker.run(increment, call=b"", argument="x", inputs=[(second, Place(b"rubbish")), (key, place)])
    assert "can't be read" in worker.receive().error.text
    assert len(worker.unmapped) == 4


OPENS_TOO_MUCH = """
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (0, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
os.open(os.devnull, os.O_RDONLY)
"""


def test_an_error_is_described_where_no_file_can_be_opened_any_more(worker: WorkerHarness) -> None:
    """So nothing that this takes may be imported only then.  (A function of this file would bring imports along.)"""
    worker.run(exec, OPENS_TOO_MUCH, {})
    assert "Too many open files" in worker.receive().error.text


def fork_and_return_twice(number: int) -> Any:
    """Return in the parent, and later in a child that it forked."""
    if os.fork() == 0:
        time.sleep(0.5)
        return np.full(MIB, -1.0)
    return np.full(MIB, float(number))


def test_a_forked_child_of_a_call_that_returns_as_well_writes_over_nothing(worker: WorkerHarness) -> None:
    places = []
    for number in range(3):
        worker.run(fork_and_return_twice, number)
        answer = worker.receive()
        key = Key(f"result-{number}")
        worker.adopt(key, answer.place)
        places.append(key)
    time.sleep(1.0)
    for number, key in enumerate(places):
        assert np.array_equal(serialize.loads(worker.store.views(key)), np.full(MIB, float(number)))


def test_an_interrupt_ends_even_a_sleep_of_the_main_thread(worker: WorkerHarness) -> None:
    worker.teach(time.sleep)
    run = worker.run(time.sleep, 60)
    worker.wait_for_slot(run)
    time.sleep(0.05)
    worker.tell(InterruptRun(run))
    answer = worker.receive()
    assert (answer.run, answer.error.text) == (run, "KeyboardInterrupt: this call was cancelled")
    worker.run(add, 1, 2)
    assert worker.result() == 3


def test_an_interrupt_for_another_run_does_nothing(worker: WorkerHarness) -> None:
    worker.teach(time.sleep)
    run = worker.run(time.sleep, 1.0)
    worker.wait_for_slot(run)
    worker.tell(InterruptRun(run + 7))
    assert isinstance(worker.receive(), Returned)


def test_an_interrupt_reaches_python_code_of_other_threads(threaded: WorkerHarness) -> None:
    threaded.teach(spin)
    runs = [threaded.run(spin, 60), threaded.run(spin, 60)]
    wait_until(lambda: {threaded.slot(0), threaded.slot(1)} == set(runs))
    time.sleep(0.1)
    for run in runs:
        threaded.tell(InterruptRun(run))
    assert {threaded.receive().run, threaded.receive().run} == set(runs)
    threaded.run(add, 1, 2)
    assert threaded.result() == 3


def test_threads_run_calls_at_the_same_time(threaded: WorkerHarness, tmp_path: Path) -> None:
    here, there = str(tmp_path / "here"), str(tmp_path / "there")
    threaded.run(meet, here, there)
    threaded.run(meet, there, here)
    answers = [threaded.receive(), threaded.receive()]
    assert {answer.timing.thread for answer in answers} == {0, 1}


def test_a_call_for_this_worker_alone_is_taken_from_its_own_queue(worker: WorkerHarness) -> None:
    worker.run(add, 1, 2, targeted=True)
    assert worker.result() == 3


def test_a_call_that_runs_alone_waits_for_the_others_and_keeps_them_waiting(threaded: WorkerHarness) -> None:
    span = [threaded.run(clock, 0.2), threaded.run(clock, 0.2, targeted=True, alone=True), threaded.run(clock, 0.2)]
    times = {}
    for _ in span:
        answer = threaded.receive()
        times[answer.run] = threaded.value(answer.place)
    alone = times.pop(span[1])
    assert all(end <= alone[0] or begin >= alone[1] for begin, end in times.values())


def test_a_function_beside_the_tasks_does_not_wait_for_them(worker: WorkerHarness, tmp_path: Path) -> None:
    worker.teach(hold)
    worker.run(hold, str(tmp_path / "go"))
    worker.tell(CallFunction(5, serialize.dumps_packed((os.getpid, (), {}))))
    answer = worker.receive()
    assert isinstance(answer, CallReturned)
    assert serialize.loads_packed(answer.value) == worker.process.pid
    (tmp_path / "go").touch()
    assert isinstance(worker.receive(), Returned)


def test_a_large_answer_of_a_function_beside_the_tasks_arrives(worker: WorkerHarness) -> None:
    worker.tell(CallFunction(5, serialize.dumps_packed((bytes, (MIB,), {}))))
    assert len(serialize.loads_packed(worker.receive().value)) == MIB
    worker.tell(CallFunction(6, serialize.dumps_packed((fail, ("no",), {}))))
    assert worker.receive().error.text == "ValueError: no"


def test_a_retired_worker_finishes_what_it_runs_and_ends(threaded: WorkerHarness, tmp_path: Path) -> None:
    threaded.teach(hold)
    run = threaded.run(hold, str(tmp_path / "go"))
    wait_until(lambda: run in (threaded.slot(0), threaded.slot(1)))
    threaded.tell(RetireWorker())
    (tmp_path / "go").touch()
    assert isinstance(threaded.receive(), Returned)
    assert threaded.process.wait(PATIENCE) == 0


def test_the_worker_ends_with_its_nanny(worker: WorkerHarness) -> None:
    worker.channel.close()
    assert worker.process.wait(PATIENCE) == 1


def test_a_fork_of_user_code_takes_no_calls(worker: WorkerHarness) -> None:
    worker.run(fork_and_return)
    assert worker.result() > 0
    worker.run(add, 1, 2)
    assert worker.result() == 3


def test_the_process_looks_like_home(worker: WorkerHarness) -> None:
    worker.run(surroundings)
    assert worker.result() == ([""], "__main__", False, "")


def test_the_process_imports_no_more_than_it_needs(worker: WorkerHarness) -> None:
    names = ["asyncio", "uvloop", "tornado", "click", "cryptography", "numpy", "psutil"]
    worker.run(lambda: [name for name in names if name in __import__("sys").modules])
    assert worker.result() == []


def test_a_segfault_leaves_its_run_in_the_slot(worker: WorkerHarness) -> None:
    worker.teach(os.kill)
    run = worker.run(os.kill, worker.process.pid, signal.SIGSEGV)
    assert worker.process.wait(20) == -signal.SIGSEGV
    assert worker.slot() == run


class Reference:
    """What a future is in the pickle of a call."""

    def __init__(self, key: Key) -> None:
        self.key = key

    def __reduce__(self) -> Any:
        return serialize.resolve, (self.key,)


def increment(array: Any) -> float:
    array += 1
    return float(array.sum())


def spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def meet(mine: str, other: str) -> None:
    """Return if another call does the same at the same time."""
    Path(mine).touch()
    hold(other)


def clock(seconds: float) -> tuple[float, float]:
    begin = time.monotonic()
    time.sleep(seconds)
    return begin, time.monotonic()


def fork_and_return() -> int:
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    return pid


def surroundings() -> Any:
    main = sys.modules["__main__"]
    return sys.argv, main.__name__, hasattr(main, "__file__"), sys.stdin.read()
