"""A cluster's telemetry for all who follow it in this process, from any thread.

The thread that has the one session with the scheduler lives as long as somebody follows or waits for an answer.  What
subscribers are told is decided in ``feed.py``.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Final, TypeVar

from himalia.bucket import Complaints
from himalia.errors import ClosedError, HimaliaError, TimeoutError
from himalia.follow.control import CONNECT_TIMEOUT, ignore
from himalia.follow.source import Action, Followable, Question, Source, Subscriber
from himalia.messages.answers import ClusterInfo
from himalia.messages.client import Telemetry
from himalia.run import loop_factory

logger = logging.getLogger("himalia.feed")

T = TypeVar("T")

JOIN: Final = 2.0
"""Seconds that the last subscriber to leave waits for the thread; it ends by itself anyway."""


class ThreadFeed:
    """A :class:`Source` for all who follow it in this process, in a thread that lives as long as they do.

    Get it by :meth:`of`.  Its methods may be called from any thread but its own, except :meth:`post`,
    :meth:`subscribe` and what that returns, which may be called from there too.
    """

    def __init__(self, make: Callable[[], Source]) -> None:
        self._make = make
        self._runner: FeedThread | None = None
        self._users = 0
        self._complaints = Complaints(logger)

    @classmethod
    def of(cls, target: Followable, *, full: bool = False) -> ThreadFeed:
        """Return the feed of a cluster; nothing is started before somebody subscribes or asks.

        Parameters
        ----------
        target : Followable
            A cluster object or a client; all at the same ``addresses`` have the same feed.
        full : bool
            See :meth:`Followable.source_factory`.
        """
        # Without one the key would be that of every other cluster that isn't there yet.
        if not target.addresses:
            raise ClosedError("There is nothing to follow: the cluster is not running (yet).")
        key = (tuple(target.addresses), full)
        with _lock:
            # Weak: a feed is kept by those who use it, a factory with credentials by nobody else.
            feed = _feeds.get(key)
            if feed is None:
                feed = _feeds[key] = cls(target.source_factory(full=full))
            return feed

    def subscribe(
        self,
        on_telemetry: Callable[[Telemetry], object],
        on_info: Callable[[ClusterInfo], object] | None = None,
        on_end: Callable[[str], object] | None = None,
        on_restart: Callable[[], object] | None = None,
    ) -> Callable[[], None]:
        """See :meth:`Source.subscribe`; all is called in the feed's thread, also that nobody is there (``on_end``)."""
        # Kept, and released by itself: by the time somebody leaves, another thread may have taken this one's place.
        runner = self._acquire()
        unsubscribe = runner.subscribe(Subscriber(on_telemetry, on_info, on_end, on_restart))
        ended = False

        def end() -> None:
            nonlocal ended
            with _lock:
                # A view may leave by itself and once more when it is collected; a user counts once.
                was, ended = ended, True
            if not was:
                unsubscribe()
                self._release(runner)

        return end

    def now(self) -> float:
        """See :meth:`Source.now`."""
        # Read once: another thread may end it between two looks.
        runner = self._runner
        return runner.source.now() if runner is not None else time.time()

    def obstacle(self, action: Action) -> str:
        """See :meth:`Source.obstacle`."""
        runner = self._runner
        return runner.source.obstacle(action) if runner is not None else "The cluster has ended."

    def ask(self, question: Question[T], timeout: float = CONNECT_TIMEOUT) -> T:
        """Ask the source something, and wait for the answer.

        Raises
        ------
        ClosedError
            If the cluster has ended.
        TimeoutError
            If there is no answer in time.
        """
        runner = self._acquire()
        answer: concurrent.futures.Future[T] | None = None
        try:
            answer = runner.run(question)
            return answer.result(timeout)
        # The loop ended with the question in it.
        except concurrent.futures.CancelledError:
            raise ClosedError("The cluster has ended.") from None
        except concurrent.futures.TimeoutError:
            raise TimeoutError(f"The scheduler did not answer within {timeout:g} s; it goes on.") from None
        finally:
            if answer is not None:
                # Of one that timed out: it would go on in the loop for nobody.
                answer.cancel()
            self._release(runner)

    def post(self, question: Question[T], done: Callable[[T | None, BaseException | None], object]) -> None:
        """Ask the source something, and have ``done(answer, error)`` called, one of them None.

        That happens in the feed's thread; in this one, before this returns, if the feed ends at this moment.
        """
        runner = self._acquire()

        def answered(answer: concurrent.futures.Future[T]) -> None:
            error: BaseException | None
            if answer.cancelled():
                error = ClosedError("The cluster has ended.")
            else:
                error = answer.exception()
            try:
                done(None if error is not None else answer.result(), error)
            # It is called by the future, which would swallow it.
            except Exception as failure:
                self._complaints.write(time.monotonic(), "what follows an answer failed", error=failure)
            finally:
                self._release(runner)

        try:
            # Released in the callback: the thread has to live until there is an answer.
            runner.run(question).add_done_callback(answered)
        except ClosedError as error:
            self._release(runner)
            done(None, error)

    def _acquire(self) -> FeedThread:
        """Return the running thread, started if need be; each user releases it once."""
        with _lock:
            if self._runner is None or self._runner.is_over:
                self._runner = FeedThread(self._make())
                # Those of the thread before release that one, which counts no more.
                self._users = 0
            self._users += 1
            return self._runner

    def _release(self, runner: FeedThread) -> None:
        with _lock:
            if runner is not self._runner:
                return  # that one has ended already
            self._users -= 1
            if self._users:
                return
            self._runner = None
        # Without the lock, which the thread takes to end.
        runner.stop()


class FeedThread:
    """One life of a :class:`ThreadFeed`: a daemon thread with a loop and a session."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.is_over = False
        """Whether it takes no more work."""
        # Made here and not in the thread, so that work can be handed over before that has begun.
        self._loop = loop_factory()()
        self._opened = asyncio.Event()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="himalia-feed", daemon=True)
        # Before it runs: the interpreter may end at any moment, and has to find it.
        _threads.add(self)
        self._thread.start()

    def _run(self) -> None:
        # Runner cancels what is left and closes the loop.
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        # A source that ends by itself ends the thread, whether or not anybody follows.
        leave = self.source.subscribe(ignore, on_end=lambda reason: self._stopping.set())
        try:
            await self.source.open()
            self._opened.set()
            await self._stopping.wait()
        except HimaliaError:
            pass  # subscribers were told why it can't be opened
        finally:
            leave()
            with _lock:
                # Under the lock that handing over takes: nothing comes after this.
                self.is_over = True
            await self.source.close()
            await asyncio.sleep(0)  # what was handed over before that is known to the loop now, and cancelled by it

    def _hand_over(self, callback: Callable[[], object]) -> bool:
        """Have the loop call this; return whether it still does."""
        with _lock:
            # A closed loop would raise, and an ending one might never call it.
            if not self.is_over:
                self._loop.call_soon_threadsafe(callback)
            return not self.is_over

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Subscribe in the loop; what is returned may be called from any thread."""
        # Filled in the loop.  Leaving is handed over as well, and so comes after it.
        leave: list[Callable[[], None]] = []
        if not self._hand_over(lambda: leave.append(self.source.subscribe(*subscriber))):
            if subscriber.on_end is not None:
                subscriber.on_end("the cluster has ended")
            return lambda: None

        def unsubscribe() -> None:
            self._hand_over(lambda: [end() for end in leave])

        return unsubscribe

    def run(self, question: Question[T]) -> concurrent.futures.Future[T]:
        """Ask in the loop, once it is connected."""

        async def ask() -> T:
            # Never set if it can't be opened: then the loop's end cancels this.
            await self._opened.wait()
            return await question(self.source)

        with _lock:
            if self.is_over:
                raise ClosedError("The cluster has ended.")
            return asyncio.run_coroutine_threadsafe(ask(), self._loop)

    def stop(self) -> None:
        """End the thread, and wait for that unless this is it."""
        self._hand_over(self._stopping.set)
        if threading.current_thread() is not self._thread:
            self._thread.join(JOIN)


_lock = threading.RLock()  # reentrant: a subscriber may be garbage collected, and so leave, while it is held
_feeds: weakref.WeakValueDictionary[tuple[tuple[str, ...], bool], ThreadFeed] = weakref.WeakValueDictionary()
_threads: weakref.WeakSet[FeedThread] = weakref.WeakSet()


def _stop_all() -> None:
    """End what still runs, with the interpreter."""
    for thread in list(_threads):
        # Said goodbye to, rather than cut: daemon threads are frozen where they are when Python ends.
        thread.stop()


def _forget_after_fork() -> None:
    """Have a forked child, which has none of these threads, start its own."""
    global _lock
    # A new one: the parent's may have been held, at the fork, by a thread that isn't here to release it.
    _lock = threading.RLock()
    for feed in list(_feeds.values()):
        feed._runner = None
    _threads.clear()


atexit.register(_stop_all)
os.register_at_fork(after_in_child=_forget_after_fork)
