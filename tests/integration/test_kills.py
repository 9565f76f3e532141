"""Worker processes that are killed: who is blamed, what is said of it, and that nothing is lost or wrong."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from himalia import Client, LocalCluster
from himalia.errors import KilledWorkerError
from tests.chaos.kills import OwnNanny, Workers, run


def nap(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "signal SIGKILL, which it sent to itself"),
        (lambda: os.kill(0, signal.SIGTERM), "signal SIGTERM, which it sent to itself"),
        (lambda: signal.raise_signal(signal.SIGKILL), "signal SIGKILL, which it sent to itself"),
        (os.abort, "signal SIGABRT"),
        (lambda: os._exit(3), "exit code 3"),
    ],
    ids=["kill", "terminate", "raise", "abort", "exit"],
)
def test_a_call_that_ends_its_process_is_found_out_after_three(
    end: Callable[[], Any], said: str, nothing_left: None
) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        client.submit(print, "long before", pure=False).result(30)
        error = client.submit(end, pure=False).exception(30)
        assert isinstance(error, KilledWorkerError)
        assert f"({said})" in str(error)
        assert "after 3 attempts" in str(error)
        assert "long before" not in str(error), "those are the words of an earlier process"
        assert client.submit(abs, -1, pure=False).result(30) == 1


def test_a_call_whose_process_others_kill_is_not_blamed(nothing_left: None) -> None:
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        future = client.submit(nap, 1.0, pure=False)
        over = time.monotonic() + 6
        while time.monotonic() < over:  # far more often than a strike needs
            for worker in client.scheduler_info()["workers"].values():
                try:
                    os.kill(worker["pid"], signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.3)
        assert future.result(30) > 0


def test_a_kill_of_its_own_child_is_nobodys_end(nothing_left: None) -> None:
    def kill_a_child() -> int:
        import subprocess

        child = subprocess.Popen(["sleep", "60"])
        os.kill(child.pid, signal.SIGKILL)
        return child.wait()

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        assert client.submit(kill_a_child).result(30) == -signal.SIGKILL


def test_nothing_is_wrong_lost_or_blamed_while_workers_are_killed(nothing_left: None) -> None:
    with Workers() as victims:
        result = run(victims, kills=20, pause=(0.1, 0.8), seconds=20, seed=7)
    assert not result.problem, result
    assert result.kills >= 10 and result.calls > 20, result


def test_nothing_is_wrong_or_blamed_while_the_only_nanny_is_killed(nothing_left: None) -> None:
    with OwnNanny() as victims:
        result = run(victims, kills=6, pause=(1.0, 3.0), seconds=25, seed=8)
    assert not result.problem, result
    assert result.kills >= 3 and result.calls > 20, result
