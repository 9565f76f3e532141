"""Counting down until enough records have settled.

Decides when that is.  A watcher is called under the shell's lock, so it only counts and wakes; whoever waits looks at
the records itself.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable

from himalia.client.engine.state import FINISHED, Record


class Countdown:
    """Wakes somebody, once, when the last of several records settles, or earlier.

    Parameters
    ----------
    wake : callable
        What to do then; it runs under the shell's lock.
    stop_at : int
        How many records may still be pending.
    stop_at_error : bool
        Whether a record that settles without a result is enough.
    """

    __slots__ = ("_left", "_stop_at", "_stop_at_error", "_wake", "_woken")

    def __init__(self, wake: Callable[[], object], *, stop_at: int = 0, stop_at_error: bool = False) -> None:
        self._wake = wake
        self._left = 0
        self._stop_at = stop_at
        self._stop_at_error = stop_at_error
        self._woken = False

    def begin(self, count: int, has_failed: bool = False) -> None:
        """Take note that so many records are pending; called once, under the lock in which they were looked at.

        ``has_failed`` says that one of the others has no result.
        """
        self._left = count
        # Nothing is left that would call.
        if count <= self._stop_at or (self._stop_at_error and has_failed):
            self._woken = True
            self._wake()

    def __call__(self, record: Record) -> None:
        """Take note of one record; see :data:`himalia.client.engine.state.Watcher`."""
        self._left -= 1
        if self._left <= self._stop_at or (self._stop_at_error and record.status is not FINISHED):
            # To release a Sleeper's lock twice is an error.
            if not self._woken:
                self._woken = True
                self._wake()


class Sleeper:
    """One thread that sleeps until it is woken.

    It is one plain lock, the cheapest that exists, and the main thread can be interrupted in it (ctrl-C).
    """

    __slots__ = ("_lock", "wake")

    def __init__(self) -> None:
        self._lock = allocate_lock()
        # Taken once, so that sleep(), which takes it again, waits for the release.
        self._lock.acquire()
        self.wake: Callable[[], None] = self._lock.release

    def sleep(self, timeout: float | None = None) -> bool:
        """Sleep until :attr:`wake` was called; return ``False`` if ``timeout`` seconds passed first."""
        return self._lock.acquire(True, -1.0 if timeout is None else max(0.0, timeout))
