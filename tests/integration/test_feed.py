"""What a follower of a real cluster is told: running calls, transfers, moves to disk, restarts, the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from himalia import LocalCluster, wait
from himalia.follow.thread_feed import ThreadFeed
from himalia.messages.answers import ClusterInfo
from himalia.messages.client import Telemetry
from himalia.messages.telemetry import HostMetrics, RunningCall, StoreMove
from tests.waiting import PATIENCE, hold, wait_until


class Follower:
    """Everything that a feed told so far."""

    def __init__(self, target: Any, *, full: bool = False) -> None:
        self.pushes: list[Telemetry] = []
        self.infos: list[ClusterInfo] = []
        self.ends: list[str] = []
        self.leave = ThreadFeed.of(target, full=full).subscribe(self.pushes.append, self.infos.append, self.ends.append)

    def metrics(self) -> list[HostMetrics]:
        return [metrics for push in list(self.pushes) for metrics in push.hosts.values()]

    def newest(self) -> HostMetrics:
        """Return the newest metrics of the only host."""
        return next((metrics for push in reversed(self.pushes) for metrics in push.hosts.values()), HostMetrics())

    def holding(self) -> list[RunningCall]:
        """Return what runs of ``hold``; a shorter call before it may have been seen, too."""
        return [call for call in self.newest().running if call.group == "hold"]

    def ended(self) -> set[str]:
        """Return the keys of all calls that were told."""
        return {record.key for push in list(self.pushes) for record in push.records}

    def moves(self) -> list[StoreMove]:
        return [move for metrics in distinct(self.metrics()) for move in metrics.moves]


def distinct(measurements: list[HostMetrics]) -> list[HostMetrics]:
    """Return each measurement once: what a new follower is told first may have been told before."""
    return list({(metrics.time, metrics.cpu): metrics for metrics in measurements}.values())


def feed_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "himalia-feed"]


def make_bytes(number: int, size: int) -> bytes:
    return bytes([number % 256]) * size


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster:
        yield cluster


@pytest.fixture
def follower(cluster: LocalCluster) -> Iterator[Follower]:
    follower = Follower(cluster)
    yield follower
    follower.leave()
    assert feed_threads() == []


def test_a_call_that_runs_is_named_with_its_start_until_it_ends(
    cluster: LocalCluster, follower: Follower, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    with cluster.get_client() as client:
        future = client.submit(hold, str(go))
        wait_until(follower.holding)
        (call,) = follower.holding()
        go.touch()
        began = future.result(timeout=PATIENCE)
        assert (call.key, call.group, call.thread) == (future.key, "hold", 0)
        assert call.worker in {worker["name"] for worker in cluster.scheduler_info["workers"].values()}
        assert abs(began - call.started) < 5.0
        wait_until(lambda: not follower.newest().running)


def test_a_nanny_measures_itself(follower: Follower) -> None:
    wait_until(lambda: follower.newest().process.memory)
    newest = follower.newest()
    assert newest.process.fds > 5
    assert abs(newest.time - time.time()) < 5.0


def test_a_follower_is_told_who_is_there_and_again_when_that_changes(cluster: LocalCluster, follower: Follower) -> None:
    wait_until(lambda: follower.infos and len(follower.infos[-1].workers) == 2)
    cluster.scale(3)
    wait_until(lambda: len(follower.infos[-1].workers) == 3)
    cluster.scale(2)
    wait_until(lambda: len(follower.infos[-1].workers) == 2)


def test_a_restart_of_one_worker_keeps_results_and_runs_again_what_ran_there(
    cluster: LocalCluster, follower: Follower, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    with cluster.get_client() as client:
        kept = client.submit(make_bytes, 1, 2_000_000)
        wait(kept, timeout=PATIENCE)
        waiting = client.submit(hold, str(go), retries=0)
        wait_until(follower.holding)
        (call,) = follower.holding()
        before = {worker["name"]: worker["pid"] for worker in cluster.scheduler_info["workers"].values()}
        assert cluster.restart_workers(call.worker) == {call.worker: "OK"}
        after = {worker["name"]: worker["pid"] for worker in cluster.scheduler_info["workers"].values()}
        assert {name for name in before if before[name] != after[name]} == {call.worker}
        go.touch()
        assert waiting.result(timeout=PATIENCE) > call.started
        assert kept.result(timeout=PATIENCE) == make_bytes(1, 2_000_000)
        assert "no worker 'nobody'" in client.restart_workers(["nobody"])["nobody"]


def test_a_question_can_be_asked_through_the_feed(cluster: LocalCluster) -> None:
    with cluster.get_client() as client:
        future = client.submit(make_bytes, 1, 10)
        future.result(timeout=PATIENCE)
        task = ThreadFeed.of(cluster).ask(lambda control: control.describe_task(future.key))
        assert task.key == future.key
    assert feed_threads() == []


def test_calls_that_ended_before_are_told_also_to_who_joins_another_follower(cluster: LocalCluster) -> None:
    with cluster.get_client() as client:
        futures = client.map(abs, range(-5, 0))
        wait(futures)
        ended = {future.key for future in futures}
    first = Follower(cluster)
    wait_until(lambda: ended <= first.ended())
    second = Follower(cluster)
    wait_until(lambda: ended <= second.ended())
    assert second.pushes[0].skipped + len(second.pushes[0].records) == second.pushes[0].status.total
    first.leave()
    second.leave()


def test_two_followers_share_a_thread_which_ends_with_the_last(cluster: LocalCluster) -> None:
    first, second = Follower(cluster), Follower(cluster)
    wait_until(lambda: first.pushes and second.pushes)
    assert len(feed_threads()) == 1
    first.leave()
    assert len(feed_threads()) == 1
    told = len(second.pushes)
    wait_until(lambda: len(second.pushes) > told)
    second.leave()
    assert feed_threads() == []


def test_what_goes_to_disk_and_comes_back_is_told(nothing_left: None) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1, memory_limit="128 MiB") as cluster:
        follower = Follower(cluster)
        with cluster.get_client() as client:
            futures = [client.submit(make_bytes, number, 16 * 2**20) for number in range(12)]
            wait(futures, timeout=PATIENCE)
            assert client.submit(len, futures[0]).result(timeout=PATIENCE) == 16 * 2**20
            wait_until(lambda: {move.kind for move in follower.moves()} == {"spill", "unspill"})
            assert sum(move.nbytes for move in follower.moves() if move.kind == "spill") > 32 * 2**20
            assert all(abs(move.start - time.time()) < 60.0 and move.seconds < 10.0 for move in follower.moves())
        follower.leave()


def test_the_end_of_the_cluster_is_told_once_and_ends_the_thread(nothing_left: None) -> None:
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster:
        follower = Follower(cluster, full=True)
        wait_until(lambda: follower.pushes)
        assert follower.ends == []
    wait_until(lambda: follower.ends)
    wait_until(lambda: not feed_threads())
    assert len(follower.ends) == 1
    follower.leave()
