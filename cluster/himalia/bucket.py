"""A token bucket: how many lines may pass, on each stage of their way.  It counts; the caller reads the clock."""

from __future__ import annotations


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
