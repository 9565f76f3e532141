"""Several nannies under one scheduler, started as a person would: data move between them, and one may die."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from himalia import Client, as_completed, wait
from himalia.errors import DataLostError
from himalia.messages.client import Telemetry
from himalia.messages.telemetry import TransferSummary
from tests.waiting import wait_until

COMMAND = [sys.executable, "-m", "himalia"]


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start a command and return it when it said that it is there."""
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(("Registered to:", "Scheduler at:")):
            return process
    raise AssertionError(f"himalia {' '.join(arguments)} ended with {process.wait()}")


def directories() -> Iterator[Path]:
    """Yield the private directories of processes of this test run."""
    for variable in ("XDG_RUNTIME_DIR", "TMPDIR"):
        yield from list(Path(os.environ[variable]).glob("himalia*/*"))


class Hosts:
    """A scheduler and nannies named ``a``, ``b``, …, one worker each."""

    def __init__(self) -> None:
        self.scheduler = start("scheduler", "--port", "0", "--name", "several")
        self.nannies: dict[str, subprocess.Popen[str]] = {}

    def add(self, name: str, memory: str = "1 GiB") -> None:
        """Start a nanny; it finds the scheduler by the cluster's name."""
        with Client("several") as client:
            address = client.scheduler_info()["address"]
        arguments = ("--name", name, "--nworkers", "1", "--nthreads", "1", "--memory-limit", memory)
        self.nannies[name] = start("worker", address, *arguments)

    def kill(self, name: str) -> None:
        """End a nanny as a host that is switched off does, and what such a host doesn't leave on others: its files."""
        process = self.nannies[name]
        process.kill()
        process.wait()
        for path in directories():
            if f"-{process.pid}" in path.name:
                shutil.rmtree(path)

    def close(self) -> None:
        """End everything that still runs."""
        for process in (*self.nannies.values(), self.scheduler):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in (*self.nannies.values(), self.scheduler):
            process.communicate(timeout=20)


@pytest.fixture
def hosts(nothing_left: None) -> Iterator[Hosts]:
    hosts = Hosts()
    try:
        for name in ("a", "b"):
            hosts.add(name)
        yield hosts
    finally:
        hosts.close()


@pytest.fixture
def client(hosts: Hosts) -> Iterator[Client]:
    with Client("several") as client:
        client.wait_for_workers(2, timeout=30)
        yield client


def ones(count: int) -> Any:
    return np.ones(count)


def total(*arrays: Any) -> float:
    return float(sum(array.sum() for array in arrays))


def later(x: int, seconds: float) -> int:
    time.sleep(seconds)
    return x


def nanny_of(_: int, seconds: float) -> int:
    time.sleep(seconds)
    return os.getppid()


def transfers(told: list[Telemetry]) -> list[TransferSummary]:
    return [transfer for push in told for metrics in push.hosts.values() for transfer in metrics.transfers]


def worker_at(client: Client, name: str) -> str:
    """Return the address of the one worker of a host."""
    info = client.scheduler_info()
    nanny = next(host["address"] for host in info["hosts"].values() if host["name"] == name)
    return str(next(address for address, worker in info["workers"].items() if worker["nanny"] == nanny))


def test_large_inputs_move_to_where_they_are_used(client: Client) -> None:
    at_a, at_b = worker_at(client, "a"), worker_at(client, "b")
    left = client.submit(ones, 2_000_000, workers=[at_a], pure=False)
    right = client.submit(ones, 1_000_000, workers=[at_b], pure=False)
    for where in (at_a, at_b):
        assert client.submit(total, left, right, workers=[where], pure=False).result(timeout=60) == 3_000_000
    # the copy is known, and will be freed with the original
    wait_until(lambda: len(next(iter(client.who_has([left]).values()))) == 2)
    assert left.result(timeout=30).sum() == 2_000_000


def test_work_is_spread_over_the_hosts(client: Client) -> None:
    assert len(set(client.gather(client.map(nanny_of, range(20), seconds=0.02)))) == 2


def test_a_host_that_dies_is_survived_by_computing_again(client: Client, hosts: Hosts) -> None:
    at_a = worker_at(client, "a")
    kept = [client.submit(ones, 200_000, workers=[at_a], allow_other_workers=True, pure=False) for _ in range(4)]
    wait(kept)
    running = client.map(later, range(40), seconds=0.05)
    hosts.kill("a")
    assert client.gather(running) == list(range(40))
    assert client.submit(total, *kept).result(timeout=60) == 800_000


def test_an_input_whose_holder_stands_still_is_named_and_comes_when_that_goes_on(client: Client) -> None:
    at_a, at_b = worker_at(client, "a"), worker_at(client, "b")
    made = client.submit(ones, 1_000_000, workers=[at_a], allow_other_workers=True, pure=False)
    assert client.submit(total, made, workers=[at_a]).result(timeout=60) == 1_000_000
    pid = next(host["pid"] for host in client.scheduler_info()["hosts"].values() if host["name"] == "a")
    os.kill(pid, signal.SIGSTOP)
    try:
        future = client.submit(total, made, workers=[at_b], pure=False)
        asked = rf"sent to b \(attempt 1\) and waits there for its input {made.key}, which a was asked for (\d+\.\d) s"
        wait_until(lambda: re.search(asked, future.explain()))
        text = future.explain()
        assert "the scheduler finds another copy or has it computed again" in text
        first = float(re.search(asked, text)[1])  # type: ignore[index]
        wait_until(lambda: "a hasn't been heard of for" in future.explain())
        # After ten seconds it asks no more: the scheduler has it computed again, by whoever isn't silent.
        again = re.search(asked, future.explain())
        assert again is None or float(again[1]) > first
        assert "hasn't been heard of" in made.explain()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert future.result(timeout=60) == 1_000_000


def test_scattered_data_that_died_with_their_host_are_named(client: Client, hosts: Hosts) -> None:
    at_a = worker_at(client, "a")
    data = client.scatter(np.ones(100_000), workers=[at_a])
    assert client.submit(total, data).result(timeout=60) == 100_000
    copies = next(iter(client.who_has([data]).values()))
    hosts.kill("a")
    future = client.submit(total, data, pure=False)
    if len(copies) > 1:  # the first call ran on the other host
        assert future.result(timeout=60) == 100_000
    else:
        with pytest.raises(DataLostError, match=str(data.key)):
            future.result(timeout=60)


def test_a_host_that_joins_late_gets_work(client: Client, hosts: Hosts) -> None:
    futures = client.map(nanny_of, range(600), seconds=0.1)  # half a minute's work for two: "c" is there by then
    hosts.add("c")
    assert any(pid == hosts.nannies["c"].pid for _, pid in as_completed(futures, with_results=True))
    client.cancel(futures)


def test_what_moves_between_hosts_is_told_by_who_receives_it(hosts: Hosts) -> None:
    with Client("several") as client:
        told: list[Telemetry] = []
        leave = client.follow_telemetry(told.append)
        made = client.submit(bytes, 5_000_000, workers="a-0")
        assert client.submit(len, made, workers="b-0").result(timeout=30) == 5_000_000
        wait_until(lambda: transfers(told))
        leave()
        (transfer,) = transfers(told)
        names = {number: host["name"] for number, host in client.scheduler_info()["hosts"].items()}
        assert (names[transfer.source], transfer.count) == ("a", 1)
        assert 5_000_000 <= transfer.nbytes < 5_001_000
        assert 0.0 < transfer.seconds < 30.0
        (record,) = [record for record in client.telemetry().records if record.group == "len"]
        assert record.timing.moved == transfer.nbytes
