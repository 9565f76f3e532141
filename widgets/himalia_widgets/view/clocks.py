"""How far another clock is from ours, judged by news that may be late: lag is not offset.

What somebody measured arrives later than it was measured, never earlier.  So the least delay ever seen is the best
guess of how far two clocks are apart; a larger one is lag, which goes away: we stood still, or the line did.  Only a
delay that stays the same while time goes on and news keep coming is a clock that was set, or slept.
"""

from __future__ import annotations

from typing import Final

SLACK: Final = 5.0
"""Seconds of delay that are ordinary; only beyond them a clock counts as another one.  Guess: a
kernel or a line that stands still for less is common, and a plot of a minute that is off by more misleads."""
CONFIRM: Final = 20.0
"""Seconds for which a larger delay has to stay the same to be a clock's.  Lag that lasts so long grows or shrinks.
Guess: four times :data:`GAP`, so that news kept coming meanwhile."""
STEADY: Final = 1.0
"""Seconds by which such a delay may vary meanwhile."""
GAP: Final = 5.0
"""Seconds without news after which what comes next may be a backlog, and says nothing: ten heartbeats of a
host (``settings.heartbeat_interval``)."""


class Offset:
    """What to add to another clock to have ours: seconds, at most some tenths too much.

    Attributes
    ----------
    seconds : float
        The best guess.
    count : int
        Times that were compared.
    """

    __slots__ = ("_heard", "_least", "_most", "_since", "count", "seconds", "settled")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.count = 0
        self.settled = 0.0
        """When the guess was made, by our clock."""
        self._since = 0.0
        """When delays began to be larger, by our clock; 0: they aren't."""
        self._heard = 0.0
        self._least = self._most = 0.0

    @property
    def is_doubted(self) -> bool:
        """Whether delays are larger lately: it may be lag, it may be that the clock was set."""
        return self._since > 0.0

    def see(self, theirs: float, ours: float) -> bool:
        """Compare a time of theirs with ours at its arrival; return whether the guess is another one now."""
        delay = ours - theirs
        # Before this one is heard: it ends the gap.
        is_gap = ours - self._heard > GAP
        self._heard = ours
        self.count += 1
        # News are late, never early: a smaller delay is a better guess, at once.
        if self.count == 1 or delay < self.seconds:
            self._since = 0.0
            return self._settle(delay, ours)
        if delay <= self.seconds + SLACK:
            self._since = 0.0
            return False
        # Behind a gap there may be a backlog, whose delays shrink: judged from here on.
        if not self._since or is_gap:
            self._since = ours
            self._least = self._most = delay
            return False
        self._least, self._most = min(self._least, delay), max(self._most, delay)
        # Lag grows or goes away; a clock that was set differs by the same all the time.
        if self._most - self._least > STEADY:
            self._since = 0.0
        elif ours - self._since >= CONFIRM:
            self._since = 0.0
            # The least of them: all were late by something.
            return self._settle(self._least, ours)
        return False

    def _settle(self, delay: float, ours: float) -> bool:
        # A better guess of the same clock is no other clock: ``settled`` is of jumps only.
        if self.count == 1 or abs(delay - self.seconds) > SLACK:
            self.settled = ours
        self.seconds = delay
        return True
