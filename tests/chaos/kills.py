"""Whom to kill, and when: a cluster, a thread with a pistol, and a load that has to come out right.

A kill is a SIGKILL or (workers only) a SIGTERM of one process that is there at the moment, chosen at random.
"""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Protocol, Self

from himalia import Client, LocalCluster
from himalia.registry import clusters
from tests.chaos.load import Wrong, run_round
from tests.waiting import wait_until

ROUND: float = 120.0
"""Seconds that a round may take, kills and all."""


class Victims(Protocol):
    """A cluster with processes that may be killed."""

    address: Any
    may_lose: bool

    def pids(self, client: Client) -> list[int]:
        """Return the processes that may be killed now."""

    def signals(self) -> tuple[signal.Signals, ...]:
        """Return how."""

    def tend(self) -> None:
        """Start again what nobody else does."""


@dataclasses.dataclass
class Result:
    """What came of it."""

    kills: int = 0
    rounds: int = 0
    calls: int = 0
    lost: int = 0
    problem: str = ""

    def __str__(self) -> str:
        lost = f", {self.lost} told that scattered data were lost" if self.lost else ""
        return (
            f"{self.kills} kills, {self.rounds} rounds, {self.calls} values right{lost}; {self.problem or 'no fault'}"
        )


class Workers:
    """Two workers of a cluster of this machine, brought back by their nanny."""

    may_lose = False

    def __enter__(self) -> Self:
        self.cluster = LocalCluster(n_workers=2, threads_per_worker=1, memory_limit="512 MiB", dashboard_address=None)
        self.address: Any = self.cluster
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.close()

    def pids(self, client: Client) -> list[int]:
        """See :class:`Victims`."""
        return [worker["pid"] for worker in client.scheduler_info()["workers"].values()]

    def signals(self) -> tuple[signal.Signals, ...]:
        """See :class:`Victims`."""
        return signal.SIGKILL, signal.SIGKILL, signal.SIGTERM

    def tend(self) -> None:
        """See :class:`Victims`."""


class OwnNanny(Workers):
    """The nanny of a cluster of this machine, with all that it holds; the cluster brings it back."""

    may_lose = True

    def pids(self, client: Client) -> list[int]:
        """See :class:`Victims`."""
        return [host["pid"] for host in client.scheduler_info()["hosts"].values()]

    def signals(self) -> tuple[signal.Signals, ...]:
        """See :class:`Victims`."""
        return (signal.SIGKILL,)


class Nannies:
    """Three nannies with a worker each, started by their command, and again by us."""

    may_lose = True

    def __enter__(self) -> Self:
        self._home = tempfile.TemporaryDirectory()
        self._environment = {**os.environ, "HIMALIA_HOME": self._home.name}
        os.environ["HIMALIA_HOME"] = self._home.name
        self._command = str(Path(sys.executable).with_name("himalia"))
        options = ["--host", "127.0.0.1", "--port", "0", "--dashboard-address", "none", "--name", "chaos"]
        self._scheduler = self._start("scheduler", *options)
        wait_until(lambda: "chaos" in [entry.name for entry in clusters.entries()])
        self._nannies = [self._start_nanny() for _ in range(3)]
        self.address: Any = "chaos"
        return self

    def __exit__(self, *_: object) -> None:
        for process in [*self._nannies, self._scheduler]:
            process.terminate()
        for process in [*self._nannies, self._scheduler]:
            process.wait(30)
        del os.environ["HIMALIA_HOME"]
        self._home.cleanup()

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [self._command, *command], env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def _start_nanny(self) -> subprocess.Popen[bytes]:
        return self._start("worker", "chaos", "--nworkers", "1", "--nthreads", "1", "--memory-limit", "512 MiB")

    def pids(self, client: Client) -> list[int]:
        """See :class:`Victims`."""
        return [host["pid"] for host in client.scheduler_info()["hosts"].values()]

    def signals(self) -> tuple[signal.Signals, ...]:
        """See :class:`Victims`."""
        return (signal.SIGKILL,)

    def tend(self) -> None:
        """See :class:`Victims`."""
        for index, process in enumerate(self._nannies):
            if process.poll() is not None:
                self._nannies[index] = self._start_nanny()


def run(victims: Victims, kills: int, pause: tuple[float, float], seconds: float, seed: int) -> Result:
    """Kill and compute until there were so many kills, or so many seconds, or something went wrong."""
    result = Result()
    over = threading.Event()
    with _connect(victims) as client, _connect(victims) as other:
        killer = threading.Thread(target=_kill, args=(victims, other, kills, pause, over, result, random.Random(seed)))
        killer.start()
        chance, deadline = random.Random(seed + 1), time.monotonic() + seconds
        try:
            while not over.is_set() and time.monotonic() < deadline:
                count, lost = run_round(client, chance, result.rounds, timeout=ROUND, may_lose=victims.may_lose)
                result.rounds, result.calls, result.lost = result.rounds + 1, result.calls + count, result.lost + lost
        except Wrong as error:
            result.problem = str(error)
        finally:
            over.set()
            killer.join()
    return result


def _connect(victims: Victims) -> Client:
    client = Client(victims.address, set_as_default=False, timeout=30)
    client.wait_for_workers(1, timeout=60)
    return client


def _kill(
    victims: Victims,
    client: Client,
    kills: int,
    pause: tuple[float, float],
    over: threading.Event,
    result: Result,
    chance: random.Random,
) -> None:
    while result.kills < kills and not over.wait(chance.uniform(*pause)):
        victims.tend()
        pids = victims.pids(client)
        if pids:
            try:
                os.kill(chance.choice(pids), chance.choice(victims.signals()))
                result.kills += 1
            except ProcessLookupError:
                pass
    over.set()
