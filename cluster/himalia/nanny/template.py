"""The nanny's side of the template, the process that workers are forked from: it is asked for one fork after the other.

Decides how long the template may take to be ready and to fork; after that it is ended, and whoever waits is told that
there is no fork.  Whether there is a template or another one, and that a worker is started afresh instead:
``starting.py``.  What the process itself does, and when it refuses: ``worker/template.py``.

Also here, because forks need it: children of others are taken as this process's own, and reaped.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import IO, Final

import msgspec

from himalia.child import module_command, write_whole
from himalia.decoders import json_decoder_of
from himalia.worker.wiring import FORK_LIMIT, Forked, TemplateConfig, WorkerConfig, control_pair

logger = logging.getLogger("himalia.nanny")

PR_SET_CHILD_SUBREAPER: Final = 36
READY_WITHIN: Final = 60.0
"""Seconds that it may take to import everything; pandas takes twenty from a cold file system of many nodes."""
ANSWERS_WITHIN: Final = 5.0
"""Seconds that a fork may take; it takes some milliseconds, and a hundred with gigabytes to share."""
UNKNOWN_CODE: Final = 255
"""Exit code of a process that somebody else reaped; Python's subprocess says the same."""

Answer = Callable[[int], None]
"""Told the pid of a fork; 0 if there is none."""


class ForkedProcess:
    """A worker that the template forked, as far as ``subprocess.Popen`` is needed here."""

    def __init__(self, pid: int, output: int) -> None:
        self.pid = pid
        self.stdout: IO[bytes] | None = open(output, "rb", buffering=0)  # noqa: SIM115  # the pool closes it
        self.returncode: int | None = None

    def wait(self) -> int:
        """Return how the process ended."""
        if self.returncode is None:
            try:
                _, status = os.waitpid(self.pid, 0)
                self.returncode = os.waitstatus_to_exitcode(status)
            except ChildProcessError:
                self.returncode = UNKNOWN_CODE
        return self.returncode


class Template:
    """A process that workers are forked from.

    Parameters
    ----------
    config : TemplateConfig
        All but its end of the line.
    environment : mapping
        Of the process, and so of its forks.
    """

    def __init__(self, config: TemplateConfig, environment: Mapping[str, str]) -> None:
        self._loop = asyncio.get_running_loop()
        self._asked: deque[tuple[WorkerConfig, Sequence[int], Answer]] = deque()
        """In order; the first is under way once it is ready."""
        self._is_ready = False
        self.is_gone = False
        self._decode = json_decoder_of(Forked).decode
        self._line, end = control_pair()
        with end:
            config = msgspec.structs.replace(config, control=end.fileno())
            self._process = subprocess.Popen(
                module_command("himalia.worker.template", "worker"),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                bufsize=0,
                pass_fds=[end.fileno()],
                start_new_session=True,
                env=dict(environment),
            )
        assert self._process.stdin is not None
        try:
            write_whole(self._process.stdin, msgspec.json.encode(config) + b"\n")
            self._process.stdin.close()
        except OSError:  # it is dead already; the end of the line tells
            pass
        self._line.setblocking(False)
        self._loop.add_reader(self._line, self._read)
        # It may be stopped, or an import may never end; workers are started afresh then.
        self._deadline = self._loop.call_later(READY_WITHIN, self._end)

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def fork(self, told: WorkerConfig, fds: Sequence[int], answer: Answer) -> None:
        """Have a worker forked that inherits ``fds``, which have to stay open until the answer."""
        self._asked.append((told, fds, answer))
        # One at a time: a line that is full would have to be waited for.
        if self._is_ready and len(self._asked) == 1:
            self._send_next()

    def close(self) -> None:
        """End the process, and answer nobody any more."""
        self._asked.clear()
        self._end()

    def _send_next(self) -> None:
        self._deadline.cancel()
        if not self._asked:
            return
        self._deadline = self._loop.call_later(ANSWERS_WITHIN, self._end)
        told, fds, _ = self._asked[0]
        try:
            socket.send_fds(self._line, [msgspec.json.encode(told)], fds)
        except OSError:  # it is gone, or takes nothing: whoever waits is answered
            self._end()

    def _read(self) -> None:
        try:
            data = self._line.recv(FORK_LIMIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        forked = self._decode(data)
        if self._is_ready:
            if forked.error:
                logger.info("a worker is started afresh: what it would be forked from says that %s", forked.error)
            _, _, answer = self._asked.popleft()
            answer(forked.pid)
        self._is_ready = True
        self._send_next()

    def _end(self) -> None:
        if self.is_gone:
            return
        self.is_gone = True
        self._deadline.cancel()
        self._loop.remove_reader(self._line)
        self._line.close()
        self._process.kill()
        self._process.wait()
        while self._asked:
            _, _, answer = self._asked.popleft()
            answer(0)


def can_fork() -> bool:
    """Whether this process can have forks of another as its children; it takes orphans from now on."""
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def reap_orphans(known: Collection[int]) -> None:
    """Reap what dead workers left: whoever takes orphans has to.

    Parameters
    ----------
    known : collection of int
        Children that somebody else waits for.
    """
    own = os.getsid(0)
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in known:
            return
        try:
            # What this process itself started and waits for is in its session.
            if os.getsid(found.si_pid) == own:
                return
            os.waitpid(found.si_pid, os.WNOHANG)
        except OSError:
            return
