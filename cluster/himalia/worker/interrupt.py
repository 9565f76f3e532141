"""Stopping a call that runs: a KeyboardInterrupt in its thread, and nowhere else.

The main thread gets a signal, whose handler raises only while the wanted run executes; so even ``time.sleep`` ends.
Other threads get an asynchronous exception, which Python raises before their next bytecode: a sleeping one does not
notice, and its nanny replaces the worker.
"""

from __future__ import annotations

import ctypes
import signal
import threading
from types import FrameType
from typing import Final

EARLY_LIMIT: Final = 1000
"""Interrupted runs that are remembered although they don't execute; most of them are over.  Guess."""


class Interrupts:
    """Which thread executes what, and how to stop it.

    Parameters
    ----------
    nthreads : int
        Threads that run calls; index 0 is the main thread.

    Attributes
    ----------
    executing : list of int
        Per thread the run that may be interrupted now, 0 if none.  The main thread sets and clears its own entry;
        others clear theirs by :meth:`leave`, so that no exception can arrive after it.
    """

    def __init__(self, nthreads: int) -> None:
        self.executing = [0] * nthreads
        self.early: set[int] = set()
        """Runs to be interrupted that had not begun to execute; to be looked at after setting ``executing``."""
        self._wanted = 0
        self._lock = threading.Lock()
        self._idents = [threading.get_ident()] + [0] * (nthreads - 1)
        self._raised = [False] * nthreads

    def install(self) -> None:
        """Take over SIGINT; main thread only."""
        signal.signal(signal.SIGINT, self._handle)

    def register(self, thread: int) -> None:
        """Note the calling thread's identity."""
        self._idents[thread] = threading.get_ident()

    def thread(self) -> int | None:
        """Return the index of the calling thread; ``None`` if it isn't one that runs calls."""
        ident = threading.get_ident()
        return self._idents.index(ident) if ident in self._idents else None

    def request(self, run: int) -> None:
        """Interrupt a run that executes or is about to; any thread.  One that is over already stays as it is."""
        with self._lock:
            if len(self.early) >= EARLY_LIMIT:
                self.early.clear()
            self.early.add(run)
            try:
                thread = self.executing.index(run)
            except ValueError:
                return
            self.early.discard(run)
            if thread == 0:
                self._wanted = run
                signal.pthread_kill(self._idents[0], signal.SIGINT)
            else:
                self._raised[thread] = True
                _raise_in(self._idents[thread], KeyboardInterrupt)

    def leave(self, thread: int) -> None:
        """End the interruptible part of a run in a thread that isn't the main one."""
        with self._lock:
            self.executing[thread] = 0
            if self._raised[thread]:
                self._raised[thread] = False
                _raise_in(self._idents[thread], None)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._wanted and self.executing[0] == self._wanted:
            self._wanted = 0
            raise KeyboardInterrupt("this call was cancelled")


def _raise_in(ident: int, kind: type[BaseException] | None) -> None:
    """Set (or with ``None`` take back) the exception that a thread raises next."""
    exception = ctypes.py_object(kind) if kind is not None else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), exception)
