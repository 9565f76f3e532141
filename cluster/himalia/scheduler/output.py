"""Lines that calls wrote, on their way from the nannies to the client that submitted the calls.

Decides which ones go on: so many a second for each client; the others are counted.  The last lines of all calls are
remembered here too, for whoever asks after the host that kept them is gone.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from himalia.bucket import TokenBucket
from himalia.messages.client import CallOutput
from himalia.messages.nanny import WorkerOutput
from himalia.messages.telemetry import LogLine
from himalia.names import ClientId, Key
from himalia.scheduler.state import SchedulerState

CLIENT_RATE: Final = 2000
"""Lines/s that one client is sent; two hosts at their limit.  Guess."""
BURST: Final = 2.0
"""Seconds' worth of lines that pass at once."""
KEPT_LINES: Final = 10_000
"""Lines that are remembered."""
KEPT_BYTES: Final = 4 * 1024 * 1024
"""Bytes of text that are remembered, about as many characters."""


class Output:
    """What is remembered of the calls' output, and what each client was sent."""

    def __init__(self) -> None:
        self._lines: deque[tuple[str, LogLine]] = deque()
        """Each with its worker's name; the call is in the line."""
        self._nbytes = 0
        self._buckets: dict[ClientId, TokenBucket] = {}
        self._dropped: dict[tuple[ClientId, str], int] = {}
        """Lines that a client was not sent and not told of yet, by span."""

    def take(self, core: SchedulerState, message: WorkerOutput) -> None:
        """Remember lines, and send them to the client of the call."""
        worker = str(message.worker)
        self._keep(worker, message.lines)
        task = core.tasks.get(message.key)
        client = core.clients.get(task.group.client) if task is not None else None
        if task is None or client is None:
            return
        bucket = self._buckets.get(client.id)
        if bucket is None:
            bucket = self._buckets[client.id] = TokenBucket(CLIENT_RATE, BURST * CLIENT_RATE)
        has_room = client.window.has_room
        lines = [line for line in message.lines if bucket.take(core.now)] if has_room else []
        dropped = message.dropped + len(message.lines) - len(lines)
        span = task.group.span
        if lines:
            dropped += self._dropped.pop((client.id, span), 0)
            core.send(client, CallOutput(message.key, span, worker, lines, dropped))
        elif dropped:
            self._dropped[client.id, span] = self._dropped.get((client.id, span), 0) + dropped

    def tick(self, core: SchedulerState) -> None:
        """Tell clients how many lines they were not sent, where no line follows that could say so."""
        dropped, self._dropped = self._dropped, {}
        for (client_id, span), count in dropped.items():
            client = core.clients.get(client_id)
            if client is not None and not client.window.has_room:
                self._dropped[client_id, span] = count
            elif client is not None:
                core.send(client, CallOutput(Key(""), span, "", [], count))

    def forget(self, client: ClientId) -> None:
        """Forget a client that left."""
        self._buckets.pop(client, None)

    def lines_of(self, key: str, since: float) -> dict[str, list[LogLine]]:
        """Return what is remembered of a call's lines, by worker."""
        found: dict[str, list[LogLine]] = {}
        if key:
            for worker, line in self._lines:
                if line.key == key and line.time > since:
                    found.setdefault(worker, []).append(line)
        return found

    def _keep(self, worker: str, lines: list[LogLine]) -> None:
        for line in lines:
            self._lines.append((worker, line))
            self._nbytes += len(line.text)
        while len(self._lines) > KEPT_LINES or self._nbytes > KEPT_BYTES:
            _, line = self._lines.popleft()
            self._nbytes -= len(line.text)
