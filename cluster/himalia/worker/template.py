"""The process that a host's workers are forked from: it has imported what they need, and does nothing else.

A worker that starts afresh takes 0.2 s of CPU to import himalia, and 0.8 s more when its first call needs pandas and
Dask; a fork of this process takes some milliseconds, and shares the pages.  A fork with threads would be a gamble
on their locks, so there is one thread here, and before each fork that is looked at again; where it isn't so, the nanny
starts the worker afresh, as it does on macOS.

The nanny has to be the parent of its workers, to hear how they ended.  It takes the orphans of its descendants
(``PR_SET_CHILD_SUBREAPER``), so a worker is the child of a child that ends at once.
"""

from __future__ import annotations

import gc
import importlib
import os
import random
import socket
import sys
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from himalia.decoders import json_decoder_of
from himalia.worker.__main__ import die_with, look_where, run_worker
from himalia.worker.wiring import FORK_LIMIT, MOST_FDS, Forked, TemplateConfig, WorkerConfig

HARMLESS: Final = frozenset({"jemalloc_bg_thd"})
"""Threads that a fork may leave behind, by name: Arrow's jemalloc, which has handlers for forks of its own."""
ADOPTION: Final = 5.0
"""Seconds within which a fork has to have become the nanny's child; it takes less than a millisecond."""


def main() -> None:
    """Fork workers until the nanny is gone; in a fork, be one."""
    # First, as in a worker.
    nanny = os.getppid()
    config = json_decoder_of(TemplateConfig).decode(sys.stdin.buffer.readline())
    die_with(nanny)
    look_where(config.sys_path)
    preload(config.preload)
    with socket.socket(fileno=config.control) as control:
        told = serve(control)
    if told is not None:
        adopted_by(nanny)
        run_worker(told, nanny)


def preload(names: Iterable[str]) -> None:
    """Import what calls will need; what can't be imported is theirs to complain about."""
    for name in names:
        try:
            importlib.import_module(name)
        except Exception:  # any library, in any state
            continue
    # So that the collector of no fork writes to these objects' pages, which all share.
    gc.collect()
    gc.freeze()


def serve(control: socket.socket) -> WorkerConfig | None:
    """Fork whenever the nanny asks for it; return in a fork, with what it was told, and at the end."""
    control.send(msgspec.json.encode(Forked(0)))
    decode = json_decoder_of(WorkerConfig).decode
    while True:
        data, fds, _, _ = socket.recv_fds(control, FORK_LIMIT, MOST_FDS)
        if not data:
            return None
        told = decode(data)
        pid, go, error = 0, -1, "it has other threads"
        if not has_threads():
            try:
                pid, go = fork_twice()
                error = ""
            except OSError as problem:
                error = str(problem)
        if pid < 0:
            return arrange(told, fds)
        for fd in fds:
            os.close(fd)
        # First the answer: a fork that nobody knows of must not read a channel that somebody else is given then.
        control.send(msgspec.json.encode(Forked(told.index, pid, error)))
        if go >= 0:
            os.write(go, b".")
            os.close(go)


def has_threads() -> bool:
    """Whether this process has threads that a fork would lose."""
    own = str(os.getpid())
    tasks = [task for task in Path("/proc/self/task").iterdir() if task.name != own]
    return any((task / "comm").read_text().strip() not in HARMLESS for task in tasks)


def fork_twice() -> tuple[int, int]:
    """Return the pid of a grandchild whose parent ended at once, and where to write a byte to so that it begins.

    In that grandchild return a negative number, once the byte was written; it ends if nobody can write it any more.
    """
    read, write = os.pipe()
    wait, go = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of harmless threads
        between = os.fork()
        if between == 0:
            pid = os.fork()
            if pid:
                os.write(write, str(pid).encode())
                os._exit(0)
    os.close(write)
    if between == 0:
        os.close(read)
        os.close(go)
        if not os.read(wait, 1):
            os._exit(0)
        os.close(wait)
        return -1, -1
    os.close(wait)
    with open(read, "rb") as stream:
        said = stream.read()
    os.waitpid(between, 0)
    if not said:
        os.close(go)
        raise OSError("the system starts no more processes")
    return int(said), go


def arrange(told: WorkerConfig, fds: list[int]) -> WorkerConfig:
    """Make a fork what a worker that was started afresh is: a session, an output, numbers of its own."""
    # A group of its own, so that a ctrl-C in the terminal isn't for it, and its children end with it.
    os.setsid()
    output, queue, channel, slots, *lane = fds
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(output, number)
        # Made anew: those of the template know where in its file they are, and a pipe has no such place.
        stream = open(number, "w", encoding=getattr(getattr(sys, name), "encoding", "utf-8"), closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    os.close(output)
    # Python's own generator does this by itself.
    random.seed()
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()
    return msgspec.structs.replace(told, queue=queue, channel=channel, slots=slots, lane=lane[0] if lane else -1)


def adopted_by(nanny: int) -> None:
    """Wait until the nanny is the parent of this fork; end if it never is."""
    deadline = time.monotonic() + ADOPTION
    while os.getppid() != nanny:
        if time.monotonic() > deadline:
            os._exit(1)
        time.sleep(0.0002)


if __name__ == "__main__":
    main()
