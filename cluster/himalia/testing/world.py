"""Virtual time, seeded chance and the trace of everything that happened in one simulated cluster.

Decides in which order things happen: by time, and at one time by the order in which they were asked for, so that
nothing depends on a hash or an address.  It never knows what is simulated.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random


class SimulationError(AssertionError):
    """A promise of the runtime was broken in the simulated world."""


class World:
    """A clock that jumps from event to event.

    Parameters
    ----------
    seed : int
        The only source of chance.
    keep : int
        How many lines of the trace are kept for the report of a failure; all of them count for ``digest``.
    """

    def __init__(self, seed: int, *, keep: int = 400) -> None:
        self.seed = seed
        self.now = 0.0
        self.events = 0
        self.digest = 0
        self.last: deque[tuple[float, str, object]] = deque(maxlen=keep)
        self.listener: Callable[[float, str, object], None] | None = None
        self._heap: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._asked = 0

    def chance(self, name: str) -> Random:
        """A stream of chance of its own, so that a draw more in one place changes no draw in another."""
        # A text is hashed by SHA-512 here, so that it doesn't depend on the hash seed.
        return Random(f"{self.seed}/{name}")

    def call_at(self, time: float, function: Callable[..., None], *arguments: object) -> None:
        """Call ``function`` at ``time``; there is no way to take it back, functions look whether it is too late."""
        self._asked += 1
        # The number decides at one time, and keeps functions from being compared, which can't be.
        heappush(self._heap, (time, self._asked, function, arguments))

    def call_later(self, delay: float, function: Callable[..., None], *arguments: object) -> None:
        """Call ``function`` in ``delay`` seconds."""
        self.call_at(self.now + delay, function, *arguments)

    def absorb(self, data: bytes) -> None:
        """Let bytes count for the digest of the trace."""
        self.digest = zlib.crc32(data, self.digest)

    def record(self, actor: str, what: object) -> None:
        """Add a line to the trace."""
        # The repr of everything that gets here has to be without addresses.
        self.absorb(f"{self.now:.9f} {actor} {what!r}".encode())
        self.note(actor, what)

    def note(self, actor: str, what: object) -> None:
        """Add a line to the trace that follows from what was absorbed."""
        self.last.append((self.now, actor, what))
        if self.listener is not None:
            self.listener(self.now, actor, what)

    def run(self, *, until: float, done: Callable[[], bool] | None = None) -> bool:
        """Let time pass up to ``until``, or until ``done()``, asked after each event; return whether it was done."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            # Before each event: time stops where it came true.
            if done is not None and done():
                return True
            time, _, function, arguments = heappop(heap)
            self.now = time
            self.events += 1
            function(*arguments)
        if done is not None and done():
            return True
        # Also where nothing is left to do: whoever waits for a time has waited.
        self.now = max(self.now, until)
        return False
