"""The last lines that calls wrote, and what each client was sent of them lately."""

from __future__ import annotations

from collections import deque
from typing import Final

from himalia.bucket import TokenBucket
from himalia.messages.telemetry import LogLine
from himalia.names import ClientId

KEPT_LINES: Final = 10_000
"""Lines that are remembered."""
KEPT_BYTES: Final = 4 * 1024 * 1024
"""Bytes of text that are remembered, about as many characters."""


class CallLines:
    """What is remembered of the calls' output, and what each client may still be sent."""

    def __init__(self) -> None:
        self._lines: deque[tuple[str, LogLine]] = deque()
        """Each with its worker's name; the call is in the line."""
        self._nbytes = 0
        self.buckets: dict[ClientId, TokenBucket] = {}
        self.dropped: dict[tuple[ClientId, str], int] = {}
        """Lines that a client was not sent and not told of yet, by span."""

    def keep(self, worker: str, lines: list[LogLine]) -> None:
        """Remember lines of a worker, and forget the oldest of all."""
        for line in lines:
            self._lines.append((worker, line))
            self._nbytes += len(line.text)
        while len(self._lines) > KEPT_LINES or self._nbytes > KEPT_BYTES:
            _, line = self._lines.popleft()
            self._nbytes -= len(line.text)

    def of(self, key: str, since: float) -> dict[str, list[LogLine]]:
        """Return what is remembered of a call's lines, by worker."""
        found: dict[str, list[LogLine]] = {}
        if key:
            for worker, line in self._lines:
                if line.key == key and line.time > since:
                    found.setdefault(worker, []).append(line)
        return found
