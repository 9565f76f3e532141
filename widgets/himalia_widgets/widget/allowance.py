"""How many bytes may be sent to the pages: what is spent too early is waited for."""

from __future__ import annotations

from typing import Final

RATE: Final = 80_000.0
"""Bytes/s; 100 kB/s are promised, and headers of the front end's protocol come on top."""


class Allowance:
    """Bytes that may be spent, filled evenly; at most one second's worth is saved up."""

    def __init__(self, rate: float = RATE) -> None:
        self.rate = rate
        self._left = rate
        self._time = 0.0

    def left(self, now: float) -> float:
        """Return the bytes that may be spent now; negative while something is owed."""
        # The first look has no time before it that could be saved up for.
        self._left = min(self.rate, self._left + (now - self._time) * self.rate) if self._time else self._left
        self._time = now
        return self._left

    def spend(self, nbytes: int) -> None:
        """Count what was sent."""
        self._left -= nbytes
