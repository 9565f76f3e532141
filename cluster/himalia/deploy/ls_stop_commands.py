"""``himalia ls`` and ``himalia stop``: looking at clusters that run elsewhere, and ending them.

Nothing is ended here that can't be proved to be the cluster's own process.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from himalia.errors import ConnectError, HimaliaError, UnreachableError
from himalia.follow.control import Control
from himalia.registry import clusters
from himalia.registry.cluster_file import ClusterEntry
from himalia.show.text import table
from himalia.show.units import format_ago

LOOK_TIMEOUT: Final = 1.0
"""Seconds that ``ls`` waits for one cluster; all are asked at the same time."""
STOP_TIMEOUT: Final = 10.0
"""Seconds an orderly end may take, and that each signal is given; nannies give their workers 1 s of it."""


def list_clusters() -> int:
    """Print this user's clusters, and return the exit code."""
    entries = clusters.entries()
    if not entries:
        print("No cluster is running.")
        return 0
    counts = asyncio.run(count_all(entries))
    header = ("NAME", "KIND", "SCHEDULER", "WORKERS", "THREADS", "HOST", "PID", "STARTED")
    rows = [
        (
            entry.name,
            entry.kind,
            public_address(entry),
            workers,
            threads,
            entry.hostname,
            str(entry.pid),
            format_ago(time.time() - entry.started),
        )
        for entry, (workers, threads) in zip(entries, counts, strict=True)
    ]
    print("\n".join(table([header, *rows])))
    return 0


def public_address(entry: ClusterEntry) -> str:
    """Return the address that is most useful elsewhere: the network's before loopback before the socket."""
    # The scheduler sorts them, the nearest first (scheduler_process.py).
    return entry.addresses[-1] if entry.addresses else "?"


async def count_all(entries: list[ClusterEntry]) -> list[tuple[str, str]]:
    """Return the workers and threads of each, ``?`` where nobody answered."""
    return await asyncio.gather(*(count_workers(entry) for entry in entries))


async def count_workers(entry: ClusterEntry) -> tuple[str, str]:
    """Return the workers and threads of one cluster."""
    control = Control(entry.credentials)
    try:
        # Around both: one that lets us in and then says nothing must not hold up the list.
        async with asyncio.timeout(LOOK_TIMEOUT):
            await control.open(entry.reachable, LOOK_TIMEOUT)
            workers = (await control.info()).workers
            return str(len(workers)), str(sum(worker.nthreads for worker in workers.values()))
    # Still listed: a cluster that doesn't answer is what somebody looks for here.
    except (HimaliaError, TimeoutError):
        return "?", "?"
    finally:
        await control.close()


def stop_clusters(names: Sequence[str]) -> int:
    """Stop these clusters, and return the exit code: 1 if one of them could not be found or stopped."""
    failed = False
    for name in names:
        try:
            how = asyncio.run(stop_cluster(clusters.read(name)))
            print(f"Stopped {name}{how}.")
        except HimaliaError as error:
            print(f"himalia stop: {error}", file=sys.stderr)
            failed = True  # the others are stopped all the same
    return 1 if failed else 0


async def stop_cluster(entry: ClusterEntry) -> str:
    """Ask the scheduler to end with everything that belongs to it, and wait until it has.

    One that doesn't is sent SIGTERM, and then SIGKILL, which is returned as the rest of a sentence.

    Raises
    ------
    UnreachableError
        If it can't be asked and is on another host, or not even SIGKILL ends it.
    """
    ways = deque([signal.SIGTERM, signal.SIGKILL])
    how = ""
    deadline = time.monotonic() + STOP_TIMEOUT
    try:
        control = Control(entry.credentials)
        try:
            await control.open(entry.reachable)
            await control.shut_down("stopped by `himalia stop`", STOP_TIMEOUT)
        finally:
            await control.close()
    # Nobody answers there: a process of this host can be sent a signal, one of another host can't.
    except ConnectError:
        if not is_here(entry):
            raise
        deadline = time.monotonic()
    # The goodbye comes before the process ends, and the name is free only then.
    while is_here(entry) and clusters.is_alive(entry):
        if time.monotonic() >= deadline:
            if not ways:
                raise UnreachableError(
                    f"The scheduler of {entry.name} (pid {entry.pid}) doesn't end, not even by SIGKILL: it waits for a "
                    f"device or file system."
                )
            how = send(entry, ways.popleft())
            deadline = time.monotonic() + STOP_TIMEOUT
        await asyncio.sleep(0.02)
    # Its scheduler does so as well, unless SIGKILL ended it.
    clusters.remove(entry.name, entry.id)
    return how


def is_here(entry: ClusterEntry) -> bool:
    """Whether the scheduler's process can be seen from here."""
    from himalia.system import machine_identity

    return entry.machine == machine_identity() and entry.hostname == socket.gethostname()


def send(entry: ClusterEntry, number: signal.Signals) -> str:
    """Send a signal to a scheduler that doesn't answer, and return what has to be said about it.

    Its number is still its own, or it would not be alive.
    """
    # Compares when the process started, too: the number alone may be another program's by now.
    if not clusters.is_alive(entry):
        return ""
    os.kill(entry.pid, number)
    if number is signal.SIGTERM:
        # One that was suspended (ctrl-Z) would hear of it when somebody continues it, which nobody does.
        os.kill(entry.pid, signal.SIGCONT)
        return ""
    return (
        f", by SIGKILL: its scheduler (pid {entry.pid}) did not end within {STOP_TIMEOUT:g} s of SIGTERM. Its workers "
        f"end by themselves"
    )
