from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from himalia.comm.security import new_credentials
from himalia.deploy import ls_stop_commands
from himalia.registry import clusters
from himalia.registry.cluster_file import describe

SLEEPS = "import signal, sys, time; {deaf}; print(flush=True); time.sleep(120)"
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIMALIA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(ls_stop_commands, "STOP_TIMEOUT", 0.3)


@pytest.fixture
def silent(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is registered as the scheduler of ``mine``, and answers nobody."""
    command = [sys.executable, "-c", SLEEPS.format(deaf=request.param)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            clusters.write(describe("mine", new_credentials(), ["unix:///nowhere/scheduler.sock"], pid=process.pid))
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("silent", ["0"], indirect=True)
def test_a_suspended_scheduler_is_woken_to_hear_that_it_shall_end(
    silent: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    os.kill(silent.pid, signal.SIGSTOP)
    assert ls_stop_commands.stop_clusters(["mine"]) == 0
    assert silent.wait() == -signal.SIGTERM
    assert capsys.readouterr().out == "Stopped mine.\n"
    assert clusters.entries() == []


@pytest.mark.parametrize("silent", [DEAF], indirect=True)
def test_a_scheduler_that_hears_nothing_is_killed_which_is_said(
    silent: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ls_stop_commands.stop_clusters(["mine"]) == 0
    assert silent.wait() == -signal.SIGKILL
    assert f"Stopped mine, by SIGKILL: its scheduler (pid {silent.pid}) did not end within" in capsys.readouterr().out
    assert clusters.entries() == []
