"""Processes that stand still and read nothing while others go on: memory stays bounded, and all is there later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from himalia import Client, LocalCluster
from himalia.client.engine.outbox import CONGESTION
from himalia.settings import DEFAULT
from tests.waiting import wait_until

MIB = 2**20
HEAP = 40 * MIB
"""What the scheduler's own books, its telemetry and a heap that doesn't shrink may grow by meanwhile."""

STANDS_STILL = """
    import sys
    from himalia import Client

    def value(number):
        return number.to_bytes(4, "big") * 1000

    if __name__ == "__main__":
        with Client(sys.argv[1]) as client:
            futures = client.map(value, range(int(sys.argv[2])), pure=False)
            print("submitted", flush=True)
            input()
            print(sum(future.result() == value(number) for number, future in enumerate(futures)), flush=True)
"""

FOLLOWS = """
    import sys
    import threading
    from himalia import Client
    from himalia.follow.thread_feed import ThreadFeed
    from himalia.telemetry.finished_calls import _decode

    if __name__ == "__main__":
        with Client(sys.argv[1]) as client:
            seen = skipped = total = 0
            begun = threading.Event()

            def take(push):
                global seen, skipped, total
                seen += sum(len(_decode(block)) for block in push.blocks)
                skipped += push.skipped
                total = push.status.total
                begun.set()

            end = ThreadFeed.of(client, full=True).subscribe(take)
            begun.wait()  # who is stopped while it connects has to connect anew
            print("following", flush=True)
            for line in sys.stdin:
                print(seen, skipped, total, flush=True)
            end()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster:
        cluster.wait_for_workers(2, timeout=30)
        yield cluster


@contextmanager
def script(text: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a script that says when it is ready, and let it end."""
    command = [sys.executable, "-c", textwrap.dedent(text), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.communicate(timeout=60)


def ask(process: subprocess.Popen[str]) -> str:
    """Let a script go on by a line, and return its answer."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline()


def scheduler_of(cluster: LocalCluster) -> psutil.Process:
    commands = {child.pid: psutil.Process(child.pid) for child in cluster._launched.children}
    [process] = [process for process in commands.values() if any("scheduler" in part for part in process.cmdline())]
    return process


def memory(process: psutil.Process) -> int:
    return int(process.memory_info().rss)


def increment(number: int) -> int:
    return number + 1


def test_a_client_that_stands_still_costs_the_scheduler_a_window_and_finds_all_its_values_later(
    cluster: LocalCluster, client: Client
) -> None:
    number = 60_000  # 240 MB of values
    scheduler = scheduler_of(cluster)
    with script(STANDS_STILL, cluster.name, number) as still:
        still.send_signal(signal.SIGSTOP)
        before = memory(scheduler)
        assert client.gather(client.map(increment, range(5000))) == list(range(1, 5001)), "others go on"
        wait_until(lambda: unfinished(client) == 0, timeout=120)
        grown = memory(scheduler) - before
        assert grown < 2 * DEFAULT.client_window + HEAP, f"{grown / MIB:.0f} MiB"
        still.send_signal(signal.SIGCONT)
        assert ask(still) == f"{number}\n"
    assert client.submit(increment, 1).result(timeout=30) == 2


def unfinished(client: Client) -> int:
    """Return the calls of the script that have no result yet."""
    groups = client.telemetry().groups
    return sum(group.waiting + group.assigned for group in groups if group.name == "value")


def test_a_follower_that_stands_still_is_told_later_how_much_it_missed(cluster: LocalCluster, client: Client) -> None:
    with script(FOLLOWS, cluster.name) as follower:
        follower.send_signal(signal.SIGSTOP)
        for _ in range(4):
            assert client.gather(client.map(increment, range(10_000), pure=False)) == list(range(1, 10_001))
        follower.send_signal(signal.SIGCONT)
        wait_until(lambda: agrees(ask(follower)))


def agrees(answer: str) -> bool:
    """Whether what a follower saw and what it missed are all that there was."""
    seen, skipped, total = map(int, answer.split())
    return total >= 40_000 and seen + skipped == total


def test_who_submits_to_a_scheduler_that_stands_still_waits_instead_of_filling_its_memory(
    cluster: LocalCluster, client: Client
) -> None:
    scheduler, me = scheduler_of(cluster), psutil.Process(os.getpid())
    number, argument = 20_000, bytes(25_000)  # 500 MB
    sums: list[int] = []

    def submit() -> None:
        futures = [client.submit(length, argument, n, pure=False) for n in range(number)]
        sums.append(sum(client.gather(futures)))

    before = memory(me)
    scheduler.suspend()
    thread = threading.Thread(target=submit)
    try:
        thread.start()
        wait_until(lambda: client._engine.outbox.congested)
        wait_until(stands(lambda: memory(me)))
        grown = memory(me) - before
    finally:
        scheduler.resume()
    assert grown < 2 * CONGESTION + HEAP, f"{grown / MIB:.0f} MiB"
    thread.join(120)
    assert sums == [number * 25_000 + sum(range(number))]


def length(argument: bytes, number: int) -> int:
    return len(argument) + number


def stands(look: Callable[[], int]) -> Callable[[], bool]:
    """Return a condition: a number is about what it was twenty looks ago."""
    seen: list[int] = []

    def is_steady() -> bool:
        seen.append(look())
        return len(seen) > 20 and abs(seen[-1] - seen[-20]) < MIB

    return is_steady
