"""How many lines may pass, on each stage of their way, and into a log.  It counts; the caller reads the clock."""

from __future__ import annotations

import logging
from typing import Final

COMPLAINT_RATE: Final = 0.2
"""Log lines/s of one kind that can be caused at one place for long: one every 5 s."""
COMPLAINT_BURST: Final = 20
"""And at once: what one mishap causes, whole.  Linux lets 10 pass in 5 s (printk_ratelimit)."""


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
        # Full at first, whatever the clock begins with.
        self._filled_at: float | None = None

    def take(self, now: float) -> bool:
        """Whether one more may pass at ``now``, seconds of a monotonic clock."""
        if self._filled_at is not None:
            # Filled when it is asked for: no timer, and nothing to do for a source that is silent.
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class Complaints:
    """Log lines that peers, users' functions or a fault cause: of too many one is written now and then, with a count.

    A kind is a text before its arguments are filled in, so texts are constants of the program.  Each kind has a bucket:
    a flood of one hides no other.

    Parameters
    ----------
    logger : Logger
        Where they go.
    burst : int
        Lines of a kind that are written at once after a rest.
    """

    def __init__(self, logger: logging.Logger, *, burst: int = COMPLAINT_BURST) -> None:
        self._logger = logger
        self._burst = burst
        self._kinds: dict[str, TokenBucket] = {}
        self._withheld: dict[str, int] = {}

    def write(
        self, now: float, text: str, *args: object, level: int = logging.ERROR, error: BaseException | None = None
    ) -> None:
        """Write a line, with the traceback of an ``error``, or count it."""
        if text not in self._kinds:
            self._kinds[text] = TokenBucket(COMPLAINT_RATE, self._burst)
        if not self._kinds[text].take(now):
            self._withheld[text] = self._withheld.get(text, 0) + 1
            return
        withheld = self._withheld.pop(text, 0)
        more = f" ({withheld} more since the last such line)" if withheld else ""
        # The count is an argument of its own: ``text`` has to stay the format that its arguments were made for.
        self._logger.log(level, text + "%s", *args, more, exc_info=error)
