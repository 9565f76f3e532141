"""Keeps one process of a cluster alive: it is started again whenever it ends, until that is hopeless.

``patience`` decides when, and when no more; a thread waits, which costs next to nothing while the process lives, and
does it.  What is started, and what a cluster without it means, is its owner's affair.
"""

from __future__ import annotations

import threading
import time
from typing import Final, Protocol

from himalia.child import Child
from himalia.deploy.patience import Patience
from himalia.errors import HimaliaError
from himalia.system import is_stopped

START_LIMIT: Final = 60.0
"""Seconds for the process to be ready: a cold network file system has to bring Python's files."""
STOPPED_LIMIT: Final = 20.0
"""Seconds after which a process that was stopped is replaced: nothing else of the cluster goes on meanwhile, but it
holds results, which a person who continues it in time keeps.  Ray takes a node that is silent for 15 s for dead
(``health_check_failure_threshold`` times its period), gunicorn replaces a silent worker after 30 (``timeout``)."""
LOOK: Final = STOPPED_LIMIT / 10
"""Seconds between two looks whether the process was stopped (SIGSTOP): its replacement may come that much late."""


class ProcessOwner(Protocol):
    """Whose process it is; every method is called in the keeper's thread."""

    def start_again(self) -> Child:
        """Start the next one.

        Raises
        ------
        HimaliaError
            If it can't be started; counts as an end.
        """

    def is_over(self, child: Child) -> bool:
        """Whether a process that ended shall not be followed by another: the cluster ends, or has."""

    def give_up(self, reason: str) -> None:
        """Take in that there won't be another one."""


class Keeper:
    """Waits for the end of a process, and starts the next one.

    Parameters
    ----------
    child : Child
        Which is up.
    owner : ProcessOwner
    """

    def __init__(self, child: Child, owner: ProcessOwner) -> None:
        self.owner = owner
        self.closed = threading.Event()
        self.restarts = 0
        self._patience = Patience()
        self._thread = threading.Thread(
            target=self._keep, args=(child,), name=f"himalia-{child.title}-keeper", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Start nothing any more; the process is for its owner to end."""
        self.closed.set()

    def join(self, timeout: float) -> None:
        """Wait until the thread is gone."""
        # A thread can't wait for itself, should the owner close in a call of the keeper's.
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _keep(self, child: Child | None) -> None:
        # The first one is up already.
        began, was_ready, why = time.monotonic(), True, ""
        while True:
            if child is not None:
                stopped = self._wait(child)
                why = stopped or f"it ended with {child.exit_text()}.{child.last_lines()}"
            # After the wait, not before: a cluster that closes ends its nanny, which isn't a death.
            if self.closed.is_set() or (child is not None and self.owner.is_over(child)):
                return
            delay = self._patience.judge(
                lived=time.monotonic() - began,
                was_ready=was_ready,
                was_killed=child is not None and child.was_ended(),
            )
            if delay is None:
                self.owner.give_up(why)
                return
            # A wait that close() ends, where a sleep would start one more process afterwards.
            if self.closed.wait(delay):
                return
            began, was_ready, child = time.monotonic(), False, None
            try:
                # If it fails there is no child, and that is judged as an end, too: one rule for both.
                child = self.owner.start_again()
                self.restarts += 1
                child.wait_ready(time.monotonic() + START_LIMIT)
                was_ready = True
            except HimaliaError as error:
                why = str(error)
                if child is not None:
                    # One that hangs while it starts: else it would come up beside the next.
                    child.kill()

    def _wait(self, child: Child) -> str:
        """Wait until a process has ended; return why, if it was ended here."""
        stopped = 0.0
        while not child.wait(LOOK):
            # Counted in a row: a person who continues it in between begins anew.
            stopped = stopped + LOOK if is_stopped(child.pid) else 0.0
            if stopped > STOPPED_LIMIT:
                # SIGKILL: a stopped process doesn't act on anything less before it is continued.
                child.kill()
                child.wait(LOOK)
                return f"it stood still for {stopped:.0f} s because something had stopped it (SIGSTOP)."
        return ""
