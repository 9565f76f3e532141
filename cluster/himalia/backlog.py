"""How much of what was sent to a peer it has not acknowledged yet, estimated from the messages themselves.

A session counts messages, and bytes only of those that it has encoded, which it does not before there is room in the
socket.  Whoever sends knows about how large its messages are; this keeps the two together.
"""

from __future__ import annotations

from collections import deque


class Backlog:
    """What is under way to one peer."""

    # One for each peer, and counted at each message.
    __slots__ = ("_marks", "received", "sent", "total", "until")

    def __init__(self) -> None:
        self.sent = 0
        """Messages ever sent."""
        self.total = 0
        """Their bytes."""
        self.received = 0
        """Bytes of those that were acknowledged, as of the last :meth:`arrived`."""
        self.until = 0.0
        """What was sent up to this moment was acknowledged, as of then; for whoever tells :meth:`arrived` the time."""
        self._marks: deque[tuple[int, int, float]] = deque()
        """``(sent, total, now)`` at earlier looks whose messages were not all acknowledged, oldest first."""

    @property
    def under_way(self) -> int:
        """Bytes that the peer hasn't acknowledged."""
        return self.total - self.received

    def count(self, nbytes: int) -> None:
        """Count a message that is sent."""
        self.sent += 1
        self.total += nbytes

    def arrived(self, pending: int, now: float = 0.0) -> None:
        """Take in that all but the last ``pending`` messages, of those sent until ``now``, were acknowledged."""
        # A session acknowledges in order, so a count says which ones.
        number = self.sent - pending
        marks = self._marks
        # Bytes are known for the moments of earlier looks only: what lies between two counts as unread until the later
        # one is reached.
        while marks and marks[0][0] <= number:
            _, self.received, self.until = marks.popleft()
        if pending <= 0:
            self.received, self.until = self.total, now
        # One mark for a number of messages: beside a peer that doesn't read, a silent sender would leave one a tick.
        elif not marks or marks[-1][0] != self.sent:
            marks.append((self.sent, self.total, now))
