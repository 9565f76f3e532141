"""Runs cases and engines in turn, each in a fresh process, and collects what they print."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.cases import Case, takes_part
from tests.benchmarks.child import MARK
from tests.benchmarks.engines import load

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Outcome:
    """All that is known of one case with one engine."""

    values: list[float] = field(default_factory=list)
    also: dict[str, list[float]] = field(default_factory=dict)
    """Other things that were measured, by name; see ``dask_collections.Measured``."""
    missing: str = ""
    """Why the engine can't be run here."""
    errors: list[str] = field(default_factory=list)
    version: str = ""
    notes: list[str] = field(default_factory=list)
    """Last line that the case wrote to stderr, per round."""


Outcomes = dict[tuple[str, str], Outcome]
"""By names of case and engine."""


def run_once(case: Case, engine: str) -> tuple[dict[str, Any], str]:
    """Run one case in a fresh process group; return its answer and what it wrote to stderr."""
    command = [sys.executable, "-m", "tests.benchmarks.child", engine, case.name]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = dict(os.environ, PYTHONPATH=path)
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, complaints = process.communicate(timeout=case.seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return {"error": f"not finished after {case.seconds:.0f} s"}, ""
    end_group(process.pid)
    for line in output.splitlines():
        if line.startswith(MARK):
            answer: dict[str, Any] = json.loads(line.removeprefix(MARK))
            return answer, complaints
    return {"error": f"ended with {process.returncode} and no result"}, complaints


def end_group(group: int) -> None:
    """End what an engine left behind in its process group."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run_all(cases: Sequence[Case], engines: Sequence[str], rounds: int, tell: Callable[[str], None]) -> Outcomes:
    """Run everything ``rounds`` times.

    Within a round the engines take turns case by case, and each round begins with another engine, so that a slow minute
    of the machine hits all of them alike.
    """
    outcomes: Outcomes = {(c.name, e): Outcome() for c in cases for e in engines if takes_part(c, load(e))}
    for number in range(rounds):
        shift = number % len(engines)
        for case in cases:
            for engine in (*engines[shift:], *engines[:shift]):
                outcome = outcomes.get((case.name, engine))
                if outcome and not outcome.missing and not outcome.errors:
                    record(outcome, *run_once(case, engine))
                    tell(f"round {number + 1}/{rounds}  {case.name:<10} {engine:<12} {describe(outcome, case)}")
    return outcomes


def record(outcome: Outcome, answer: dict[str, Any], complaints: str) -> None:
    """Add what one process told."""
    outcome.values += answer.get("values", [])
    for name, values in answer.get("also", {}).items():
        outcome.also.setdefault(name, []).extend(values)
    outcome.missing = answer.get("missing", "")
    outcome.version = answer.get("version", outcome.version)
    if "error" in answer:
        outcome.errors.append(answer["error"] + "\n" + complaints[-2_000:])
    elif complaints.strip() and "values" in answer:
        outcome.notes.append(complaints.strip().splitlines()[-1])


def describe(outcome: Outcome, case: Case) -> str:
    """Return a line of progress."""
    if outcome.errors:
        return outcome.errors[-1].strip().splitlines()[0]
    return outcome.missing or f"{outcome.values[-1]:,.5g} {case.unit}"
