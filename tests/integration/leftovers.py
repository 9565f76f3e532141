"""What a cluster could leave behind, and how to see it: processes, files, sockets, threads, descriptors."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK = "HIMALIA_TEST_RUN"
"""Environment variable whose value is inherited by every process that a test run starts, however it is detached."""
GRACE = 15.0
"""Seconds within which everything has to be gone after a close or a kill; enough for two busy cores."""


@dataclass(frozen=True)
class Leftovers:
    """What is there at one moment."""

    processes: Mapping[int, str]
    """Their commands, by pid; a process that took another program is still the same one."""
    files: frozenset[str]
    threads: frozenset[str]
    descriptors: frozenset[str]

    def beyond(self, earlier: Leftovers) -> list[str]:
        """Return what was not there at the earlier moment, one line each."""
        return [
            *(f"process {pid}: {self.processes[pid]}" for pid in sorted(set(self.processes) - set(earlier.processes))),
            *(f"file {path}" for path in sorted(self.files - earlier.files)),
            *(f"thread {name}" for name in sorted(self.threads - earlier.threads)),
            *(f"descriptor {what}" for what in sorted(self.descriptors - earlier.descriptors)),
        ]


def our_processes(run: str) -> dict[int, psutil.Process]:
    """Return the processes that this test run started, itself excluded."""
    found = {}
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == run:
                if process.status() != psutil.STATUS_ZOMBIE:
                    found[process.pid] = process
        except psutil.Error:  # gone meanwhile, or of another user
            continue
    return found


def command_of(process: psutil.Process) -> str:
    """Return what a person would recognise a process by."""
    try:
        return " ".join(process.cmdline())[:200]
    except psutil.Error:
        return "(gone)"


def open_descriptors() -> frozenset[str]:
    """Return sockets and anonymous memory that this process has open, on Linux."""
    folder = Path("/proc/self/fd")
    if not folder.exists():
        return frozenset()
    found = []
    for entry in folder.iterdir():
        try:
            target = os.readlink(entry)
        except OSError:
            continue
        if target.startswith(("socket:", "/memfd:")):
            found.append(f"{entry.name} {target}")
    return frozenset(found)


def files_of_clusters(place: Path) -> frozenset[str]:
    """Return what clusters have in the places that the tests give them, their own folders included."""
    found = {str(path) for path in below(place / "home") if not path.is_dir()}
    for root in (place / "run/himalia", *(place / "tmp").glob("himalia*")):
        found.update(map(str, below(root)))
    return frozenset(found)


def below(root: Path) -> Iterator[Path]:
    """Give what is below a folder.  Unlike ``Path.rglob()`` it bears that folders go meanwhile."""
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            yield Path(folder, name)


def look(run: str, place: Path) -> Leftovers:
    """Return what is there now."""
    return Leftovers(
        processes={pid: command_of(process) for pid, process in our_processes(run).items()},
        files=files_of_clusters(place),
        threads=frozenset(thread.name for thread in threading.enumerate() if "himalia" in thread.name.lower()),
        descriptors=open_descriptors(),
    )


def wait_until_gone(run: str, place: Path, earlier: Leftovers) -> list[str]:
    """Return what is still left after the grace time; empty as soon as nothing is."""
    deadline = time.monotonic() + GRACE
    while (left := look(run, place).beyond(earlier)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def end_processes(run: str, earlier: Leftovers) -> None:
    """Kill what this test run left, so that the next test doesn't suffer for it."""
    for pid, process in our_processes(run).items():
        if pid not in earlier.processes:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
