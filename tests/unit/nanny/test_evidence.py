from __future__ import annotations

from pathlib import Path

import pytest

from himalia.machine import Send
from himalia.messages.nanny import DeathCause, WorkerDied
from himalia.messages.worker import EndsItself
from himalia.nanny import events as e
from himalia.nanny import out_of_memory
from himalia.nanny.evidence import judge
from himalia.testing.builders import make_compute
from himalia.testing.stages.nanny import FIRST, NannyStage

A = make_compute("a", 1)


@pytest.mark.parametrize(
    ("exit", "was_told", "out_of_memory", "text", "cause"),
    [
        ("signal SIGSEGV", False, True, "signal SIGSEGV", "crash"),
        ("signal SIGABRT", False, None, "signal SIGABRT", "crash"),
        ("exit code 1", True, True, "exit code 1", "crash"),
        ("signal SIGKILL", True, True, "signal SIGKILL, which it sent to itself", "crash"),
        ("signal SIGTERM", True, False, "signal SIGTERM, which it sent to itself", "crash"),
        ("signal SIGKILL", False, True, "signal SIGKILL, by a kernel that was out of memory", "memory"),
        ("signal SIGTERM", False, True, "signal SIGTERM, sent from outside", "outside"),
        ("signal SIGHUP", False, None, "signal SIGHUP, sent from outside", "outside"),
    ],
)
def test_what_is_known_of_a_death(
    exit: str, was_told: bool, out_of_memory: bool | None, text: str, cause: DeathCause
) -> None:
    assert judge(exit, was_told=was_told, out_of_memory=out_of_memory) == (text, cause)


@pytest.mark.parametrize("out_of_memory", [None, False])
def test_a_sigkill_is_not_called_out_of_memory_without_the_kernels_word(out_of_memory: bool | None) -> None:
    text, cause = judge("signal SIGKILL", was_told=False, out_of_memory=out_of_memory)
    assert cause == "outside"
    assert text.startswith("signal SIGKILL, sent from outside (")


def died(stage: NannyStage, exit: str, out_of_memory: bool | None = None) -> WorkerDied:
    worker = stage.state.workers[FIRST]
    out = stage.event(e.WorkerExited(FIRST, worker.pid, exit, [worker.running or 1], ["log"], out_of_memory))
    return next(one.message for one in out if isinstance(one, Send) and isinstance(one.message, WorkerDied))


def test_a_process_that_said_so_ended_itself_and_its_successor_did_not() -> None:
    stage = NannyStage()
    stage.scheduler(A)
    stage.event(EndsItself(9), FIRST)
    assert died(stage, "signal SIGKILL").cause == "crash"
    stage.come_up(pid=200)
    assert died(stage, "signal SIGKILL").cause == "outside"


def test_a_worker_that_is_killed_from_outside_is_replaced_at_once_however_often() -> None:
    stage = NannyStage()
    for pid in range(200, 230):
        worker = stage.state.workers[FIRST]
        out = stage.event(e.WorkerExited(FIRST, worker.pid, "signal SIGKILL", [], [], False))
        assert e.StartWorker(FIRST, 0) in out
        stage.come_up(pid=pid)


def test_the_kernels_counts_are_compared_with_the_last_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = tmp_path / "vmstat"
    monkeypatch.setattr(out_of_memory, "VMSTAT", str(count))
    monkeypatch.setattr(out_of_memory, "GROUPS", str(tmp_path))
    assert out_of_memory.OutOfMemoryCount().rose() is None
    count.write_text("oom_kill_disable 0\noom_kill 3\nother x\n")
    watch = out_of_memory.OutOfMemoryCount()
    assert watch.rose() is False
    count.write_text("oom_kill 4\n")
    assert watch.rose() is True
    assert watch.rose() is False
