"""What an engine's processes take: processor time, and memory at its peak."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Final, NamedTuple, Self

import psutil

INTERVAL: Final = 0.1
"""Seconds between two looks at the memory.  One takes 1 to 5 ms for each process: the kernel walks its page table."""


class CpuTime(NamedTuple):
    """Seconds of processor time."""

    user: float
    system: float

    def since(self, before: CpuTime) -> CpuTime:
        """What was used since then."""
        return CpuTime(self.user - before.user, self.system - before.system)

    @property
    def system_share(self) -> float:
        """Part of it that the kernel took."""
        return self.system / max(self.user + self.system, 1e-9)


def processes(*, own: bool) -> Iterator[psutil.Process]:
    """What this process started, by whatever way; itself first if ``own``."""
    me = psutil.Process()
    if own:
        yield me
    yield from me.children(recursive=True)


def cpu_time(*, own: bool) -> CpuTime:
    """Processor time so far of the processes that live now."""
    user = system = 0.0
    for process in processes(own=own):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        user, system = user + times.user, system + times.system
    return CpuTime(user, system)


def memory() -> int:
    """Bytes of all processes, with what they share counted once.

    The proportional set size (PSS) without shared memory, and the pages that anonymous shared files (``memfd``) really
    have: a page of such a file that nobody maps right now is in nobody's PSS.
    """
    total = 0
    files: dict[int, int] = {}
    for process in processes(own=True):
        try:
            total += _private(process.pid)
            files.update(_shared_files(process.pid))
        except (OSError, psutil.NoSuchProcess):  # it ended meanwhile
            continue
    return total + sum(files.values())


def _private(pid: int) -> int:
    with open(f"/proc/{pid}/smaps_rollup") as file:
        parts = dict(re.findall(r"^(Pss\w*): +(\d+) kB", file.read(), re.MULTILINE))
    return (int(parts["Pss_Anon"]) + int(parts["Pss_File"])) * 1024


def _shared_files(pid: int) -> dict[int, int]:
    """Bytes of the anonymous files that a process holds open, by inode."""
    found = {}
    for entry in os.scandir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(entry.path).startswith("/memfd:"):
                status = os.stat(entry.path)
                found[status.st_ino] = status.st_blocks * 512
        except OSError:
            continue
    return found


class Peak:
    """Looks at the memory while the ``with`` lasts; ``nbytes`` is the most that was seen."""

    def __init__(self) -> None:
        self.nbytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._over.wait(INTERVAL):
            self.nbytes = max(self.nbytes, memory())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
