from __future__ import annotations

import json

from himalia.names import WorkerName
from himalia.nanny.profiling_plan import Plan
from himalia.nanny.profiling_samples import ENTRIES, SECONDS, Samples
from himalia.nanny.profiling_stacks import read_dump, read_raw

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
    plan = Plan(1.0, 10.0)
    running: dict[WorkerName, list[int]] = {W: [1], V: []}
    assert plan.next_looks(running, [], 0.0) == []
    assert plan.next_looks(running, [], 1.0) == [W]
    assert plan.next_looks(running, [], 1.5) == []
    assert plan.next_looks(running, [], 2.0) == [W]
    assert plan.next_looks({W: [2], V: []}, [], 3.0) == []


def test_after_somebody_asked_busy_workers_take_turns() -> None:
    plan = Plan(1.0, 10.0)
    plan.ask(0.0)
    running: dict[WorkerName, list[int]] = {W: [1], V: [2], U: [3]}
    assert plan.next_looks(running, [], 0.0) == [W, V]
    assert plan.next_looks(running, [W, V], 0.5) == []
    assert plan.next_looks(running, [V], 1.0) == [U]
    assert plan.next_looks({W: [], V: [], U: []}, [], 9.0) == []
