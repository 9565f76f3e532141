"""How fast something is counted up, from the last while.  Knows numbers and times only."""

from __future__ import annotations

from collections import deque
from typing import Final

SPAN: Final = 20.0
"""Seconds that a rate is averaged over."""
STEP: Final = 0.5
"""Seconds between two points that are kept."""
DOUBT: Final = 2.0
"""Seconds without a count after which a shorter time left is wrong: eight pushes (``follow/feed.py``)
without any aren't chance."""


class Pace:
    """A counter's rate over the last :data:`SPAN` seconds, or longer if it moves less often than that."""

    __slots__ = ("_moved", "_points", "count")

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()
        self._moved = 0.0
        """When the counter was last seen at another place."""
        self.count = 0

    def add(self, time: float, count: int) -> None:
        """Note that the counter stood at ``count`` then."""
        # Another counter: this one never falls.
        if count < self.count:
            self._points.clear()
        if count != self.count:
            self._moved = time
        self.count = count
        points = self._points
        # Few points are enough for a rate; the newest count is kept beside them.
        if not points or time - points[-1][0] >= STEP:
            points.append((time, count))
        # One from before the span stays: the rate is measured from there.
        while len(points) > 2 and points[1][0] <= time - SPAN:
            points.popleft()

    def begin_again(self, since: float, now: float) -> None:
        """Note that counting goes on ``now``, and if it had stood still for a while, measure it from ``since`` on."""
        if now - self._moved > DOUBT:
            self._points.clear()
            self._points.append((since, self.count))

    def rate(self, now: float) -> float:
        """Return how much was counted a second lately; 0 before anything was seen to move."""
        if not self._points:
            return 0.0
        time, count = self._points[0]
        for later in self._points:
            if later[0] > now - SPAN:
                break
            time, count = later
        # Until now, not until the newest point: while nothing is counted, the rate falls.
        return (self.count - count) / (now - time) if now > time else 0.0

    def rate_for(self, left: float, now: float) -> float:
        """Return the rate at which ``left`` more will be counted; 0 if that time has passed without any of it."""
        rate = self.rate(now)
        # Two calls of 30 s behind a hundred of 10 ms once had "0.1 s left" for half a minute.
        return rate if now - self._moved <= max(DOUBT, left / rate if rate else 0.0) else 0.0
