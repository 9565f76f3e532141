"""A cluster's telemetry, followed by whoever shows it: in an asyncio loop, or in a thread of its own.

Decides who is called with what: each subscriber first gets everything that is known, then what changes, and once, at
the end, why there is no more.  It never decides what is shown, and a subscriber that fails harms no other.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import logging
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple, TypeVar

from himalia.client.telemetry import TelemetryReport
from himalia.comm.security import Credentials
from himalia.deploy.control import CONNECT_TIMEOUT, Control
from himalia.errors import ClosedError, HimaliaError, TimeoutError
from himalia.messages import FollowTelemetry, Telemetry
from himalia.names import SCHEDULER
from himalia.run import loop_factory
from himalia.telemetry.standing import Standing

logger = logging.getLogger("himalia.feed")

T = TypeVar("T")
Question = Callable[[Control], Coroutine[Any, Any, T]]

JOIN: Final = 2.0
"""Seconds that the last subscriber to leave waits for the thread; it ends by itself anyway."""


class Subscriber(NamedTuple):
    """Whom to call; see :meth:`Feed.subscribe`."""

    on_telemetry: Callable[[Telemetry], object]
    on_info: Callable[[dict[str, Any]], object] | None
    on_end: Callable[[str], object] | None


class Feed:
    """A session with a scheduler that pushes telemetry; all methods belong to the loop that called :meth:`open`.

    Parameters
    ----------
    credentials : Credentials
        Of the cluster.
    addresses : list of str
        Of its scheduler, to be tried in this order.
    interval : float
        Seconds between two pushes, at least.
    full : bool
        Whether to get every record (packed, in ``Telemetry.blocks``) instead of an even sample.

    Attributes
    ----------
    control : Control
        For questions.
    past : TelemetryReport or None
        See :meth:`open`.
    """

    def __init__(
        self, credentials: Credentials, addresses: list[str], *, interval: float = 0.25, full: bool = False
    ) -> None:
        self.control = Control(credentials, on_telemetry=self._pushed, on_end=self._ended)
        self.past: TelemetryReport | None = None
        self._addresses = addresses
        self._interval = interval
        self._full = full
        self._subscribers: dict[int, Subscriber] = {}
        self._count = 0
        self._standing = Standing()
        self._membership = -1
        """Of the info that was asked for last."""
        self._asking: asyncio.Task[None] | None = None
        self._over = ""
        """Why it ended."""

    async def open(self, timeout: float = CONNECT_TIMEOUT) -> None:
        """Connect and follow.

        With ``full`` the attribute ``past`` is then what the scheduler remembers of before; pushes continue it.

        Raises
        ------
        ConnectError
            If no scheduler is there, or it refuses us.
        """
        await self.control.open(self._addresses, timeout)
        asking = asyncio.ensure_future(self.control.telemetry()) if self._full else None
        await asyncio.sleep(0)  # the question goes first, so that no call ends between its answer and the first push
        self.control.endpoint.send(SCHEDULER, FollowTelemetry(self._interval, self._full))
        if asking is not None:
            self.past = await asking

    async def close(self) -> None:
        """End the session; subscribers are told."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])
        await self.control.close()

    def subscribe(
        self,
        on_telemetry: Callable[[Telemetry], object],
        on_info: Callable[[dict[str, Any]], object] | None = None,
        on_end: Callable[[str], object] | None = None,
    ) -> Callable[[], None]:
        """Have what comes from now on handed out, after what is known already; return how to end that.

        Parameters
        ----------
        on_telemetry : callable
            Gets each push.
        on_info : callable, optional
            Gets ``Control.info()``, at first and whenever hosts or workers came or went.
        on_end : callable, optional
            Gets the reason, once, when no more will come.
        """
        subscriber = Subscriber(on_telemetry, on_info, on_end)
        if self._over:
            self._call(on_end, self._over)
            return lambda: None
        self._count = number = self._count + 1
        self._subscribers[number] = subscriber
        if self._membership >= 0:
            self._call(on_telemetry, self._standing.telemetry())
        if self._standing.info:
            self._call(on_info, self._standing.info)
        return lambda: void(self._subscribers.pop(number, None))

    def _pushed(self, telemetry: Telemetry) -> None:
        self._standing.take(telemetry)
        for subscriber in list(self._subscribers.values()):
            self._call(subscriber.on_telemetry, telemetry)
        if telemetry.status.membership != self._membership:
            self._membership = telemetry.status.membership
            if self._asking is None:
                self._asking = asyncio.get_running_loop().create_task(self._ask_info())

    async def _ask_info(self) -> None:
        """Ask who is there, again if that changes meanwhile."""
        try:
            asked = -1
            while asked != self._membership:
                asked = self._membership
                info = await self.control.info()
                self._standing.take_info(info)
                for subscriber in list(self._subscribers.values()):
                    self._call(subscriber.on_info, info)
        except HimaliaError as error:
            logger.debug("the scheduler didn't say who is there: %s", error)
            self._membership = 0  # ask again with the next push
        finally:
            self._asking = None

    def _ended(self, reason: str) -> None:
        if self._over:
            return
        self._over = reason
        subscribers, self._subscribers = self._subscribers, {}
        for subscriber in subscribers.values():
            self._call(subscriber.on_end, reason)

    def _call(self, callback: Callable[[Any], object] | None, value: Any) -> None:
        if callback is None:
            return
        try:
            callback(value)
        except Exception:
            logger.exception("a subscriber of the telemetry failed")


class ThreadFeed:
    """A cluster's :class:`Feed` for all who follow it in this process, in a thread that lives as long as they do.

    Get it by :meth:`of`.  Its methods may be called from any thread but its own, except :meth:`post`,
    :meth:`subscribe` and what that returns, which may be called from there too.
    """

    def __init__(self, credentials: Credentials, addresses: list[str], *, full: bool) -> None:
        self._credentials = credentials
        self._addresses = addresses
        self._full = full
        self._runner: FeedThread | None = None
        self._users = 0

    @classmethod
    def of(cls, target: Any, *, full: bool = False) -> ThreadFeed:
        """Return the feed of a cluster; nothing is started before somebody subscribes or asks.

        Parameters
        ----------
        target : Cluster or Client
            Whose ``credentials`` and ``addresses`` are used.
        full : bool
            See :class:`Feed`.
        """
        if not target.addresses:
            raise ClosedError("There is nothing to follow: the cluster is not running (yet).")
        key = (tuple(target.addresses), full)
        with _lock:
            feed = _feeds.get(key)
            if feed is None:
                feed = _feeds[key] = cls(target.credentials, list(target.addresses), full=full)
            return feed

    def subscribe(
        self,
        on_telemetry: Callable[[Telemetry], object],
        on_info: Callable[[dict[str, Any]], object] | None = None,
        on_end: Callable[[str], object] | None = None,
    ) -> Callable[[], None]:
        """See :meth:`Feed.subscribe`; all is called in the feed's thread, also that nobody is there (``on_end``)."""
        runner = self._acquire()
        unsubscribe = runner.subscribe(Subscriber(on_telemetry, on_info, on_end))
        ended = False

        def end() -> None:
            nonlocal ended
            with _lock:
                was, ended = ended, True
            if not was:
                unsubscribe()
                self._release(runner)

        return end

    def ask(self, question: Question[T], timeout: float = CONNECT_TIMEOUT) -> T:
        """Ask the scheduler something, and wait for the answer.

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
        except concurrent.futures.CancelledError:
            raise ClosedError("The cluster has ended.") from None
        except concurrent.futures.TimeoutError:
            raise TimeoutError(f"The scheduler did not answer within {timeout:g} s; it goes on.") from None
        finally:
            if answer is not None:
                answer.cancel()
            self._release(runner)

    def post(self, question: Question[T], done: Callable[[T | None, BaseException | None], object]) -> None:
        """Ask the scheduler something; ``done(answer, error)`` is called in the feed's thread, one of them None."""
        runner = self._acquire()

        def answered(answer: concurrent.futures.Future[T]) -> None:
            error: BaseException | None
            if answer.cancelled():
                error = ClosedError("The cluster has ended.")
            else:
                error = answer.exception()
            try:
                done(None if error is not None else answer.result(), error)
            except Exception:
                logger.exception("what follows an answer failed")
            finally:
                self._release(runner)

        try:
            runner.run(question).add_done_callback(answered)
        except ClosedError as error:
            self._release(runner)
            done(None, error)

    def _acquire(self) -> FeedThread:
        """Return the running thread, started if need be; each user releases it once."""
        with _lock:
            if self._runner is None or self._runner.is_over:
                self._runner = FeedThread(Feed(self._credentials, self._addresses, full=self._full))
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
        runner.stop()


class FeedThread:
    """One life of a :class:`ThreadFeed`: a daemon thread with a loop and a session."""

    def __init__(self, feed: Feed) -> None:
        self.is_over = False
        """Whether it takes no more work."""
        self._feed = feed
        self._loop = loop_factory()()
        self._opened = asyncio.Event()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="himalia-feed", daemon=True)
        _threads.add(self)
        self._thread.start()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        leaving = self._feed.subscribe(lambda telemetry: None, on_end=lambda reason: self._stopping.set())
        try:
            await self._feed.open()
            self._opened.set()
            await self._stopping.wait()
        except HimaliaError as error:
            self._feed._ended(str(error))
        finally:
            leaving()
            with _lock:
                self.is_over = True
            await self._feed.close()
            await asyncio.sleep(0)  # what was handed over before that is known to the loop now, and cancelled by it

    def _hand_over(self, callback: Callable[[], object]) -> bool:
        """Have the loop call this; return whether it still does."""
        with _lock:
            if not self.is_over:
                self._loop.call_soon_threadsafe(callback)
            return not self.is_over

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Subscribe in the loop; what is returned may be called from any thread."""
        leave: list[Callable[[], None]] = []
        if not self._hand_over(lambda: leave.append(self._feed.subscribe(*subscriber))):
            if subscriber.on_end is not None:
                subscriber.on_end("the cluster has ended")
            return lambda: None

        def unsubscribe() -> None:
            self._hand_over(lambda: [left() for left in leave])

        return unsubscribe

    def run(self, question: Question[T]) -> concurrent.futures.Future[T]:
        """Ask in the loop, once it is connected."""

        async def ask() -> T:
            await self._opened.wait()
            return await question(self._feed.control)

        with _lock:
            if self.is_over:
                raise ClosedError("The cluster has ended.")
            return asyncio.run_coroutine_threadsafe(ask(), self._loop)

    def stop(self) -> None:
        """End the thread, and wait for that unless this is it."""
        self._hand_over(self._stopping.set)
        if threading.current_thread() is not self._thread:
            self._thread.join(JOIN)


def void(value: object) -> None:
    """Forget a value."""


_lock = threading.RLock()  # reentrant: a subscriber may be garbage collected, and so leave, while it is held
_feeds: weakref.WeakValueDictionary[tuple[tuple[str, ...], bool], ThreadFeed] = weakref.WeakValueDictionary()
_threads: weakref.WeakSet[FeedThread] = weakref.WeakSet()


def _stop_all() -> None:
    """End what still runs, with the interpreter."""
    for thread in list(_threads):
        thread.stop()


def _forget_after_fork() -> None:
    """Have a forked child, which has none of these threads, start its own."""
    global _lock
    _lock = threading.RLock()
    for feed in list(_feeds.values()):
        feed._runner = None
    _threads.clear()


atexit.register(_stop_all)
os.register_at_fork(after_in_child=_forget_after_fork)
