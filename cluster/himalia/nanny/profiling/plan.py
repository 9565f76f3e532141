"""Which worker is looked at next, and how.

There are two ways, both from outside the process (measured on one 3 GHz core, calls not paused):

- ``dump``, one look for 10 ms of CPU.  Calls that run for longer than ``settings.profile_interval`` are looked at that
  often, always, so that a long computation can be asked later what it did.
- ``record``, 50 looks/s during a second for 40 ms of CPU, a twelfth of the price of each look.  That is for
  ``settings.profile_lease`` seconds after somebody asked; workers take turns.

So a host spends 8 % of one CPU at most while somebody looks, else 4 %, and nothing while no long call runs.
``profiler.py`` looks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from himalia.names import WorkerName

RECORDERS: Final = 2
"""Workers that are recorded at a time."""
DUMPS: Final = 4.0
"""Dumps/s at most."""
NEVER: Final = float("-inf")


class ProfilePlan:
    """Takes what workers run, several times a second; says who is to be looked at.

    Parameters
    ----------
    interval, lease : float
        ``settings.profile_interval`` and ``settings.profile_lease``, seconds.
    """

    def __init__(self, interval: float, lease: float) -> None:
        self._interval = interval
        self._lease = lease
        self._fast_until = NEVER
        self._began: dict[int, float] = {}
        """Run → when it was seen first."""
        self._seen: dict[WorkerName, float] = {}
        """When a worker was last seen with a call."""
        self._looked: dict[WorkerName, float] = {}
        self._next_dump = NEVER

    def ask(self, now: float) -> None:
        """Somebody wants to see: look closely for a while."""
        self._fast_until = now + self._lease

    def is_fast(self, now: float) -> bool:
        """Whether workers are recorded, not dumped."""
        return now < self._fast_until

    def next_looks(
        self, running: Mapping[WorkerName, Collection[int]], looking: Collection[WorkerName], now: float
    ) -> list[WorkerName]:
        """Return which workers to look at now.

        Parameters
        ----------
        running : mapping
            The runs in each worker's slots.
        looking : collection
            Workers that are being looked at.
        now : float
            Seconds of any monotonic clock.
        """
        runs = {run for found in running.values() for run in found}
        # Made anew each time, so that what is over or gone is forgotten.
        self._began = {run: self._began.get(run, now) for run in runs}
        self._seen = {worker: now if any(running[worker]) else self._seen.get(worker, NEVER) for worker in running}
        self._looked = {worker: when for worker, when in self._looked.items() if worker in running}
        free = [worker for worker in running if worker not in looking]
        # Whoever was looked at longest ago comes first, so that all have their turn.
        free.sort(key=lambda worker: self._looked.get(worker, NEVER))
        if self.is_fast(now):
            # Seen with a call lately, not right now: of short calls the slots are empty as often as not.
            busy = [worker for worker in free if now - self._seen[worker] < self._interval]
            chosen = busy[: max(0, RECORDERS - len(looking))]
        else:
            chosen = [worker for worker in free if self._is_long(running[worker], now) and self._is_due(worker, now)]
            # One at a time and so many a second: the price is the same on a host of two workers and of two hundred.
            chosen = chosen[:1] if now >= self._next_dump else []
            if chosen:
                self._next_dump = now + 1 / DUMPS
        for worker in chosen:
            self._looked[worker] = now
        return chosen

    def _is_long(self, runs: Iterable[int], now: float) -> bool:
        return any(now - self._began[run] >= self._interval for run in runs)

    def _is_due(self, worker: WorkerName, now: float) -> bool:
        return now - self._looked.get(worker, NEVER) >= self._interval
