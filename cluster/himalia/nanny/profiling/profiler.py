"""Looks at running calls from outside their processes, with py-spy; the calls notice nothing.

Decides how py-spy is run and when it is given up; whom to look at is ``plan.py``'s.  It runs with the lowest
priority, so that it takes only time that nobody else wants.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Iterable
from typing import Final

from himalia.names import WorkerName
from himalia.nanny.processes import WorkerPool
from himalia.nanny.profiling.plan import ProfilePlan
from himalia.nanny.profiling.samples import Sample, Samples
from himalia.nanny.profiling.stacks import read_dump, read_raw
from himalia.settings import Settings

RATE: Final = 50
"""Looks/s of a recording.  Twice as many cost twice as much and show the same picture."""
TIMEOUT: Final = 5.0
"""Seconds after which a py-spy that doesn't end is killed: a recording takes 1.1 s (measured), and who asked for it has
gone after ``settings.profile_lease``, twice as much."""
LOWEST: Final = 19
"""Priority (nice)."""
ADVICE: Final = (
    "On Linux ask for /proc/sys/kernel/yama/ptrace_scope 0 or 1, in a container for the capability SYS_PTRACE; "
    "macOS lets only root look at other processes"
)


class Profiler:
    """Samples what the workers of one host do.

    Parameters
    ----------
    pool : WorkerPool
        Whose processes are looked at.
    directory : str
        Where py-spy may write.
    settings : Settings
    """

    def __init__(self, pool: WorkerPool, directory: str, settings: Settings) -> None:
        self._pool = pool
        self._directory = directory
        self._plan = ProfilePlan(settings.profile_interval, settings.profile_lease)
        self._samples = Samples()
        self._program = find_program()
        self._looking: dict[WorkerName, asyncio.Task[None]] = {}
        self._problem = "" if self._program else missing_program()
        self._is_proven = False
        """Whether py-spy was allowed to look once; after that only one worker's state can forbid it."""

    def tick(self) -> None:
        """Begin to look at whom it is time to look at; called several times a second."""
        if self._problem:
            return
        now = time.monotonic()
        for name in self._plan.next_looks(self._pool.all_running(), self._looking.keys(), now):
            self._begin(name, fast=self._plan.is_fast(now))

    async def answer(self, since: float, workers: Iterable[str] | None) -> tuple[dict[str, list[Sample]], str]:
        """What was seen after ``since`` (epoch seconds), or why nothing can be; look closely from now on."""
        # A person asks: whoever was forbidden before may have been allowed since (ptrace_scope).
        if self._program and not self._is_proven:
            self._problem = ""
            await self._try()
        self._plan.ask(time.monotonic())
        return self._samples.since(since, None if workers is None else set(workers)), self._problem

    def close(self) -> None:
        """End what is running."""
        for task in self._looking.values():
            task.cancel()

    def _begin(self, name: WorkerName, *, fast: bool) -> asyncio.Task[None]:
        worker = self._pool.workers[name]
        task = asyncio.ensure_future(self._look(name, worker.pid, fast))
        # Here before it runs: the next tick must not begin a second look at it.
        self._looking[name] = task
        task.add_done_callback(lambda _: self._looking.pop(name, None))
        return task

    async def _try(self) -> None:
        """Find out whether we may look at all, at any worker."""
        # The first will do: permission is a matter of the host, not of the worker.
        for name in self._pool.workers:
            await asyncio.wait([self._looking.get(name) or self._begin(name, fast=False)])
            return

    async def _look(self, name: WorkerName, pid: int, fast: bool) -> None:
        """Look at one worker, once or for a second."""
        began = time.time()
        path = os.path.join(self._directory, f"profile-{pid}")
        if fast:
            rate = ("--rate", str(RATE), "--duration", "1", "--output", path)
            # With idle threads: a call that waits for a lock or a disk is what somebody wants to see.
            arguments = ["record", "--format", "raw", "--threads", "--idle", *rate]
        else:
            arguments = ["dump", "--json"]
        try:
            code, text, complaint = await self._run(
                # Nonblocking: py-spy would stop the process for each look. Now and then it sees a stack in motion
                # instead.
                [*arguments, "--full-filenames", "--nonblocking", "--pid", str(pid)]
            )
            if code == 0:
                self._is_proven = True
                found = read_raw(read_and_remove(path)) if fast else ((stack, 1) for stack in read_dump(text))
                self._samples.add(name, began, found)
            # Once it worked, a refusal is about one process (it is ending, or has changed its user), and the others are
            # still looked at.
            elif not self._is_proven and "permi" in complaint.lower():  # "Permission denied", "Operation not permitted"
                self._problem = f"py-spy may not look at other processes here. {ADVICE}."
        except (OSError, ValueError):  # the worker ended meanwhile, or what py-spy saw was in motion
            pass

    async def _run(self, arguments: list[str]) -> tuple[int, str, str]:
        """Run py-spy; return its exit code and what it wrote."""
        process = await asyncio.create_subprocess_exec(
            self._program,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            # After its start, since a preexec function isn't safe in a process with threads.
            os.setpriority(os.PRIO_PROCESS, process.pid, LOWEST)
            out, complaint = await asyncio.wait_for(process.communicate(), TIMEOUT)
        finally:
            if process.returncode is None:
                # Cancelled or too late: nobody reads what it writes, and it must not outlive us.
                process.kill()
        return process.returncode or 0, out.decode(errors="replace"), complaint.decode(errors="replace")


def find_program() -> str:
    """The path of py-spy: that of this environment, or any; nothing if there is none."""
    here = os.path.join(os.path.dirname(sys.executable), "py-spy")
    # Beside the interpreter first: an environment that isn't activated has its programs in no PATH.
    return here if os.access(here, os.X_OK) else shutil.which("py-spy") or ""


def missing_program() -> str:
    """Say that there is no py-spy, and what to do."""
    return f"py-spy isn't installed on {os.uname().nodename}, beside {sys.executable}: pip install 'himalia[jupyter]'."


def read_and_remove(path: str) -> str:
    """What a file says, which is needed no more."""
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read()
    os.unlink(path)
    return text
