"""A ``concurrent.futures.Executor`` whose workers are a cluster's.

Decides how the two kinds of futures stand for each other: cancelling one cancels the other, and a result is brought
here as soon as it is there.
"""

from __future__ import annotations

import concurrent.futures
import functools
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from himalia.client.future import Future, engine_of, record_of
from himalia.errors import CancelledError

if TYPE_CHECKING:
    from himalia.client.client import Client

T = TypeVar("T")


class ClusterFuture(concurrent.futures.Future[T]):
    """A standard future of a call on the cluster; cancelling it also interrupts a call that runs."""

    _remote: Future[T] | None = None

    def cancel(self) -> bool:
        """Cancel the call; ``False`` if it is done."""
        remote = self._remote
        # Pending until its call is done, it can be cancelled here also while that runs.
        if remote is None or not super().cancel():
            return False
        remote.cancel()
        return True


class ClientExecutor(concurrent.futures.Executor):
    """Runs calls on the cluster of a client; made by :meth:`Client.get_executor`.

    Parameters
    ----------
    client : Client
        Stays open when the executor is shut down.
    **options
        For :meth:`Client.submit`.
    """

    def __init__(self, client: Client, **options: Any) -> None:
        self._client = client
        self._options = options
        self._lock = threading.Lock()
        self._is_shut = False
        # Weak: one that is done and let go of is nothing to wait for.
        self._futures: weakref.WeakSet[ClusterFuture[Any]] = weakref.WeakSet()

    def submit(self, fn: Callable[..., T], /, *args: object, **kwargs: object) -> ClusterFuture[T]:
        """Run ``fn(*args, **kwargs)`` on the cluster; see :meth:`concurrent.futures.Executor.submit`.

        Raises
        ------
        RuntimeError
            If the executor is shut down.
        """
        with self._lock:
            if self._is_shut:
                raise RuntimeError("cannot schedule new futures after shutdown")
        if kwargs:  # a call may have arguments that submit() would take for its own options
            remote: Future[T] = self._client.submit(functools.partial(fn, **kwargs), *args, **self._options)
        else:
            remote = self._client.submit(fn, *args, **self._options)
        return self._follow(remote)

    def map(
        self, fn: Callable[..., T], *iterables: Iterable[object], timeout: float | None = None, chunksize: int = 1
    ) -> Iterator[T]:
        """Run ``fn`` for each tuple of arguments; iterate over results in order; see the standard library.

        ``chunksize`` has no meaning here: calls travel together anyway.
        """
        with self._lock:
            if self._is_shut:
                raise RuntimeError("cannot schedule new futures after shutdown")
        # From here on, as in the standard library, not from the first result that is asked for.
        deadline = None if timeout is None else time.monotonic() + timeout
        futures = self._client.map(fn, *iterables, **self._options)

        def results() -> Iterator[T]:
            # Popped one by one: each is let go of when its result was handed out.
            futures.reverse()
            try:
                while futures:
                    left = None if deadline is None else max(0.0, deadline - time.monotonic())
                    yield futures.pop().result(left)
            finally:
                if futures:
                    # Who stopped iterating asks for no more.
                    self._client.cancel(futures)

        return results()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; the client stays open.

        Parameters
        ----------
        wait : bool
            Return when all calls are done.
        cancel_futures : bool
            Cancel what isn't done.
        """
        with self._lock:
            self._is_shut = True
        futures = list(self._futures)
        if cancel_futures:
            for future in futures:
                future.cancel()
        if wait:
            concurrent.futures.wait(futures)

    def _follow(self, remote: Future[T]) -> ClusterFuture[T]:
        local: ClusterFuture[T] = ClusterFuture()
        local._remote = remote
        self._futures.add(local)
        # This holds both until the call is done, whoever else lets go of them.
        engine_of(remote).when_settled(record_of(remote), lambda: _settle(local, remote))
        return local


def _settle(local: ClusterFuture[T], remote: Future[T]) -> None:
    """Give a standard future what its remote one ended with; in the thread for callbacks."""
    # It was cancelled, and has its end already.
    if not local.set_running_or_notify_cancel():
        return
    # With its last future the cluster frees the result, which is here in a moment.
    local._remote = None
    try:
        value = remote.result()
    except CancelledError as error:
        # The class that users of the standard library catch.
        local.set_exception(concurrent.futures.CancelledError(*error.args))
    except BaseException as error:
        local.set_exception(error)
    else:
        local.set_result(value)
