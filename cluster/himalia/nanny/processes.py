"""The worker processes of a host, as the nanny's shell handles them: written to, read from, ended, reaped.

It decides nothing about calls; how a process is started is decided in ``starting.py``.  Everything here runs on the
nanny's loop, nothing blocks it: what a socket does not take at once waits in a backlog, what workers print is read as
it comes and kept as a bounded number of lines.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections import deque
from typing import Final, Protocol

import msgspec

from himalia.bucket import Complaints
from himalia.child import exit_text
from himalia.decoders import decoder_of
from himalia.messages.telemetry import LogLine
from himalia.messages.worker import DATAGRAM_LIMIT, Run, Stored, WorkerToNanny
from himalia.names import WorkerName
from himalia.nanny.config import NannyConfig
from himalia.nanny.datagrams import RunQueue, send, send_some
from himalia.nanny.out_of_memory import OutOfMemoryCount
from himalia.nanny.slots import Slots
from himalia.nanny.starting import Process, WorkerStarter
from himalia.nanny.template import reap_orphans
from himalia.worker.wiring import LINE, WORKERS, datagram_pair

logger = logging.getLogger("himalia.nanny")

DRAIN: Final = 500
"""Messages taken from one worker before the loop looks at the others."""
OUTPUT: Final = 65536
"""Bytes of a worker's output that are read at once; a worker that prints faster waits."""
REAP_INTERVAL: Final = 0.05
"""Seconds between two looks at a process, where the system can't tell that it ended (macOS)."""


class PoolOwner(Protocol):
    """Who is told what workers say and how they end."""

    def worker_said(self, name: WorkerName, messages: list[object]) -> None:
        """Take a worker's messages, in order."""

    def worker_gone(
        self, name: WorkerName, pid: int, exit: str, running: list[int], log: list[str], out_of_memory: bool | None
    ) -> None:
        """Take in that a process is gone; ``running`` are the runs in its slots; see ``events.WorkerExited``."""


class WorkerProcess:
    """One process and our ends of what it inherited."""

    def __init__(
        self,
        name: WorkerName,
        index: int,
        channel: socket.socket,
        lane: socket.socket | None,
        lines: int,
    ) -> None:
        self.name = name
        self.index = index
        self.process: Process | None = None
        """``None`` until it was started."""
        self.ended_by = 0
        """Signal that it gets as soon as it is there."""
        self.channel = channel
        self.lane = lane
        self.backlog: deque[bytes] = deque()
        self.partial = b""
        self.pidfd = -1
        self.lines: deque[str] = deque(maxlen=lines)
        """The last that this process wrote, for what is said of its death."""
        self.is_gone = False

    @property
    def pid(self) -> int:
        """Number of the process; 0 until it was started."""
        return 0 if self.process is None else self.process.pid

    @property
    def owner(self) -> str:
        """How the store knows it; a successor of the same name is another one."""
        return f"{self.name}/{self.pid}"


class WorkerPool:
    """All workers of a host.

    Parameters
    ----------
    config : NannyConfig
        Of the nanny.
    arena : str
        Path of the store's arena.
    owner : PoolOwner
        Who is told.
    """

    def __init__(self, config: NannyConfig, arena: str, owner: PoolOwner) -> None:
        self.config = config
        self.workers: dict[WorkerName, WorkerProcess] = {}
        self.logs: dict[WorkerName, deque[LogLine]] = {}
        """Last lines of every worker there ever was."""
        self.slots = Slots(config.nthreads)
        self._owner = owner
        self._out_of_memory = OutOfMemoryCount()
        self._loop = asyncio.get_running_loop()
        self._complaints = Complaints(logger)
        self.queue = RunQueue(self._loop)
        self._buffer = bytearray(2 * DATAGRAM_LIMIT)
        self._view = memoryview(self._buffer)
        self._decode = decoder_of(WorkerToNanny).decode
        self._starter = WorkerStarter(config, arena, self.queue.workers_end.fileno(), self.slots.fd)

    # Starting and ending processes

    def start(self, name: WorkerName, index: int) -> None:
        """Start a process; if that fails it counts as one that ended at once."""
        # The page of slots has so many parts. It counts as an exit, so that the machine owes nobody a special case.
        if index >= WORKERS:
            self._owner.worker_gone(name, 0, f"a host has {WORKERS} workers at most", [], [], None)
            return
        # What the predecessor ran last must not be taken for what this one runs, and be blamed on its death.
        self.slots.clear(index)
        try:
            channel, end = datagram_pair()
            lane, lane_end = datagram_pair() if self.config.nthreads > 1 else (None, None)
        except OSError as error:
            self._loop.call_soon(self._owner.worker_gone, name, 0, f"it can't be started: {error}", [], [], None)
            return
        for ours in (channel, lane):
            if ours is not None:
                ours.setblocking(False)
        lines = self.config.settings.log_lines
        worker = self.workers[name] = WorkerProcess(name, index, channel, lane, lines)
        self.logs.setdefault(name, deque(maxlen=lines))

        def started(process: Process | str) -> None:
            if isinstance(process, str):
                self._failed(worker, process)
            else:
                self._began(worker, process)

        self._starter.start(name, index, [end] if lane_end is None else [end, lane_end], started)

    def _failed(self, worker: WorkerProcess, reason: str) -> None:
        """Forget a worker whose process could not be started."""
        self._release(worker)
        del self.workers[worker.name]
        # Not from inside this call: the machine is performing the instruction that led here.
        self._loop.call_soon(self._owner.worker_gone, worker.name, 0, reason, [], [], None)

    def _began(self, worker: WorkerProcess, process: Process) -> None:
        """Listen to a process from now on."""
        worker.process = process
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._loop.add_reader(worker.channel, self._read, worker)
        self._loop.add_reader(process.stdout, self._read_output, worker)
        self._watch(worker)
        if worker.ended_by:
            self._signal(worker.name, worker.ended_by)

    def stop(self, name: WorkerName) -> None:
        """Ask a worker and its children to end."""
        self._signal(name, signal.SIGTERM)

    def kill(self, name: WorkerName) -> None:
        """End a worker and its children."""
        self._signal(name, signal.SIGKILL)

    def close(self) -> None:
        """Kill everything that is left, and close everything; tells nobody."""
        # First: what it forked that moment would be nobody's; it ends by the end of its channel.
        self._starter.close()
        for worker in list(self.workers.values()):
            self._signal(worker.name, signal.SIGKILL)
            self._release(worker)
            if worker.process is not None:
                worker.process.wait()
        self.queue.close()
        os.close(self.slots.fd)

    def _signal(self, name: WorkerName, number: int) -> None:
        worker = self.workers.get(name)
        if worker is None:
            return
        if worker.process is None:
            worker.ended_by = max(worker.ended_by, number)
        elif worker.process.returncode is None:
            try:
                # The group, and only while its leader isn't reaped: then the number may be somebody else's.
                os.killpg(worker.pid, number)
            except OSError:  # a zombie on its way out
                pass

    def _watch(self, worker: WorkerProcess) -> None:
        """See to it that we hear of a process's end."""
        if sys.platform == "linux":
            # No SIGCHLD handler: that would be the process's, and `himalia worker` may run in somebody else's.
            worker.pidfd = os.pidfd_open(worker.pid)
            self._loop.add_reader(worker.pidfd, self._reap, worker)
        else:
            self._loop.call_later(REAP_INTERVAL, self._look_at, worker)

    def _look_at(self, worker: WorkerProcess) -> None:
        if worker.is_gone:
            return
        # WNOWAIT leaves the zombie, whose number _reap() still needs.
        if os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            self._reap(worker)
        else:
            self._loop.call_later(REAP_INTERVAL, self._look_at, worker)

    def _reap(self, worker: WorkerProcess) -> None:
        """Take leave of a process that ended: its children, its last messages, its last lines, its slots."""
        if worker.is_gone:
            return
        try:
            os.killpg(worker.pid, signal.SIGKILL)  # while its zombie keeps the number from being reused
        except OSError:
            pass
        # All that it said counts, a result above all: a call whose answer had been sent is done, however its process
        # ended.
        while self._read(worker):
            pass
        self._read_output(worker)
        if worker.partial:
            self._keep_lines(worker, worker.partial)
        # Doesn't wait: it is a zombie already.
        assert worker.process is not None
        code = worker.process.wait()
        self._release(worker)
        del self.workers[worker.name]
        # Read when nobody can write them any more.
        running = self.slots.running(worker.index)
        self.slots.clear(worker.index)
        # Looked at for each death by SIGKILL, and only then, so that the count of one isn't taken for that of another.
        rose = self._out_of_memory.rose() if code == -signal.SIGKILL else False
        self._owner.worker_gone(worker.name, worker.pid, exit_text(code), running, list(worker.lines), rose)

    def _release(self, worker: WorkerProcess) -> None:
        worker.is_gone = True
        self._loop.remove_reader(worker.channel)
        self._loop.remove_writer(worker.channel)
        worker.channel.close()
        if worker.lane is not None:
            worker.lane.close()
        if worker.process is not None and worker.process.stdout is not None:
            self._loop.remove_reader(worker.process.stdout)
            worker.process.stdout.close()
        if worker.pidfd >= 0:
            self._loop.remove_reader(worker.pidfd)
            os.close(worker.pidfd)

    def reap_orphans(self) -> None:
        """Reap what dead workers left of their own."""
        reap_orphans({self._starter.template_pid, *(worker.pid for worker in self.workers.values())})

    def owner(self, name: WorkerName) -> str:
        """Return how the store knows the process that has this name now."""
        return self.workers[name].owner

    # Datagrams

    def dispatch(self, data: bytes) -> None:
        """Put a run into the queue that all workers share, at the end of this tick."""
        self.queue.put(data)

    def dispatch_to(self, name: WorkerName, data: bytes) -> None:
        """Give a run to an idle worker; dropped if that is gone, whose exit tells."""
        worker = self.workers.get(name)
        # Workers of one thread have no lane: their channel is as good. And where the lane is full the worker isn't
        # idle, whatever was believed; the channel has a backlog.
        if worker is None or worker.lane is None or not send(worker.lane, data):
            self.send(name, data)

    def send(self, name: WorkerName, data: bytes) -> None:
        """Send a datagram to one worker; dropped if that is gone."""
        worker = self.workers.get(name)
        if worker is None:
            return
        # Order is kept: a message that passed one that waits could be an interrupt before its run.
        if worker.backlog:
            worker.backlog.append(data)
        elif not send(worker.channel, data):
            worker.backlog.append(data)
            self._loop.add_writer(worker.channel, self._flush_worker, worker)

    def _flush_worker(self, worker: WorkerProcess) -> None:
        if send_some(worker.channel, worker.backlog):
            self._loop.remove_writer(worker.channel)

    def _read(self, worker: WorkerProcess) -> int:
        """Take the messages that are there, and pass them on at once; return how many."""
        receive, view, decode = worker.channel.recv_into, self._view, self._decode
        messages: list[object] = []
        try:
            # Bounded: a worker that floods must not keep the loop from hearing the others, or the scheduler.
            for _ in range(DRAIN):
                size = receive(view)
                if not size:  # it closed its end: it is dying
                    self._loop.remove_reader(worker.channel)
                    break
                messages.append(decode(view[:size]))
        except BlockingIOError:
            pass
        # The reader is removed, or the loop would call again at once, and for ever, until the process is reaped.
        except ConnectionError:
            self._loop.remove_reader(worker.channel)
        except msgspec.DecodeError as error:  # user code wrote to our descriptor, or over our memory
            text = "%s sent what is no message (%s); it is replaced"
            self._complaints.write(self._loop.time(), text, worker.name, error)
            self.kill(worker.name)
        if messages:
            self._owner.worker_said(worker.name, messages)
        return len(messages)

    def head(self) -> Run | Stored | None:
        """Return the oldest run that no worker took yet."""
        return self.queue.head()

    def all_running(self) -> dict[WorkerName, list[int]]:
        """Return the runs in the slots of all workers."""
        return {worker.name: self.slots.running(worker.index) for worker in self.workers.values()}

    # Output

    def _read_output(self, worker: WorkerProcess) -> None:
        assert worker.process is not None
        assert worker.process.stdout is not None
        try:
            data = os.read(worker.process.stdout.fileno(), OUTPUT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(worker.process.stdout)
            return
        data = worker.partial + data
        whole, _, worker.partial = data.rpartition(b"\n")
        # A progress bar without a newline; kept, it would grow for as long as it prints.
        if len(worker.partial) > LINE:
            whole, worker.partial = data, b""
        if whole:
            self._keep_lines(worker, whole)

    def _keep_lines(self, worker: WorkerProcess, data: bytes) -> None:
        # Cut before it is decoded: of a megabyte at once only the end will be kept.
        lines = data[-self.config.settings.log_lines * LINE :].decode(errors="backslashreplace").split("\n")
        lines = [line[:LINE] for line in lines[-self.config.settings.log_lines :]]
        now = time.time()
        self.keep(worker.name, [LogLine(now, "stdout", line) for line in lines])

    def keep(self, name: WorkerName, lines: list[LogLine]) -> None:
        """Remember lines of a worker."""
        self.logs[name].extend(lines)
        worker = self.workers.get(name)
        if worker is not None:
            worker.lines.extend([line.text for line in lines])
        if self.config.forward_output:
            for line in lines:
                print(line.text, file=sys.stderr)
