"""The worker process: reads its configuration, becomes a place that looks like the user's, and serves its nanny.

Started by a nanny only, in a session of its own, so that no ctrl-C of a terminal reaches it.  It ends with its nanny:
by the end of the channel, and on Linux by a signal of the kernel even if user code holds Python for ever.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import types

from himalia.decoders import json_decoder_of
from himalia.worker.loop import Worker
from himalia.worker.wiring import WorkerConfig

PR_SET_PDEATHSIG = 1
PR_SET_PTRACER = 0x59616D61
OOM_SCORE = 500
"""Added to our badness, out of 1000: a kernel without memory shall take a worker, not what holds results."""


def main() -> None:
    """Run a worker; returns when its nanny retired it."""
    # First: should the nanny end while the configuration is read, this would be whoever adopted us.
    parent = os.getppid()
    config = json_decoder_of(WorkerConfig).decode(sys.stdin.buffer.readline())
    run_worker(config, parent)


def run_worker(config: WorkerConfig, parent: int) -> None:
    """Be a worker of the nanny that is this process's parent."""
    die_with(parent)
    show_to(parent)
    offer_to_oom_killer()
    look_like_home(config)
    Worker(config).run()
    sys.stdout.flush()
    sys.stderr.flush()


def die_with(parent: int) -> None:
    """Have the kernel kill us when our nanny ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before that
            os._exit(1)


def show_to(parent: int) -> None:
    """Let our nanny and its children look at our stacks where the kernel's Yama module would forbid that."""
    if sys.platform == "linux":
        # py-spy is a child of the nanny, and at ptrace_scope 1 only our ancestors may look at us.
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(parent), 0, 0, 0)


def offer_to_oom_killer() -> None:
    """Be the first choice of a kernel that has no memory left."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(OOM_SCORE))
    except OSError:
        pass


def look_where(sys_path: list[str] | None) -> None:
    """Look for modules where the creator does; may be called again."""
    if sys_path is not None:
        # Ours behind theirs: what this environment needs to run at all has to stay importable.
        own = [path for path in sys.path if path not in sys_path]
        sys.path[:] = [*sys_path, *own]


def look_like_home(config: WorkerConfig) -> None:
    """Set up what user code sees: directory, path, an empty ``__main__``, no input, output line by line."""
    # In the place of the pipe that the configuration came from: ``input()`` would wait at it for ever.
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    sys.stdin = open(0, encoding="utf-8", errors="replace")  # noqa: SIM115  # for the life of the process
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    # Its traceback is what the nanny has of a call that crashes: the process says nothing else any more.
    faulthandler.enable()
    if config.cwd:
        try:
            os.chdir(config.cwd)
        except OSError as error:
            print(f"himalia: the workers can't work in {config.cwd}: {error}", file=sys.stderr)
    look_where(config.sys_path)
    # As in an interpreter: a library that reads arguments would find those of this process.
    sys.argv = [""]
    # Or a pickle that names something of the client's __main__ would find what is in this file.
    sys.modules["__main__"] = types.ModuleType("__main__")


if __name__ == "__main__":
    main()
