"""Processes that are stopped: each is noticed and named, and replaced or waited for, as note 0011 says."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from himalia import Client, LocalCluster
from himalia.deploy import keeper
from himalia.errors import TimeoutError
from tests.waiting import hold, wait_until


@pytest.fixture
def cluster(nothing_left: None) -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    with Client(cluster) as client:
        yield client


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Have a process stopped; at the end it goes on, if it is there."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def nap(number: int) -> int:
    time.sleep(0.05)
    return number


def pid_of(place: str) -> int:
    """Be a call that says where it runs, and goes on for as long as the file is there."""
    Path(place).write_text(str(os.getpid()))
    while Path(place).exists():
        time.sleep(0.02)
    return os.getpid()


def read_pid(place: Path) -> int:
    wait_until(lambda: place.exists() and place.read_text())
    return int(place.read_text())


def test_a_stopped_worker_is_named_then_replaced_and_its_call_runs_again(client: Client, tmp_path: Path) -> None:
    place = tmp_path / "where"
    long = client.submit(pid_of, str(place))
    pid = read_pid(place)
    others = client.map(nap, range(40))
    with stopped(pid):
        wait_until(lambda: "doesn't answer: it was stopped" in long.explain())
        assert client.gather(others) == list(range(40)), "the other worker takes what the queue has"
        wait_until(lambda: not psutil.pid_exists(pid), timeout=90)
        wait_until(lambda: place.read_text() != str(pid))
        place.unlink()
        assert long.result(timeout=30) != pid


def test_a_worker_that_is_continued_in_time_loses_nothing(client: Client, tmp_path: Path) -> None:
    place = tmp_path / "where"
    future = client.submit(pid_of, str(place))
    pid = read_pid(place)
    with stopped(pid):
        time.sleep(3.0)
    place.unlink()
    assert future.result(timeout=30) == pid


def test_a_worker_that_is_stopped_while_it_starts_is_replaced(cluster: LocalCluster, client: Client) -> None:
    nanny = psutil.Process(cluster._launched.children[1].pid)
    known = {child.pid for child in nanny.children()}
    os.kill(next(iter(client.scheduler_info()["workers"].values()))["pid"], signal.SIGKILL)

    def fresh() -> list[int]:
        return [child.pid for child in nanny.children() if child.pid not in known]

    wait_until(fresh)
    with stopped(fresh()[0]):
        assert client.gather(client.map(nap, range(20))) == list(range(20))
        wait_until(lambda: len(cluster.workers) == 2, timeout=90)


def test_a_long_call_is_left_alone_and_explained_by_how_long_it_runs(client: Client, tmp_path: Path) -> None:
    future = client.submit(hold, str(tmp_path / "go"))
    wait_until(lambda: "has been running on" in future.explain())
    assert "answer" not in future.explain()
    (tmp_path / "go").write_text("")
    assert future.result(timeout=30) > 0


def test_a_scheduler_that_does_not_answer_is_named_and_nothing_is_lost(cluster: LocalCluster, client: Client) -> None:
    before = client.submit(nap, 1)
    assert before.result(timeout=30) == 1
    with stopped(cluster._launched.children[0].pid):
        future = client.submit(nap, 2)
        unheard = (
            r"submitted \d+\.\d s ago, and the scheduler has not acknowledged it\. It was last heard of \d+\.\d s ago"
        )
        with pytest.raises(TimeoutError, match=unheard):
            future.result(timeout=1.5)
        text = future.explain()
        assert "scheduler has not answered for 5 s" in text
        assert re.search(unheard, text), text
        assert "the connection to it stands" in text
        assert "the scheduler has not answered" in cluster.explain(future)
    assert future.result(timeout=30) == 2
    assert "is finished" in future.explain()
    assert cluster.status == "running"


def test_a_nanny_that_stays_stopped_is_named_and_replaced(
    cluster: LocalCluster, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "STOPPED_LIMIT", 8.0)
    nanny = cluster._launched.children[1].pid
    with stopped(nanny):
        future = client.submit(nap, 3)
        wait_until(lambda: future.done() or "hasn't been heard of" in future.explain())
        assert future.result(timeout=60) == 3
    assert cluster._launched.children[1].pid != nanny
