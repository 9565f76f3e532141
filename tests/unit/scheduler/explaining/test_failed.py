"""Why a task failed names each task once."""

from __future__ import annotations

import re

from himalia.names import Key
from himalia.scheduler.explaining.task import explain
from himalia.testing.stages.scheduler import SchedulerStage, spec


def killed() -> SchedulerStage:
    """Return a scheduler with a call ``crash`` that killed its workers, and one that needs it."""
    stage = SchedulerStage("a")
    stage.submit("alice", spec("crash"), spec("after", "crash"))
    for _ in range(3):
        stage.die("crash")
    return stage


def test_a_killed_call_is_named_once() -> None:
    text = explain(killed().machine.state, Key("crash"))
    assert text.startswith("crash was given up after 3 attempts: worker processes died while it ran;")
    assert len(re.findall(r"\bcrash\b", text.partition("Run the function")[0])) == 1


def test_a_call_whose_input_was_killed_names_both_once() -> None:
    text = explain(killed().machine.state, Key("after"))
    assert text.startswith("after failed because its input crash was given up after 3 attempts: worker processes died")


def test_a_call_that_raised_is_named_before_what_it_raised() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("bad"), spec("after", "bad"))
    stage.fail("bad")
    said = stage.task("bad").error
    assert said is not None
    assert explain(stage.machine.state, Key("bad")) == f"bad failed: {said.text}"
    assert explain(stage.machine.state, Key("after")) == f"after failed because its input bad did: {said.text}"
