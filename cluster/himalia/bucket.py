"""How many lines may pass, on each stage of their way.  It counts; the caller reads the clock."""

from __future__ import annotations

import logging
from typing import Final

COMPLAINT_RATE: Final = 0.2
"""Log lines/s that peers can cause at one place for long: one every 5 s."""
COMPLAINT_BURST: Final = 20
"""And at once.  Guess: what one mishap causes, whole."""


class TokenBucket:
    """Lets ``rate`` things a second pass on average, and ``burst`` at once after a rest.

    Parameters
    ----------
    rate : float
        Things/s.
    burst : float
        Most that pass at once.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._filled_at: float | None = None

    def take(self, now: float) -> bool:
        """Return whether one more may pass at ``now``, seconds of a monotonic clock."""
        if self._filled_at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class Complaints:
    """Log lines that peers cause: of too many one is written now and then, and says how many were not.

    Parameters
    ----------
    logger : Logger
        Where they go.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._bucket = TokenBucket(COMPLAINT_RATE, COMPLAINT_BURST)
        self._withheld = 0

    def write(self, now: float, text: str, *args: object, error: BaseException | None = None) -> None:
        """Write an error with its traceback, or count it."""
        if not self._bucket.take(now):
            self._withheld += 1
            return
        more = f" ({self._withheld} more since the last such line)" if self._withheld else ""
        self._withheld = 0
        self._logger.error(text + "%s", *args, more, exc_info=error)
