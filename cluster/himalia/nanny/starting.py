"""How a worker process is started: forked from the template where there is one, else afresh.

Decides whether there is a template, how often it is replaced, and what a worker inherits and is told.  Which worker is
started, and when: ``workforce.py``; what is done with the process from then on: ``processes.py``.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from himalia.child import module_command, with_paths, write_whole
from himalia.names import WorkerName
from himalia.nanny.config import NannyConfig
from himalia.nanny.template import ForkedProcess, Template, can_fork
from himalia.worker.heap import heap_environment
from himalia.worker.wiring import TemplateConfig, WorkerConfig

logger = logging.getLogger("himalia.nanny")

ENVIRONMENT: Final = {
    "PYTHONHASHSEED": "6640",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""What workers find unless it was set otherwise.  They have to agree on the hashes of strings, by which Dask's bags are
shuffled (any constant would do); parallelism is ours, not that of each array operation (distributed's choice, too)."""

Process = subprocess.Popen[bytes] | ForkedProcess
Started = Callable[[Process | str], None]
"""Told the process, or why there is none."""


class WorkerStarter:
    """What starts the workers of a host.

    Parameters
    ----------
    config : NannyConfig
        Of the nanny.
    arena : str
        Path of the store's arena.
    queue, slots : int
        Descriptors that all workers inherit: of the queue that they read, and of the memory for their slots.
    """

    def __init__(self, config: NannyConfig, arena: str, queue: int, slots: int) -> None:
        self._config = config
        self._arena = arena
        self._queue = queue
        self._slots = slots
        self._template: Template | None = None
        self._may_fork = config.settings.fork_workers and can_fork()
        # At once: it is ready by the time the scheduler has let this nanny in.
        if config.nworkers:
            self._find_template()

    @property
    def template_pid(self) -> int:
        """Number of the process that workers are forked from; 0 if there never was one."""
        return 0 if self._template is None else self._template.pid

    def start(self, name: WorkerName, index: int, ends: Sequence[socket.socket], started: Started) -> None:
        """Start a process that inherits ``ends``, its channel and its lane, if it has one; they are closed here.

        Parameters
        ----------
        started : callable
            Called once: before this returns, or by the loop if there is a fork to be waited for; never after
            :meth:`close`.
        """
        told = self._told(name, index, ends)
        template = self._find_template()
        if template is None:
            started(self._start_afresh(told, ends))
            return
        try:
            read, write = os.pipe()
        except OSError as error:
            close_all(ends)
            started(f"it can't be started: {error}")
            return

        def answered(pid: int) -> None:
            os.close(write)
            if pid:
                close_all(ends)
                started(ForkedProcess(pid, read))
            else:
                os.close(read)
                started(self._start_afresh(told, ends))

        channel, *lane = [end.fileno() for end in ends]
        template.fork(told, [write, self._queue, channel, self._slots, *lane], answered)

    def close(self) -> None:
        """End the template; who waits for a fork is told nothing any more."""
        if self._template is not None:
            self._template.close()

    def _find_template(self) -> Template | None:
        """Return what workers are forked from; ``None`` where they are started afresh."""
        if self._may_fork and (self._template is None or self._template.is_gone):
            # A second one if the first was killed, and no third: something here doesn't let it live.
            self._may_fork = self._template is None
            told = TemplateConfig(sys_path=self._config.sys_path, preload=self._config.preload)
            try:
                self._template = Template(told, self._environment())
            except OSError as error:
                self._may_fork = False
                logger.warning("workers are started afresh, since what they are forked from can't be: %s", error)
        return None if self._template is None or self._template.is_gone else self._template

    def _start_afresh(self, told: WorkerConfig, ends: Sequence[socket.socket]) -> Process | str:
        """Start a process that imports everything itself."""
        try:
            process = subprocess.Popen(
                module_command("himalia.worker", "worker"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                # Nothing else is inherited: a worker that held the scheduler's connection, or another worker's channel,
                # would keep it open after we are gone.
                pass_fds=[self._queue, self._slots, *[end.fileno() for end in ends]],
                # A group of its own, so that a ctrl-C in the terminal isn't for it, and its children end with it.
                start_new_session=True,
                env=self._environment(),
            )
        except OSError as error:
            return f"{sys.executable} could not be started: {error}"
        finally:
            close_all(ends)
        assert process.stdin is not None
        try:
            # On standard input: everybody on the host can read a command line.
            write_whole(process.stdin, msgspec.json.encode(told) + b"\n")
            process.stdin.close()
        except OSError:  # it is dead already; its exit tells
            pass
        return process

    def _told(self, name: WorkerName, index: int, ends: Sequence[socket.socket]) -> WorkerConfig:
        """Return what a worker is told; a fork has other numbers for its descriptors, and finds out which."""
        config, settings = self._config, self._config.settings
        return WorkerConfig(
            name=name,
            index=index,
            nthreads=config.nthreads,
            queue=self._queue,
            channel=ends[0].fileno(),
            slots=self._slots,
            lane=ends[1].fileno() if len(ends) > 1 else -1,
            arena=self._arena,
            cwd=config.cwd,
            sys_path=config.sys_path,
            inline_limit=settings.inline_limit,
            copy_limit=settings.copy_limit,
            nursery=settings.nursery,
            function_cache=settings.function_cache,
            output_rate=settings.output_rate,
        )

    def _environment(self) -> dict[str, str]:
        """Return the environment of the workers."""
        given = {**os.environ, **self._config.env}
        return with_paths({**heap_environment(self._config.memory_limit, given), **ENVIRONMENT, **given})


def close_all(ends: Sequence[socket.socket]) -> None:
    """Close our copies of a worker's ends: while one is open, the end of the process wouldn't close the channel."""
    for end in ends:
        end.close()
