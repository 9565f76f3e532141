"""What a host did since its last heartbeat: calls that run for long, bytes that came from other hosts or moved to disk.

Pure accumulation between heartbeats, of which one carries everything once.  It decides what is worth reporting and
keeps each list bounded; it measures nothing and reads no clock.
"""

from __future__ import annotations

from heapq import nsmallest
from typing import TYPE_CHECKING, Final

import msgspec

from himalia.messages.telemetry import HostMetrics, RunningCall, StoreMove, TransferSummary
from himalia.names import HostId, WorkerName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from himalia.nanny.tasks import NannyTask

RUNNING: Final = 256
"""Calls that one heartbeat names: more bars than a person tells apart, in some 20 kB."""
MOVES: Final = 64
"""Moves between memory and disk that one heartbeat lists one by one."""
MOVE_GAP: Final = 0.02
"""Seconds between two moves of a kind that count as one: spilling goes on in steps, a few
milliseconds apart, and a plot of 1,000 pixels shows 20 s with so much in one."""


class Moves:
    """Moves between memory and disk since somebody last asked; those that touch are one."""

    def __init__(self) -> None:
        self._moves: dict[str, list[StoreMove]] = {}

    def add(self, move: StoreMove) -> None:
        """Count a move that began after those before it."""
        moves = self._moves.setdefault(move.kind, [])
        if moves:
            last = moves[-1]
            # Half of the list for each of the two kinds. Beyond it the last one grows: the sums stay right, only the
            # picture is coarser.
            if len(moves) >= MOVES // 2 or move.start <= last.start + last.seconds + MOVE_GAP:
                seconds = max(last.seconds, move.start + move.seconds - last.start)
                moves[-1] = StoreMove(move.kind, last.start, seconds, last.nbytes + move.nbytes)
                return
        moves.append(move)

    def take(self) -> list[StoreMove]:
        """Return them, and begin anew."""
        if not self._moves:
            return []
        moves, self._moves = self._moves, {}
        return [move for kind in moves.values() for move in kind]


class Activity:
    """All of that for one host."""

    def __init__(self) -> None:
        self.moves = Moves()
        self._seen = 0.0
        # Rebuilt at every look, so that nothing of a call that ended has to be removed: hundreds end between two looks.
        self._running: dict[int, tuple[WorkerName, int, float]] = {}  # run -> worker, thread, when it was first seen
        self._transfers: dict[HostId, TransferSummary] = {}

    def look(self, slots: Mapping[WorkerName, list[int]], time: float) -> None:
        """Take in what runs on each worker's threads (0: nothing) at a time, epoch seconds."""
        self._seen = time
        before = self._running
        self._running = {
            run: before.get(run) or (worker, thread, time)
            for worker, runs in slots.items()
            for thread, run in enumerate(runs)
            if run
        }

    def worker_of(self, run: int) -> WorkerName | None:
        """Return which worker was seen to run it; None: none yet."""
        seen = self._running.get(run)
        return seen[0] if seen is not None else None

    def seconds(self, run: int) -> float:
        """Return how long a run was seen to run; 0 if it never was."""
        seen = self._running.get(run)
        return max(0.0, self._seen - seen[2]) if seen is not None else 0.0

    @property
    def running(self) -> Mapping[int, tuple[WorkerName, int, float]]:
        """What ran at the last look: run → worker, thread, and when it was first seen."""
        return self._running

    def add_transfer(self, source: HostId, nbytes: int, seconds: float, count: int) -> None:
        """Count what arrived from another host."""
        known = self._transfers.get(source)
        if known is not None:
            nbytes, seconds, count = nbytes + known.nbytes, seconds + known.seconds, count + known.count
        self._transfers[source] = TransferSummary(source, nbytes, seconds, count)

    def report(self, metrics: HostMetrics, runs: Mapping[int, NannyTask], interval: float) -> HostMetrics:
        """Return a measurement with all of this in it, and begin anew.

        Parameters
        ----------
        metrics : HostMetrics
            The newest measurement.
        runs : mapping
            The tasks that have a run; the slots may name others for a moment.
        interval : float
            Seconds that a call has to run to be named.
        """
        # Taken, not copied: each is told once.
        transfers, self._transfers = self._transfers, {}
        return msgspec.structs.replace(
            metrics,
            running=self._long_calls(runs, metrics.time - interval),
            transfers=list(transfers.values()),
            moves=self.moves.take(),
        )

    def _long_calls(self, runs: Mapping[int, NannyTask], latest: float) -> list[RunningCall]:
        """Return the calls that were first seen at ``latest`` or before; if they are many, those that run longest."""
        calls = [
            RunningCall(worker, thread, runs[run].key, runs[run].group.name, started)
            for run, (worker, thread, started) in self._running.items()
            if started <= latest and run in runs
        ]
        return calls if len(calls) <= RUNNING else nsmallest(RUNNING, calls, key=lambda call: call.started)
