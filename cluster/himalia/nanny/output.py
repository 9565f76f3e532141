"""Lines that calls wrote, on their way from the workers of a host to the scheduler.

Decides which ones go on: so many a second for the whole host, and none while the scheduler reads nothing (it may stand
still for an hour, and calls print on); the others are counted.  Lines wait for the next tick or
for the answer of their call, whichever comes first, so that the scheduler never hears of a result before what was
written on the way to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from himalia.bucket import TokenBucket
from himalia.messages.nanny import WorkerOutput
from himalia.messages.telemetry import LogLine
from himalia.messages.worker import Printed
from himalia.names import Key, PeerId, WorkerName
from himalia.nanny.events import KeepLines

if TYPE_CHECKING:
    from himalia.nanny.state import NannyState

HOST_RATE: Final = 1000
"""Lines/s of a host that reach the scheduler: five workers at their own limit, and far more than anybody reads."""
BURST: Final = 2.0
"""Seconds' worth of lines that pass at once."""
ANSWER: Final = 4 * 1024 * 1024
"""Characters of the lines in one answer to whoever asks for logs: ten hosts' fit into a message."""
LINE_COST: Final = 60
"""Bytes of a line beside its text."""


@dataclass(slots=True)
class Waiting:
    """What one call wrote and the scheduler wasn't told yet."""

    worker: WorkerName
    lines: list[LogLine] = field(default_factory=list)
    dropped: int = 0


class OutgoingLines:
    """What the calls of a host wrote and the scheduler wasn't told yet.

    Parameters
    ----------
    send : callable
        Sends the scheduler a message.

    Attributes
    ----------
    pending : dict
        By call, what is to be sent.
    missed : int
        Lines that were not even kept in mind, because the scheduler didn't read.
    """

    def __init__(self, send: Callable[[WorkerOutput], None]) -> None:
        self.pending: dict[Key, Waiting] = {}
        self.missed = 0
        self._send = send
        self._bucket = TokenBucket(HOST_RATE, BURST * HOST_RATE)

    def add(self, key: Key, worker: WorkerName, lines: list[LogLine], dropped: int, now: float) -> None:
        """Take lines that a call wrote; ``dropped`` more were lost before."""
        # Line by line: the first lines of a flood pass, which say what it is about.
        passing = [line for line in lines if self._bucket.take(now)]
        waiting = self.pending.get(key)
        if waiting is None:
            waiting = self.pending[key] = Waiting(worker)
        waiting.lines.extend(passing)
        waiting.dropped += dropped + len(lines) - len(passing) + self.missed
        self.missed = 0

    def finish(self, key: Key) -> None:
        """Send what a call wrote before its answer is passed on; mere counts wait for company."""
        waiting = self.pending.get(key)
        # A count without lines waits for the tick: a message for each call that printed too much would be the flood
        # again.
        if waiting is not None and waiting.lines:
            del self.pending[key]
            self._send(WorkerOutput(key, waiting.worker, waiting.lines, waiting.dropped))

    def flush(self) -> None:
        """Send everything; counts of calls that wrote nothing else go together, under the last of them."""
        pending, self.pending = self.pending, {}
        dropped = 0
        last = None
        for key, waiting in pending.items():
            if waiting.lines:
                self._send(WorkerOutput(key, waiting.worker, waiting.lines, waiting.dropped))
            else:
                dropped += waiting.dropped
                last = WorkerOutput(key, waiting.worker, [], dropped)
        if last is not None:
            self._send(last)


def printed(state: NannyState, message: Printed, source: PeerId) -> None:
    """Keep lines of a call, under its key, and pass them on; nobody knows whose lines of a forgotten run are."""
    task = state.runs.get(message.run)
    worker = WorkerName(source)
    key = task.key if task is not None else Key("")
    lines = [LogLine(line.time, line.source, line.text, key) for line in message.lines]
    # A run without a task ended long ago; its lines are kept here, for who asks for this worker's logs.
    if task is not None:
        # It stands still: what is kept for it would grow for as long as calls print. They are in this host's logs all
        # the same.
        if state.scheduler_reads:
            state.output.add(key, worker, lines, message.dropped, state.now)
        else:
            state.output.missed += len(lines) + message.dropped
    state.out.append(KeepLines(worker, key, lines, message.dropped))


def newest(logs: Mapping[str, list[LogLine]], limit: int = ANSWER) -> dict[str, list[LogLine]]:
    """Return the newest lines of each, so many characters together at most; everybody has the same share."""
    found = {}
    for name, lines in logs.items():
        # An equal share, and no more if others need less: one worker that prints for ever must not hide what the quiet
        # one said before it died.
        room = limit // len(logs)
        kept: list[LogLine] = []
        # From the newest back: the end of a log is what is asked for.
        for line in reversed(lines):
            room -= len(line.text) + LINE_COST
            if room < 0:
                break
            kept.append(line)
        found[name] = kept[::-1]
    return found
