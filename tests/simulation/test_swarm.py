"""More than a thousand random schedules; the promise that a seed decides everything; the exam itself can fail.

``HIMALIA_SEEDS`` says how many schedules.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import himalia
from himalia.scheduler import placement
from himalia.testing.plan import Plan
from himalia.testing.shrink import copy, shrink
from himalia.testing.simulate import draw_plan, report_failure, run_plan, run_seed, run_seeds

SEEDS = int(os.environ.get("HIMALIA_SEEDS", "1200"))
PIECES = 24
"""Tests that the seeds are dealt out to: small enough that no core waits long for another's last."""

DIGESTS = """
from himalia.testing.simulate import run_seed
print([run_seed(seed, "model").digest for seed in range(30)] + [run_seed(seed, "real").digest for seed in range(30)])
"""


@pytest.mark.parametrize("piece", range(PIECES))
def test_no_schedule_breaks_a_promise(piece: int) -> None:
    for outcome in run_seeds(range(piece, SEEDS, PIECES), workers=1):
        assert not outcome.error, report_failure(outcome, 60)


def test_the_same_seed_gives_the_same_trace_whatever_the_hash_seed() -> None:
    package = str(Path(himalia.__file__).parents[1])
    traces = []
    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": package}
        traces.append(
            subprocess.run(
                [sys.executable, "-c", DIGESTS], env=environment, capture_output=True, text=True, check=True
            ).stdout
        )
    assert traces[0] == traces[1]
    assert len(set(traces[0].split())) > 45


def test_some_seeds_have_real_endpoints() -> None:
    wires = [draw_plan(seed).wires for seed in range(200)]
    assert 10 < wires.count("real") < 50


def test_a_plan_survives_being_written_down() -> None:
    plan = draw_plan(7)
    assert copy(plan) == plan
    assert run_plan(copy(plan)).digest == run_seed(7).digest


def test_a_scheduler_that_forgets_to_look_for_work_is_found_and_the_plan_shrinks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The exam can fail: with refill() switched off, something waits for ever."""
    from himalia.scheduler import cancelling, deaths, freeing, membership, transitions

    for module in (placement, cancelling, deaths, freeing, membership, transitions):
        if hasattr(module, "refill"):
            monkeypatch.setattr(module, "refill", lambda state, host: None)
    seed = next(seed for seed in range(20) if run_seed(seed).error)

    def fails(plan: Plan) -> bool:
        return bool(run_plan(plan).error)

    plan = draw_plan(seed)
    smaller = shrink(plan, fails, tries=60)
    assert fails(copy(smaller))
    assert len(smaller.tasks) + len(smaller.ops) + len(smaller.faults) < len(plan.tasks) + len(plan.ops) + len(
        plan.faults
    )
