"""Stopping a call that runs: a KeyboardInterrupt in its thread, at a place that bears it, and nowhere else.

The main thread gets a signal, whose handler raises only while the wanted run executes; so even ``time.sleep`` ends.
Other threads get an asynchronous exception, which Python raises before their next bytecode: a sleeping one does not
notice, and its nanny replaces the worker.

Where a thread is decides whether it is interrupted (``landing_places``): not while it imports, not in a finalizer, and
so on.  Then it is tried again, many times a second, until the call is over or its nanny has lost patience and replaces
the worker.  The handler of the main thread looks at the very frame in which it raises.  Of another thread we look at
the frame while we hold the interpreter, and it may move on by a step or two before the exception reaches it.  So what
was raised is looked at once more where it arrives: if it passed through a place that bears none, or was swallowed by
one, the worker is of no use to others any more and retires.
"""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
from collections.abc import Callable
from time import monotonic, sleep
from types import FrameType
from typing import Any, Final

from himalia.worker.landing_places import landed_badly, may_land

EARLY_LIMIT: Final = 1000
"""Interrupted runs that are remembered although they don't execute; most of them are over.  So many take 65 kB
(measured), and nobody interrupts as many calls of one worker at once."""
PAUSE: Final = 0.01
"""Seconds between two looks at a call that was in no place to be interrupted: a hundred in the nanny's grace."""
REST: Final = 0.1
"""Seconds at the same instruction after which a thread counts as waiting: twenty turns of other threads, 5 ms each
(``sys.getswitchinterval``), which may keep it from moving on."""


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
    is_tainted : bool
        Whether an interrupt landed where it may have left something half done.
    """

    def __init__(self, nthreads: int) -> None:
        self.executing = [0] * nthreads
        self.early: set[int] = set()
        """Runs to be interrupted that had not begun to execute; to be looked at after setting ``executing``."""
        self.is_tainted = False
        self._wanted: dict[int, Stand] = {}
        """Runs to be interrupted that execute, and where they were seen."""
        self._pursuer: threading.Thread | None = None
        self._lock = threading.Lock()
        self._idents = [threading.get_ident()] + [0] * (nthreads - 1)
        self._raised = [False] * nthreads

    def install(self) -> None:
        """Take over SIGINT, and exceptions that nobody can catch; main thread only."""
        signal.signal(signal.SIGINT, self._handle)
        # Finalizers swallow what is raised in them: nothing else would tell that an interrupt ended there.
        sys.unraisablehook = self._unraisable(sys.unraisablehook)

    def register(self, thread: int) -> None:
        """Note the calling thread's identity."""
        self._idents[thread] = threading.get_ident()

    def thread(self) -> int | None:
        """The index of the calling thread; ``None`` if it isn't one that runs calls."""
        ident = threading.get_ident()
        return self._idents.index(ident) if ident in self._idents else None

    def request(self, run: int) -> None:
        """Interrupt a run that executes or is about to; any thread.  One that is over already stays as it is."""
        with self._lock:
            if len(self.early) >= EARLY_LIMIT:
                # Nearly all of them are over long since. One that isn't runs on, until its nanny replaces the worker.
                self.early.clear()
            # First this, then the look; ``Calls.perform`` does it the other way round, so one of the two sees the
            # other.
            self.early.add(run)
            if run not in self.executing:
                return
            self.early.discard(run)
            self._wanted.setdefault(run, Stand())
            self._pursue()
            if self._wanted and self._pursuer is None:
                self._pursuer = threading.Thread(target=self._pursue_on, name="himalia-interrupt", daemon=True)
                self._pursuer.start()

    def leave(self, thread: int) -> None:
        """End the interruptible part of a run in a thread that isn't the main one."""
        with self._lock:
            self.executing[thread] = 0
            if self._raised[thread]:  # set, and maybe not raised yet: the thread's next run would get it
                self._raised[thread] = False
                _raise_in(self._idents[thread], None)

    def arrived(self, error: BaseException) -> None:
        """Look at an exception that ended a call: an interrupt may have landed where it should not."""
        if isinstance(error, KeyboardInterrupt) and landed_badly(error.__traceback__):
            self.is_tainted = True

    def _pursue_on(self) -> None:
        """Try again and again; the thread that does ends when there is nothing to interrupt."""
        while True:
            sleep(PAUSE)
            with self._lock:
                self._pursue()
                if not self._wanted:
                    # Under the lock: a request that comes now starts another one.
                    self._pursuer = None
                    return

    def _pursue(self) -> None:
        """Interrupt what is in a place to be interrupted; under the lock."""
        for run, stand in list(self._wanted.items()):
            try:
                thread = self.executing.index(run)
            except ValueError:  # it is over
                self._wanted.pop(run, None)
                continue
            ident = self._idents[thread]
            frame = sys._current_frames().get(ident)
            if frame is None:
                continue
            # Before the question: how long it has been here is part of the answer.
            stand.see(frame)
            if not may_land(frame, is_resting=stand.is_resting(frame)):
                continue
            if thread == 0:  # a signal ends system calls, too; its handler looks once more where the thread is
                signal.pthread_kill(ident, signal.SIGINT)
            elif stand.is_at(sys._current_frames().get(ident)):  # it runs on while it is looked at
                self._raised[thread] = True
                self._wanted.pop(run, None)
                _raise_in(ident, KeyboardInterrupt)
            del frame  # it would keep the call's variables alive

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # A SIGINT of somebody else interrupts nothing, and one that comes late finds another run here, or none.
        run = self.executing[0]
        stand = self._wanted.get(run) if run else None
        if stand is None or frame is None or not may_land(frame, is_resting=stand.is_resting(frame)):
            return
        self._wanted.pop(run, None)
        raise KeyboardInterrupt("this call was cancelled")

    def _unraisable(self, hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """A hook that notes an interrupt which nobody received, because it landed in a finalizer."""

        def note(unraisable: Any) -> None:
            if isinstance(unraisable.exc_value, KeyboardInterrupt):
                self.is_tainted = True
            hook(unraisable)

        return note


class Stand:
    """Where a thread was seen, and since when."""

    __slots__ = ("_frame", "_position", "_since")

    def __init__(self) -> None:
        # Its id, not the frame itself, which would keep the call's variables alive.
        self._frame = 0
        self._position = -1
        self._since = 0.0

    def see(self, frame: FrameType) -> None:
        """Note where it is."""
        if not self.is_at(frame):
            self._frame, self._position, self._since = id(frame), frame.f_lasti, monotonic()

    def is_at(self, frame: FrameType | None) -> bool:
        """Whether it is still where it was seen last."""
        return frame is not None and id(frame) == self._frame and frame.f_lasti == self._position

    def is_resting(self, frame: FrameType) -> bool:
        """Whether it has been there for so long that it waits for something."""
        return self.is_at(frame) and monotonic() - self._since > REST


def _raise_in(ident: int, kind: type[BaseException] | None) -> None:
    """Set (or with ``None`` take back) the exception that a thread raises next."""
    exception = ctypes.py_object(kind) if kind is not None else None
    # NULL takes back what was set and not raised.
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), exception)
