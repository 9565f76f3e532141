"""Launching one process of a cluster on this host, and seeing it to its end.

A child is told what to do in one line of JSON on its stdin (secrets included, so that they are in no ``ps`` and no
environment), answers one line on its stdout when it is ready, and takes the end of its stdin as the wish to end: that
leash breaks by itself when this process dies in any way.  Its stderr is kept, the last lines only.  This module
decides how long an end may take and what a failed start is called; it never knows what the child is for.
"""

from __future__ import annotations

import collections
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import IO, Any, Final

import msgspec

from himalia.errors import StartError

LINES_KEPT: Final = 200
"""Lines of a child's stderr, as many as its workers' (settings.log_lines)."""
LINE_LIMIT: Final = 4096
"""Bytes of one line that are kept."""
READY_LIMIT: Final = 1024 * 1024
"""Bytes of an answer; a real one has a few hundred."""
SHOWN_LINES: Final = 15
"""Last lines that an error carries: a Python traceback's telling end fits."""

ROOT: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The folder from which this package is imported."""

LIVE: Final[weakref.WeakSet[Child]] = weakref.WeakSet()
"""Children whose leash this process holds; a fork of this process has to drop its copies."""


class Child:
    """One process: started by the constructor, awaited by :meth:`wait_ready`, ended by :func:`stop`.

    All methods may be called from any thread.

    Parameters
    ----------
    program : str or list of str
        What ``python -m`` runs, or a whole command.
    config : dict or Struct
        Its first and only line of input.
    title : str
        What messages call it: "scheduler", "nanny".
    forward : bool
        Whether its stderr is also shown on this process's, as it comes.
    fds : sequence of int, optional
        Descriptors that it inherits.
    paths : sequence of str, optional
        Where it may have to look for packages, besides this one's.
    """

    def __init__(
        self,
        program: str | list[str],
        config: Mapping[str, object] | msgspec.Struct,
        *,
        title: str,
        forward: bool = False,
        fds: Sequence[int] = (),
        paths: Sequence[str] = (),
    ) -> None:
        self.title = title
        self.forward = forward
        # A fork of this process has this object too, and must neither end nor signal what isn't its child.
        self.owner = os.getpid()
        self.lines: collections.deque[str] = collections.deque(maxlen=LINES_KEPT)
        self.answer: bytes | None = None
        self.answered = threading.Event()
        command = module_command(program, title) if isinstance(program, str) else program
        # The environment as it is now: what a notebook sets before it starts a cluster is meant for the workers.
        self.process = spawn(command, title, fds, with_paths(dict(os.environ), paths))
        LIVE.add(self)
        try:
            assert self.process.stdin is not None
            write_whole(self.process.stdin, line_of(config))
        except BrokenPipeError:  # it is dead already; wait_ready tells why
            pass
        self.pump = threading.Thread(target=self.read_output, name=f"himalia-{title}-output", daemon=True)
        # A thread and no loop: a child has to be read whether or not the program has a loop that runs.
        self.pump.start()

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self.process.pid

    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def wait_ready(self, deadline: float) -> dict[str, Any]:
        """Return what the child answered when it was ready.

        Parameters
        ----------
        deadline : float
            Of ``time.monotonic()``.

        Raises
        ------
        StartError
            If it said that it can't, ended, said something else, or nothing in time.
        """
        # By an event and not by reading here: the pump reads, so stderr can't fill up meanwhile.
        if not self.answered.wait(max(0.0, deadline - time.monotonic())):
            raise StartError(f"The {self.title} did not come up in time; it is being stopped.{self.last_lines()}")
        if self.answer is None:
            self.pump.join(1.0)  # its last words
            raise StartError(f"The {self.title} did not start: it ended with {self.exit_text()}.{self.last_lines()}")
        try:
            answer = msgspec.json.decode(self.answer, type=dict[str, object])
        except msgspec.MsgspecError:
            answered = self.answer[:200]
            raise StartError(f"The {self.title} answered {answered!r}, not as one.{self.last_lines()}") from None
        if "error" in answer:
            raise StartError(f"The {self.title} did not start: {answer['error']}")
        return answer

    def exit_text(self) -> str:
        """Return ``signal SIGSEGV`` or ``exit code 1``."""
        try:
            # A moment: the output closes just before the process is there to be reaped.
            return exit_text(self.process.wait(1.0))
        except subprocess.TimeoutExpired:
            return "its output closed, though it still runs"

    def last_lines(self) -> str:
        """Return the end of its stderr as the end of a message, or nothing."""
        # A copy: the pump appends.
        lines = list(self.lines)[-SHOWN_LINES:]
        return " Its last lines:" + "".join(f"\n    {line}" for line in lines) if lines else ""

    def end_leash(self) -> None:
        """Ask the child to end, by the end of its stdin."""
        if self.owner == os.getpid() and self.process.stdin is not None:
            try:
                self.process.stdin.close()
            except OSError:
                pass

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if the process still runs."""
        if self.owner == os.getpid():
            # It polls first, so a number that was reaped is never signalled.
            self.process.send_signal(number)

    def kill(self) -> None:
        """End it at once."""
        self.signal(signal.SIGKILL)

    def was_killed(self) -> bool:
        """Whether a signal ended it that a process doesn't send itself."""
        # SIGSEGV, SIGABRT and the like are its own doing.
        return -(self.process.poll() or 0) in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

    def was_ended(self) -> bool:
        """Whether somebody ended it, by such a signal or by asking it to go."""
        # A child of ours exits with 0 only if it was asked to.
        return self.process.poll() == 0 or self.was_killed()

    def wait(self, timeout: float) -> bool:
        """Whether the process ended, after at most ``timeout`` seconds."""
        deadline = time.monotonic() + max(0.0, timeout)
        self.pump.join(max(0.0, timeout))  # ends with the process's output, which is sooner seen than polled for
        try:
            # Popen.wait(0) would be a poll; a process whose output has ended needs a moment to be reaped.
            self.process.wait(max(0.001, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True

    def release(self) -> None:
        """Close this side's descriptors of a child that ended."""
        self.end_leash()
        # Bounded: a grandchild that inherited the pipe keeps it open for as long as it lives.
        self.pump.join(1.0)
        LIVE.discard(self)

    def read_output(self) -> None:
        """Read stdout (the answer, then chatter) and stderr to their ends; the body of the child's one thread here."""
        stdout, stderr = self.process.stdout, self.process.stderr
        assert stdout is not None
        assert stderr is not None
        parts: dict[IO[bytes], bytearray] = {stdout: bytearray(), stderr: bytearray()}
        # Both are read to the end whatever they say: a child that fills a pipe nobody reads stands still.
        with selectors.DefaultSelector() as selector:
            for stream in parts:
                selector.register(stream, selectors.EVENT_READ)
            # Until both have ended: closing either says nothing of the other.
            while selector.get_map():
                for ready, _ in selector.select():
                    stream = ready.fileobj  # type: ignore[assignment]  # we registered no numbers
                    data = os.read(stream.fileno(), 65536)
                    parts[stream] += data
                    if not data:
                        selector.unregister(stream)
                        self.take_lines(parts[stream], stream is stdout, ended=True)
                        stream.close()
                    else:
                        self.take_lines(parts[stream], stream is stdout, ended=False)
        # Whoever still waits for an answer learns that none will come.
        self.answered.set()

    def take_lines(self, buffer: bytearray, is_answer: bool, *, ended: bool) -> None:
        """Move whole lines out of ``buffer``: the first of stdout is the answer, all others are kept."""
        # The answer may be long; chatter isn't.
        limit = READY_LIMIT if is_answer and self.answer is None else LINE_LIMIT
        # A line without an end is cut at the limit: a child that prints one for ever must not fill our memory.
        while (end := buffer.find(b"\n")) >= 0 or len(buffer) > limit or (ended and buffer):
            line = bytes(buffer[: end if end >= 0 else limit])
            del buffer[: end + 1 if end >= 0 else limit]
            if is_answer and self.answer is None:
                self.answer = line
                self.answered.set()
            else:
                self.keep(line)

    def keep(self, line: bytes) -> None:
        """Keep one line, and show it if that was asked for."""
        text = line[:LINE_LIMIT].decode("utf-8", "replace").rstrip("\r")
        self.lines.append(text)
        if self.forward:
            try:
                print(text, file=sys.stderr, flush=True)
            except (OSError, ValueError):  # the notebook's own stream is gone
                self.forward = False


def module_command(module: str, title: str) -> list[str]:
    """Return what runs a module of the runtime."""
    if not sys.executable:
        raise StartError(f"The {title} can't be started: this Python doesn't know its own executable (sys.executable).")
    # -P: a random.py beside the notebook must not replace the standard library's in a process that runs no user code
    return [sys.executable, "-P", *(["-s"] if sys.flags.no_user_site else []), "-m", module]


def spawn(command: list[str], title: str, fds: Sequence[int], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, so that a terminal's ctrl-C is the user's program's alone."""
    try:
        return subprocess.Popen(
            command,
            # Python's own buffer would hide from select() what it has read ahead.
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=environment,
            pass_fds=fds,
        )
    except OSError as error:
        raise StartError(f"The {title} can't be started: {command[0]}: {error.strerror}.") from None


def line_of(config: Mapping[str, object] | msgspec.Struct) -> bytes:
    """Return a configuration as the line that :func:`himalia.run.read_config` reads.

    By the standard library's encoder: it escapes names of files that are no UTF-8, which msgspec's refuses.
    """
    return json.dumps(msgspec.to_builtins(config)).encode() + b"\n"


def write_whole(stream: IO[bytes], data: bytes) -> None:
    """Write all of ``data``; a signal may cut a raw write short."""
    view = memoryview(data)
    while view:
        view = view[stream.write(view) :]


def with_paths(environment: dict[str, str], places: Sequence[str] = ()) -> dict[str, str]:
    """Return an environment whose Python finds this package, and those at ``places``, where it would not otherwise."""
    # Empty entries mean the current directory, which -P is to keep out.
    paths = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    for place in (ROOT, *places):
        # Where it is installed the child finds it anyway, and PYTHONPATH would put all of site-packages first.
        if place not in paths and os.path.basename(place) not in ("site-packages", "dist-packages"):
            paths.append(place)
    # Appended: the user's own come first, as they do here.
    return environment | {"PYTHONPATH": os.pathsep.join(paths)} if paths else environment


def stop(children: list[Child], *, patience: float, term: float = 1.0, kill: float = 2.0) -> None:
    """End these processes: take their leashes, then SIGTERM, then SIGKILL; bounded, and quiet.

    Parameters
    ----------
    children : list of Child
        In the order in which they are asked to end: a scheduler first, so that it can tell the others why.
    patience : float
        Seconds after the leash before SIGTERM.
    term, kill : float
        Seconds after SIGTERM and after SIGKILL.
    """
    deadline = time.monotonic() + patience
    for child in children:
        child.end_leash()
        # One after the other, so that each hears of the end from the one before and not by its own leash.
        child.wait(min(1.0, deadline - time.monotonic()))
    wait_all(children, deadline - time.monotonic())
    # All at once from here on: whoever didn't listen to the leash waits for nobody.
    for number, seconds in ((signal.SIGTERM, term), (signal.SIGKILL, kill)):
        for child in children:
            if child.is_running():
                child.signal(number)
        wait_all(children, seconds)
    for child in children:
        child.release()


def wait_all(children: list[Child], seconds: float) -> bool:
    """Whether all ended, after at most so many seconds together."""
    deadline = time.monotonic() + seconds
    # A list: all() over a generator would stop at the first that is late.
    ended = [child.wait(deadline - time.monotonic()) for child in children]
    return all(ended)


def exit_text(code: int) -> str:
    """Return ``signal SIGKILL`` or ``exit code 1`` for a return code."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def drop_leashes() -> None:
    """In a fork of this process: close its copies of the leashes, or the children would outlive their owner."""
    for child in list(LIVE):
        if child.process.stdin is not None:
            try:
                child.process.stdin.close()
            except OSError:
                pass
    LIVE.clear()


# A fork of the notebook (multiprocessing) would keep the leashes' other ends open, and its clusters alive.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=drop_leashes)
