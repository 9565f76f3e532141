from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pytest

from himalia.names import WorkerName
from himalia.nanny.profiling import profiler as profiling
from himalia.nanny.profiling.plan import ProfilePlan
from himalia.nanny.profiling.samples import ENTRIES, SECONDS, Samples
from himalia.nanny.profiling.stacks import read_dump, read_raw
from himalia.settings import Settings

if TYPE_CHECKING:
    from himalia.nanny.processes import WorkerPool

W, V, U = WorkerName("w"), WorkerName("v"), WorkerName("u")
WORKER = "Worker.serve (/x/himalia/worker/loop.py:147);Calls.perform (/x/himalia/worker/calls.py:89)"


def test_a_recording_is_cut_to_the_users_frames_of_threads_that_execute_a_call() -> None:
    raw = (
        f"thread (1): MainThread;{WORKER};fit (/home/a/model/fit.py:8);<lambda> (/home/a/model/f (1).py:9) 41\n"
        "thread (2): himalia-control;Worker.listen (/x/himalia/worker/loop.py:239) 50\n"
        f"thread (3): himalia-call-1;{WORKER} 3\n"
    )
    assert list(read_raw(raw)) == [("fit (model/fit.py:8);<lambda> (model/f (1).py:9)", 41)]


def test_a_dump_is_read_from_the_outermost_frame() -> None:
    frames = [("inner", "/a/b.py", 2), ("outer", "/a/b.py", 1), ("perform", "/x/himalia/worker/calls.py", 89)]
    thread = {"frames": [dict(zip(("name", "filename", "line"), frame, strict=True)) for frame in frames]}
    assert list(read_dump(json.dumps([thread]))) == ["outer (a/b.py:1);inner (a/b.py:2)"]


def test_samples_are_merged_per_look_and_forgotten_by_age_and_number() -> None:
    samples = Samples()
    samples.add("w", 1.0, [("f", 1), ("f", 2), ("g", 1)])
    assert samples.since(0.0) == {"w": [(1.0, "f", 3), (1.0, "g", 1)]}
    assert samples.since(1.0) == samples.since(0.0, ["v"]) == {}
    samples.add("w", 2.0 + SECONDS, [(str(number), 1) for number in range(2 * ENTRIES)])
    assert len(samples.since(0.0)["w"]) == ENTRIES


def test_only_calls_that_run_for_longer_than_the_interval_are_looked_at() -> None:
    plan = ProfilePlan(1.0, 10.0)
    running: dict[WorkerName, list[int]] = {W: [1], V: []}
    assert plan.next_looks(running, [], 0.0) == []
    assert plan.next_looks(running, [], 1.0) == [W]
    assert plan.next_looks(running, [], 1.5) == []
    assert plan.next_looks(running, [], 2.0) == [W]
    assert plan.next_looks({W: [2], V: []}, [], 3.0) == []


def test_after_somebody_asked_busy_workers_take_turns() -> None:
    plan = ProfilePlan(1.0, 10.0)
    plan.ask(0.0)
    running: dict[WorkerName, list[int]] = {W: [1], V: [2], U: [3]}
    assert plan.next_looks(running, [], 0.0) == [W, V]
    assert plan.next_looks(running, [W, V], 0.5) == []
    assert plan.next_looks(running, [V], 1.0) == [U]
    assert plan.next_looks({W: [], V: [], U: []}, [], 9.0) == []


class Worker(NamedTuple):
    pid: int


class Pool:
    """Two workers with a call each; the second one's process lets nobody look."""

    def __init__(self) -> None:
        self.workers = {W: Worker(1), V: Worker(2)}

    def all_running(self) -> dict[WorkerName, list[int]]:
        return {W: [1], V: [2]}


FAKE_SPY = """#!/bin/sh
for pid; do :; done
sleep 0.1  # else it is gone before its priority is set
if [ $pid = 2 ]; then echo "Permission denied" >&2; exit 1; fi
echo '[{"frames": [{"name": "fit", "filename": "/a/b.py", "line": 2},
  {"name": "perform", "filename": "/x/himalia/worker/calls.py", "line": 89}]}]'
"""


async def look(directory: Path, monkeypatch: pytest.MonkeyPatch, *names: WorkerName) -> tuple[Any, str]:
    """Look at these workers one after the other; return what a profiler answers then."""
    spy = directory / "py-spy"
    spy.write_text(FAKE_SPY)
    spy.chmod(0o700)
    monkeypatch.setattr(profiling, "find_program", lambda: str(spy))
    profiler = profiling.Profiler(cast("WorkerPool", Pool()), str(directory), Settings())
    for name in names:
        await asyncio.wait([profiler._begin(name, fast=False)])
    return await profiler.answer(0.0, None)


@pytest.mark.parametrize("names", [(W, V), (V,)])
def test_one_process_that_lets_nobody_look_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[WorkerName, ...]
) -> None:
    found, problem = asyncio.run(look(tmp_path, monkeypatch, *names))
    assert [stack for _, stack, _ in found[W]] == ["fit (a/b.py:2)"]
    assert problem == ""
