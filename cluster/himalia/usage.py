"""What this process uses, as rates: CPU, memory, open files, and what its machine's network carries."""

from __future__ import annotations

import os
import time

from himalia import system
from himalia.messages.telemetry import ProcessMetrics


class Usage:
    """Turns counters of the system into :class:`ProcessMetrics`; a look costs some 0.2 ms."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._cpu = time.process_time()
        self._network = system.network_bytes()

    def measure(self, lag: float) -> ProcessMetrics:
        """Return what was used since the last call; ``lag`` is how late the loop's timer was, seconds."""
        now, cpu, network = time.monotonic(), time.process_time(), system.network_bytes()
        # Two looks may fall on one reading of a coarse clock.
        elapsed = max(now - self._at, 1e-3)
        # An interface that goes away takes its counts along.
        received, sent = (max(0, new - old) / elapsed for new, old in zip(network, self._network, strict=True))
        used = (cpu - self._cpu) / elapsed
        self._at, self._cpu, self._network = now, cpu, network
        return ProcessMetrics(
            cpu=round(used, 3),
            memory=system.rss(os.getpid()),
            fds=system.open_files(),
            loop_lag=round(lag, 4),
            received=received,
            sent=sent,
        )
