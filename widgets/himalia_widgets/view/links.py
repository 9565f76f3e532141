"""Bytes that moved between hosts: sums since the beginning for each pair, and what moved lately."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple

from himalia.messages.telemetry import TransferSummary

RECENT: Final = 5000
"""Transfers kept one by one (each sums up what one host got from another in one heartbeat)."""


@dataclass(slots=True)
class HostLink:
    """What one host received from one other."""

    nbytes: int = 0
    seconds: float = 0.0
    count: int = 0


class Received(NamedTuple):
    """What one host received from one other since its last heartbeat."""

    time: float
    """When that arrived, epoch seconds."""
    nbytes: int


class Links:
    """Transfers by host id."""

    def __init__(self, seconds: float) -> None:
        self.totals: dict[tuple[str, str], HostLink] = {}
        """By ``(source, target)``."""
        self.recent: deque[Received] = deque(maxlen=RECENT)
        self._seconds = seconds

    def add(self, transfer: TransferSummary, target: str, *, now: float) -> None:
        """Count what ``target`` received."""
        link = self.totals.setdefault((transfer.source, target), HostLink())
        link.nbytes += transfer.nbytes
        link.seconds += transfer.seconds
        link.count += transfer.count
        self.recent.append(Received(now, transfer.nbytes))
        # Never empty: one was just added.
        while self.recent[0].time < now - self._seconds:
            self.recent.popleft()
