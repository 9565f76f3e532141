"""A real nanny with real workers; the tests play its scheduler."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from himalia import serialize
from himalia.messages.answers import CallReplies, ProcessLogs, Reply
from himalia.messages.client import GetLogs, RunFunction
from himalia.messages.nanny import (
    FreeData,
    RestartWorkers,
    TaskFinished,
    Withdraw,
    Withdrawn,
    WorkerDied,
    WorkerStarted,
)
from himalia.messages.telemetry import LogLine
from himalia.names import Key
from himalia.testing.builders import make_dependency
from tests.integration.nanny_harness import NannyHarness
from tests.waiting import PATIENCE

MIB = 1024 * 1024


def run(scenario: Callable[[NannyHarness], Awaitable[None]], **config: Any) -> None:
    """Play a scenario with a nanny whose workers are up."""

    async def play() -> None:
        async with NannyHarness(**config) as nanny:
            await nanny.ready()
            await scenario(nanny)

    asyncio.run(play())


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


def add(a: Any, b: Any) -> Any:
    return a + b


class Reference:
    def __init__(self, key: Key) -> None:
        self.key = key

    def __reduce__(self) -> Any:
        return serialize.resolve, (self.key,)


def test_calls_run_and_their_results_are_told() -> None:
    async def scenario(nanny: NannyHarness) -> None:
        for n in range(1000):
            nanny.submit(add, n, 1)
        results = [await nanny.result() for _ in range(1000)]
        assert sorted(results) == list(range(1, 1001))

    run(scenario, nworkers=2)


def test_a_large_result_is_the_input_of_another_call_without_a_copy() -> None:
    async def scenario(nanny: NannyHarness) -> None:
        key = nanny.submit(np.ones, 4 * MIB)
        finished = await nanny.expect(TaskFinished)
        assert finished.data is None
        assert finished.nbytes >= 32 * MIB
        nanny.submit(np.sum, Reference(key), inputs=(make_dependency(key, finished.attempt, nanny.nanny),))
        assert await nanny.result() == 4 * MIB
        nanny.tell(FreeData([(key, finished.attempt)]))
        for _ in range(20):  # 640 MiB of results pass through a store of 256
            key = nanny.submit(np.ones, 4 * MIB)
            finished = await nanny.expect(TaskFinished)
            nanny.tell(FreeData([(key, finished.attempt)]))

    run(scenario)


def test_many_small_inputs_are_more_than_a_datagram() -> None:
    async def scenario(nanny: NannyHarness) -> None:
        keys = [nanny.submit(add, n, 0) for n in range(5000)]
        attempts = {}
        for _ in keys:
            finished = await nanny.expect(TaskFinished)
            attempts[finished.key] = finished.attempt
        inputs = tuple(make_dependency(key, attempts[key], nanny.nanny) for key in keys)
        nanny.submit(sum, [Reference(key) for key in keys], inputs=inputs)
        assert await nanny.result() == sum(range(5000))

    run(scenario, nworkers=2)


def test_a_large_function_arrives() -> None:
    async def scenario(nanny: NannyHarness) -> None:
        data = bytes(MIB)
        nanny.submit(lambda: len(data))
        assert await nanny.result() == MIB

    run(scenario)


def test_a_short_call_does_not_wait_behind_a_long_one() -> None:
    async def scenario(nanny: NannyHarness) -> None:
        for _ in range(100):
            nanny.submit(add, 1, 2, group="g")
        for _ in range(100):
            await nanny.result()
        nanny.submit(time.sleep, 60, group="g")
        start = time.monotonic()
        for _ in range(100):
            nanny.submit(add, 1, 2, group="g")
        for _ in range(100):
            await nanny.result()
        assert time.monotonic() - start < 30

    run(scenario, nworkers=2)


def test_a_worker_that_dies_is_replaced_and_its_call_is_named_with_the_evidence() -> None:
    def crash() -> None:
        print("last words")
        os.kill(os.getpid(), signal.SIGSEGV)

    async def scenario(nanny: NannyHarness) -> None:
        key = nanny.submit(crash)
        died = await nanny.expect(WorkerDied)
        assert (died.exit, died.running, died.blamed) == ("signal SIGSEGV", [(key, 1)], True)
        assert died.log[0] == "last words"
        assert "Segmentation fault" in "".join(died.log)
        started = await nanny.expect(WorkerStarted)
        assert started.worker.name == died.name
        nanny.submit(add, 1, 2)
        assert await nanny.result() == 3

    run(scenario)


def test_nothing_is_lost_while_workers_are_killed_at_random() -> None:
    async def scenario(nanny: NannyHarness) -> None:
        calls = {nanny.submit(add, n, 0): n for n in range(3000)}
        done: dict[Key, Any] = {}
        died = 0
        while len(done) < len(calls):
            await asyncio.sleep(0.02)
            if died < 5:
                pids = [int(pid) for pid in children(nanny.process.pid)]
                if pids:
                    os.kill(pids[-1], signal.SIGKILL)
                    died += 1
            again: list[tuple[Key, int]] = []
            for message in nanny.inbox:
                if isinstance(message, TaskFinished):
                    done[message.key] = serialize.loads_packed(message.data or b"")
                elif isinstance(message, WorkerDied):
                    again += message.running
            nanny.inbox.clear()
            for key, _ in again:
                new = nanny.submit(add, calls[key], 0)
                calls[new] = calls.pop(key)
        assert done == calls

    run(scenario, nworkers=2)


def children(pid: int) -> list[str]:
    if sys.platform != "linux":
        pytest.skip("lists child processes by /proc; on macOS psutil would")
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return file.read().split()


def test_a_cancelled_call_frees_its_worker() -> None:
    async def scenario(nanny: NannyHarness) -> None:
        nanny.submit(add, 1, 2)
        await nanny.result()
        key = nanny.submit(time.sleep, 60)
        await asyncio.sleep(0.2)
        start = time.monotonic()
        nanny.tell(Withdraw(key, 2, interrupt=True))
        withdrawn = await nanny.expect(Withdrawn)
        assert (withdrawn.key, withdrawn.attempt, withdrawn.started) == (key, 2, False)
        assert time.monotonic() - start < 1
        nanny.submit(add, 1, 2)
        assert await nanny.result() == 3

    run(scenario)


def test_a_call_that_ignores_its_interrupt_costs_its_worker() -> None:
    def stubborn(started: str) -> None:
        Path(started).touch()
        while True:
            try:
                time.sleep(60)
            except KeyboardInterrupt:
                pass

    async def scenario(nanny: NannyHarness) -> None:
        started = Path(nanny.directory, "started")
        key = nanny.submit(stubborn, str(started))
        await wait_until(started.exists)
        start = time.monotonic()
        nanny.tell(Withdraw(key, 1, interrupt=True))
        withdrawn = await nanny.expect(Withdrawn)
        assert (withdrawn.key, withdrawn.attempt, withdrawn.started) == (key, 1, False)
        died = await nanny.expect(WorkerDied)
        assert (died.running, died.blamed) == ([], False)
        await nanny.expect(WorkerStarted)
        assert time.monotonic() - start < 10

    run(scenario)


def test_a_worker_that_grows_too_large_is_replaced() -> None:
    def grow() -> None:
        kept = []
        while True:
            kept.append(b"x" * MIB)
            time.sleep(0.001)

    async def scenario(nanny: NannyHarness) -> None:
        key = nanny.submit(grow)
        died = await nanny.expect(WorkerDied)
        assert (died.running, died.blamed) == ([(key, 1)], True)
        assert "of its own memory" in died.exit

    run(scenario, memory_limit=150 * MIB)


def test_a_function_runs_on_every_worker_and_logs_are_kept() -> None:
    async def scenario(nanny: NannyHarness) -> None:
        nanny.tell(RunFunction(1, serialize.dumps_packed((print, ("hello",), {}))))
        reply = await nanny.expect(Reply)
        assert isinstance(reply.value, CallReplies)
        assert {name: one.error for name, one in reply.value.replies.items()} == {"n-0": None, "n-1": None}
        lines: list[LogLine] = []
        request = 1
        while not lines:  # only calls' lines are there as soon as their results
            request += 1
            nanny.tell(GetLogs(request, ["n-1"]))
            logs = (await nanny.expect(Reply)).value
            assert isinstance(logs, ProcessLogs)
            lines = logs.lines["n-1"]
        (line,) = lines
        assert (line.source, line.text, line.key) == ("stdout", "hello", "")

    run(scenario, nworkers=2)


def test_a_restart_replaces_every_process() -> None:
    async def scenario(nanny: NannyHarness) -> None:
        nanny.submit(os.getpid)
        before = await nanny.result()
        nanny.tell(RestartWorkers(5))
        assert (await nanny.expect(Reply)).request == 5
        nanny.submit(os.getpid)
        assert await nanny.result() != before

    run(scenario)


def test_workers_share_the_hashes_of_strings_and_have_the_environment_they_were_given() -> None:
    def look() -> Any:
        return hash("a"), os.environ["OF_THE_USER"], os.getcwd()

    async def scenario(nanny: NannyHarness) -> None:
        for name in ("n-0", "n-1"):
            nanny.submit(look, worker=name)
        first, second = await nanny.result(), await nanny.result()
        assert first == second
        assert first[1:] == ("yes", os.getcwd())

    run(scenario, nworkers=2, env={"OF_THE_USER": "yes"})


def test_workers_that_cannot_start_are_an_error_with_their_last_lines(tmp_path: Path) -> None:
    (tmp_path / "msgspec.py").write_text("raise RuntimeError('not today')")

    async def play() -> None:
        async with NannyHarness(env={"PYTHONPATH": str(tmp_path)}) as nanny:
            assert await asyncio.wait_for(nanny.process.wait(), 20) == 1
            stderr = await nanny.leave()
            assert b"no worker could be started: n-0 ended with exit code 1" in stderr
            assert b"RuntimeError: not today" in stderr

    asyncio.run(play())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_survives_its_nanny(number: signal.Signals) -> None:
    async def scenario(nanny: NannyHarness) -> None:
        nanny.submit(spin_without_python)
        await asyncio.sleep(0.2)
        pids = children(nanny.process.pid)
        assert len(pids) == 3  # with the process that they are forked from
        nanny.process.send_signal(number)
        await asyncio.wait_for(nanny.process.wait(), 20)
        await wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))

    run(scenario, nworkers=2)


def spin_without_python() -> int:
    """Hold the GIL for a minute."""
    return sum(range(10**10))
