"""Callbacks of futures: a queue of them, and one thread that calls them.

Decides that user code neither runs in the client's loop, which it would hold up, nor in the thread that happened to
notice a result.  The thread starts with the first callback.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

from himalia.bucket import Complaints

logger = logging.getLogger("himalia.client")


class CallbackThread:
    """Calls what it is given, one after the other; what they raise is logged, but not without end."""

    def __init__(self) -> None:
        # Its put() is reentrant and waits for nobody: watchers call it under the machine's lock.
        self._queue: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._complaints = Complaints(logger)

    def start(self) -> None:
        """Start the thread unless it runs; any thread."""
        # Not alive is also one that stop() has ended, and in a forked child that of the parent.
        if self._thread is None or not self._thread.is_alive():
            # A daemon: a callback that never returns must not keep the interpreter from ending.
            self._thread = threading.Thread(target=self._run, name="himalia-callbacks", daemon=True)
            self._thread.start()

    def put(self, callback: Callable[[], object]) -> None:
        """Have ``callback`` called soon; takes no lock."""
        self._queue.put(callback)

    def stop(self, timeout: float) -> None:
        """End once what is queued has been called; wait ``timeout`` seconds for that at most."""
        if self._thread is not None:
            self._queue.put(None)
            # A callback may close its own client.
            if threading.current_thread() is not self._thread:
                self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            callback = self._queue.get()
            if callback is None:
                return
            try:
                callback()
            except Exception as error:
                self._complaints.write(time.monotonic(), "a callback of a future failed", error=error)
            del callback  # or the last one's future would live until the next comes
