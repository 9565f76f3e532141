"""What a worker's calls print and log: told to the nanny line by line, each with the run that wrote it.

Decides which run a line belongs to: the one whose thread writes it.  What other threads print, and what C code writes
to the descriptors, goes down the pipe that the process was born with, and nobody knows whose it is.

A whole line is sent at once, so that it is not lost when its call takes the process down; the rate limit bounds what
that costs.  Part of a line waits for its end, or for the end of its call.  Lines beyond the limit are counted.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Final, TextIO

from himalia.bucket import TokenBucket
from himalia.messages.telemetry import LogLine
from himalia.messages.worker import Printed
from himalia.wellformed import well_formed
from himalia.worker.wiring import LINE

BURST: Final = 5.0
"""Seconds' worth of lines that pass at once."""


class OutputSender:
    """The output of one worker's calls; any thread.

    Parameters
    ----------
    current : callable
        Returns the run that the calling thread executes, 0 if none.
    send : callable
        Sends the nanny a message.
    rate : int
        Lines/s that pass.

    Attributes
    ----------
    pending : dict
        Per (run, stream) the beginning of a line; per (run, "") an empty text if lines were dropped since the last one.
    """

    def __init__(self, current: Callable[[], int], send: Callable[[Printed], None], rate: int) -> None:
        self.current = current
        self.pending: dict[tuple[int, str], str] = {}
        self._send = send
        self._bucket = TokenBucket(rate, BURST * rate)
        self._dropped: dict[int, int] = {}
        self._lock = threading.RLock()  # a finalizer that prints may run in here

    def install(self) -> None:
        """Take the place of ``sys.stdout`` and ``sys.stderr``, and of the handler of unconfigured logging."""
        stdout, stderr = sys.stdout, sys.stderr
        last_resort = logging.lastResort

        def uninstall() -> None:  # a child that user code forked must not speak for us
            sys.stdout, sys.stderr, logging.lastResort = stdout, stderr, last_resort

        sys.stdout = CallStream(self, "stdout", stdout)
        sys.stderr = CallStream(self, "stderr", stderr)
        logging.lastResort = _LastResort(self)
        os.register_at_fork(after_in_child=uninstall)

    def write(self, run: int, source: str, text: str) -> None:
        """Take text that a run wrote to a stream."""
        with self._lock:
            key = (run, source)
            # What a call prints comes in parts: print() writes the text and the newline one by one.
            text = self.pending.pop(key, "") + text
            *lines, rest = text.split("\n")
            for line in lines:
                self.emit(run, source, line)
            if rest:  # what it hides is forgotten; a carriage return at its end hides it only once more text comes
                self.pending[key] = _visible(rest) + ("\r" if rest.endswith("\r") else "")

    def emit(self, run: int, source: str, line: str) -> None:
        """Send one whole line, or count it."""
        with self._lock:
            if self._bucket.take(time.monotonic()):
                self._send(Printed(run, [LogLine(time.time(), source, _visible(line))], self._dropped.pop(run, 0)))
            else:
                self._dropped[run] = self._dropped.get(run, 0) + 1
                # Only so that finish() is called, which tells how many there were.
                self.pending[(run, "")] = ""

    def finish(self, run: int) -> None:
        """Send what is left of a run that is about to be answered."""
        with self._lock:
            for key in [key for key in self.pending if key[0] == run]:
                rest = self.pending.pop(key)
                if rest:
                    self.emit(run, key[1], rest)
            self.pending.pop((run, ""), None)
            dropped = self._dropped.pop(run, 0)
            if dropped:
                self._send(Printed(run, [], dropped))


class CallStream(io.TextIOBase):
    """A text stream that tells calls apart; what no call writes goes to the stream it stands for."""

    def __init__(self, output: OutputSender, source: str, original: TextIO) -> None:
        self._output = output
        self._source = source
        self._original = original

    @property
    def buffer(self) -> object:
        """Where bytes go: the stream it stands for, without a run."""
        return self._original.buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute there
        """That of the stream it stands for."""
        return self._original.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]  # a plain attribute there
        """That of the stream it stands for."""
        return self._original.errors

    @property
    def name(self) -> str:
        """That of the stream it stands for."""
        return self._original.name

    def write(self, text: str) -> int:
        """Write text, and return how many characters that were."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        # By the thread: a call's own threads print for nobody, and a callback of the loop for the call it interrupts.
        run = self._output.current()
        if run:
            self._output.write(run, self._source, text)
            return len(text)
        return self._original.write(text)

    def flush(self) -> None:
        """Flush the stream it stands for; whole lines of calls have left already."""
        self._original.flush()

    def fileno(self) -> int:
        """The descriptor of the stream it stands for."""
        return self._original.fileno()

    def isatty(self) -> bool:
        """Nobody looks."""
        return False

    def writable(self) -> bool:
        """See :class:`io.TextIOBase`."""
        return True

    def reconfigure(self, **options: object) -> None:
        """Accept what a text file accepts, for the stream it stands for."""
        self._original.reconfigure(**options)  # type: ignore[attr-defined]  # a TextIOWrapper


class _LastResort(logging.Handler):
    """Where records go that nobody configured a handler for: to the nanny, with their level."""

    def __init__(self, output: OutputSender) -> None:
        super().__init__(logging.WARNING)
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        """See :class:`logging.Handler`."""
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
            return
        run = self._output.current()
        if not run:
            sys.stderr.write(text + "\n")
            return
        for line in text.split("\n"):
            self._output.emit(run, record.levelname, line)


def _visible(line: str) -> str:
    """What of a line a terminal would show: what follows the last carriage return, cut at the limit."""
    # Cut before and after: mending may make a text longer, and a line of a gigabyte shall not be mended at all.
    return well_formed(line.rstrip("\r").rpartition("\r")[2][:LINE])[:LINE]
