"""The event loop in a thread that all clients of a process share, and the ways into it.

Decides when the thread starts (with the first client) and ends (with the last).  It never knows what runs in it.  A
child made by ``fork`` inherits the memory but not the thread: it starts with none.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine
from typing import TypeVar

from himalia.errors import ClosedError, TimeoutError, UsageError

T = TypeVar("T")


class Portal:
    """An event loop in a daemon thread of its own.

    Attributes
    ----------
    loop : asyncio.AbstractEventLoop
        Its loop; everything but ``call_soon_threadsafe`` belongs to its thread.
    """

    def __init__(self) -> None:
        from himalia.run import loop_factory

        self.loop = loop_factory()()
        self._thread = threading.Thread(target=self._run, name="himalia-client", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            try:
                # Or coroutines that wait would never come to their finally blocks.
                self._cancel_all()
                self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            finally:
                asyncio.set_event_loop(None)
                self.loop.close()

    def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            # One that won't be cancelled doesn't keep the thread.
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=1))

    def is_here(self) -> bool:
        """Whether the calling thread is the loop's own."""
        return threading.current_thread() is self._thread

    def run(self, coroutine: Coroutine[object, object, T], timeout: float | None = None) -> T:
        """Run a coroutine in the loop and wait for it in this thread.

        An interrupt of this thread (ctrl-C) ends the wait at once and cancels the coroutine.

        Raises
        ------
        TimeoutError
            If ``timeout`` seconds pass; the coroutine is cancelled.
        """
        if self.is_here():
            coroutine.close()
            raise UsageError("This would wait for the thread it runs in. Use a client with asynchronous=True here.")
        try:
            waiting = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        except RuntimeError:
            coroutine.close()
            raise ClosedError("The client's event loop has ended.") from None
        try:
            return waiting.result(timeout)
        except concurrent.futures.TimeoutError:
            if waiting.done():  # the coroutine itself ran out of time, and says of what
                raise
            waiting.cancel()
            raise TimeoutError(f"There was no answer within {timeout:g} s.") from None
        # By the end of the loop (_cancel_all): nobody else has it to cancel.
        except concurrent.futures.CancelledError:
            raise ClosedError("The client was closed in the meantime.") from None
        except BaseException:
            waiting.cancel()
            raise

    def stop(self) -> None:
        """End the loop and wait for its thread, if that isn't this one."""
        try:
            self.loop.call_soon_threadsafe(self.loop.stop)
        except RuntimeError:
            return
        # A client that was garbage collected lets go of it in a task of its own (Engine.forget).
        if not self.is_here():
            self._thread.join(5)


_lock = threading.Lock()
_portal: Portal | None = None
_users = 0


def acquire() -> Portal:
    """Return the process's portal, started if need be; each user calls :func:`release` once."""
    global _portal, _users
    with _lock:
        if _portal is None:
            _portal = Portal()
        _users += 1
        return _portal


def release() -> None:
    """Let go of the portal; its last user ends it."""
    global _portal, _users
    with _lock:
        _users -= 1
        if _users > 0 or _portal is None:
            return
        portal, _portal, _users = _portal, None, 0
    # Without the lock: this waits for a thread, and another client may be beginning.
    portal.stop()


def _forget_after_fork() -> None:
    global _portal, _users, _lock
    # Another thread of the parent may have held the old one at the fork.
    _lock = threading.Lock()
    _portal, _users = None, 0
    for callback in _after_fork:
        callback()


_after_fork: list[Callable[[], None]] = []
"""What else has to be forgotten in a child."""


def at_fork(callback: Callable[[], None]) -> None:
    """Call ``callback`` in every child that this process forks."""
    _after_fork.append(callback)


os.register_at_fork(after_in_child=_forget_after_fork)
