"""When a process that ended is started again, and when that is given up.

Reads no clock and starts nothing: ``keeper`` does.  Ends that the process is to blame for are bounded; something
outside may end it as often as it likes, as long as it comes up in between.
"""

from __future__ import annotations

from typing import Final

FAILURES: Final = 5
"""Ends in a row that the process itself is to blame for, each soon after its start, after which it is given up:
systemd's number (DefaultStartLimitBurst)."""
KILLS: Final = 30
"""Starts in a row, none of which got ready because something killed the process, after which it is given up:
two minutes of the longest pauses, which a person who kills it by hand, or memory that is short, may take."""
CALM: Final = 30.0
"""Seconds after which a process that is up counts as healthy again.  systemd counts starts over 10 s, Kubernetes
forgets its back-off after 10 minutes; here a person waits."""
BACK_OFF: Final = 0.1
"""Seconds until the second start in a row; doubled each time."""
BACK_OFF_LIMIT: Final = 5.0
"""Seconds between two starts at most: somebody waits for it."""


class Patience:
    """The ends of one process so far, and what follows from them."""

    def __init__(self) -> None:
        self.failures = 0  # ends of its own in a row
        self.kills = 0  # starts in a row that were killed before they were ready
        self.short = 0  # starts since it last was calm, for the back-off alone

    def judge(self, *, lived: float, was_ready: bool, was_killed: bool) -> float | None:
        """Return the seconds until the next start after a process ended; ``None``: it is given up.

        Parameters
        ----------
        lived : float
            Seconds since it was started.
        was_ready : bool
            Whether it ever came up.
        was_killed : bool
            Whether something outside ended it, which says nothing about the next one.
        """
        if was_ready and lived > CALM:
            self.failures = self.kills = self.short = 0
        if was_killed:
            # It came up, so whatever kills it lets it work in between.
            self.kills = 0 if was_ready else self.kills + 1
        else:
            self.failures += 1
        if self.failures >= FAILURES or self.kills >= KILLS:
            return None
        # At once the first time.  The exponent ends at 10, long past the limit: a float has no 2**1024.
        self.short += 1
        return min(BACK_OFF * 2.0 ** min(self.short - 2, 10), BACK_OFF_LIMIT) if self.short > 1 else 0.0
