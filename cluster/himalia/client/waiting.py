"""Waiting for some of many futures: ``wait``, ``as_completed``, and not waiting at all: ``fire_and_forget``.

Decides which futures are handed out when.  How one waits is ``gathering.py``'s business.
"""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, Final, Literal, NamedTuple, Self

from himalia.client.engine.errors_view import error_of, folded
from himalia.client.engine.gathering import gather_here, gather_in_loop, timeout_error, wait_here, wait_in_loop
from himalia.client.engine.state import CANCELLED, FINISHED, Record
from himalia.client.engine.values import Values
from himalia.client.future import AnyFuture, Future, engine_of, record_of, records_of
from himalia.client.futures_in import futures_of
from himalia.errors import UsageError
from himalia.show.units import parse_timeout

ALL_COMPLETED: Final = "ALL_COMPLETED"
FIRST_COMPLETED: Final = "FIRST_COMPLETED"
FIRST_EXCEPTION: Final = "FIRST_EXCEPTION"


class DoneAndNotDoneFutures(NamedTuple):
    """What :func:`wait` returns."""

    done: set[AnyFuture]
    not_done: set[AnyFuture]

    def __repr__(self) -> str:
        """Stay short: this is what a cell shows whose last line is ``wait(futures)``."""
        done, not_done = (str(some) if len(some) <= 3 else f"{{{len(some):,} futures}}" for some in self)
        return f"DoneAndNotDoneFutures(done={done}, not_done={not_done})"


def wait(
    fs: object,
    timeout: float | str | None = None,
    return_when: Literal["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION"] = ALL_COMPLETED,
) -> Any:
    """Wait for futures without bringing their results here.

    Parameters
    ----------
    fs : future, Dask collection, or containers of these
    timeout : float or str, optional
        Seconds, or ``"10s"``.
    return_when : str
        ``ALL_COMPLETED``, ``FIRST_COMPLETED``, or ``FIRST_EXCEPTION`` (or all, if none fails).

    Returns
    -------
    DoneAndNotDoneFutures
        An awaitable of it, if their client is asynchronous.

    Raises
    ------
    TimeoutError
        If it takes longer; the calls go on.
    CancelledError
        If one of those that are done was cancelled.
    """
    if return_when not in (ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION):
        raise UsageError(f"return_when is one of ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, not {return_when!r}.")
    futures = futures_of(fs)
    records = list({id(record): record for record in records_of(futures)}.values())
    limit = parse_timeout(timeout)
    stop_at_error = return_when == FIRST_EXCEPTION
    stop_at = len(records) - 1 if return_when == FIRST_COMPLETED else 0
    if not futures:
        return _sort(futures)
    engine = engine_of(futures[0])
    if engine.asynchronous:

        async def wait_async() -> DoneAndNotDoneFutures:
            await wait_in_loop(engine, records, limit, stop_at=stop_at, stop_at_error=stop_at_error)
            return _sort(futures)

        return wait_async()
    wait_here(engine, records, limit, stop_at=stop_at, stop_at_error=stop_at_error)
    return _sort(futures)


def _sort(futures: list[AnyFuture]) -> DoneAndNotDoneFutures:
    for future in futures:
        if future.status == CANCELLED:
            raise error_of(record_of(future))
    done = {future for future in futures if future.done()}
    return DoneAndNotDoneFutures(done, set(futures) - done)


def fire_and_forget(obj: object) -> None:
    """Let calls run to their end although nobody holds a future of them.

    They are held until they are done by their client, which therefore has to stay open.

    Parameters
    ----------
    obj : future, Dask collection, or containers of these
    """
    for future in futures_of(obj):
        engine_of(future).keep(record_of(future), future)


class as_completed:  # the name that users know
    """Iterates over futures in the order in which they settle; more may be added meanwhile.

    Also an asynchronous iterator.

    Parameters
    ----------
    futures : iterable of Future, optional
    with_results : bool
        Give pairs of future and result. What a call raised is raised, or, with ``raise_errors=False``, stands in the
        place of the result.
    raise_errors : bool
        See there.
    timeout : float or str, optional
        Seconds that the whole iteration may take.

    Examples
    --------
    >>> for future, result in as_completed(futures, with_results=True):  # doctest: +SKIP
    ...     print(result)
    """

    def __init__(
        self,
        futures: Iterable[AnyFuture] | None = None,
        loop: object = None,
        with_results: bool = False,
        raise_errors: bool = True,
        *,
        timeout: float | str | None = None,
    ) -> None:
        self.with_results = with_results
        self.raise_errors = raise_errors
        self._timeout = parse_timeout(timeout)
        self._deadline = None if self._timeout is None else time.monotonic() + self._timeout
        # Its put() waits for nobody: it is called under the machine's lock.
        self._ready: queue.SimpleQueue[AnyFuture | None] = queue.SimpleQueue()
        self._waiting: dict[int, list[AnyFuture]] = {}
        self._count = 0
        self._wakers: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        if futures is not None:
            self.update(futures)

    # What it iterates over

    def add(self, future: AnyFuture) -> None:
        """Add a future; from any thread."""
        if not isinstance(future, Future):
            raise TypeError(f"as_completed takes futures, not {type(future).__name__}.")
        shell, record = engine_of(future).shell, record_of(future)
        # First: once it is watched, another thread may hand it out.
        self._count += 1
        # In one: it may settle the moment it is watched, and has to be found here then.
        with shell.lock:
            if shell.machine.watch(record, self._settled):
                self._waiting.setdefault(id(record), []).append(future)
                return
        self._put([future])

    def update(self, futures: Iterable[AnyFuture]) -> None:
        """Add several futures."""
        for future in futures:
            self.add(future)

    def count(self) -> int:
        """Return how many futures have not been handed out yet."""
        return self._count

    def is_empty(self) -> bool:
        """Whether all futures were handed out."""
        return self._count == 0

    def has_ready(self) -> bool:
        """Whether the next future can be had without waiting."""
        return not self._ready.empty()

    def clear(self) -> None:
        """Forget all futures that were not handed out yet."""
        # Their watchers stay; a record that settles finds nothing here.
        self._waiting.clear()
        self._ready = queue.SimpleQueue()
        self._count = 0

    def _settled(self, record: Record) -> None:
        """Take note of a record; called under the shell's lock."""
        self._put(self._waiting.pop(id(record), []))

    def _put(self, futures: list[AnyFuture]) -> None:
        for future in futures:
            self._ready.put(future)
        for loop, event in self._wakers:
            loop.call_soon_threadsafe(event.set)

    # Threads

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if not self._count:
            raise StopIteration
        with folded():
            return self._finish([self._take()])[0]

    def next(self) -> Any:
        """Return what comes next, waiting for it."""
        return next(self)

    def next_batch(self, block: bool = True) -> list[Any]:
        """Return all that are ready; wait for one at least, if ``block``."""
        taken = [self._take()] if block and self._count else []
        taken += self._take_ready()
        with folded():
            return self._finish(taken)

    def batches(self) -> Iterator[list[Any]]:
        """Iterate over lists of all that are ready, which is faster than one by one."""
        while self._count:
            yield self.next_batch()

    def _take(self) -> AnyFuture:
        try:
            future = self._ready.get(timeout=self._left())
        except queue.Empty:
            raise self._timeout_error() from None
        assert future is not None
        self._count -= 1
        return future

    def _take_ready(self) -> list[AnyFuture]:
        taken = []
        while self._count:
            try:
                future = self._ready.get_nowait()
            except queue.Empty:
                break
            assert future is not None
            taken.append(future)
            self._count -= 1
        return taken

    def _finish(self, futures: list[AnyFuture]) -> list[Any]:
        """Return futures as they are handed out: alone, or with their results, which are gathered at once."""
        if not self.with_results or not futures:
            return list(futures)
        good = [future for future in futures if future.status == FINISHED]
        values = gather_here(engine_of(futures[0]), records_of(good), timeout=self._left())
        return self._pair(futures, good, values)

    def _pair(self, futures: list[AnyFuture], good: list[AnyFuture], found: Values) -> list[Any]:
        if found.failure is not None:  # its data were lost after it had finished
            raise found.failure
        results = {id(future): value for future, value in zip(good, found.values, strict=True)}
        pairs = []
        for future in futures:
            if id(future) in results:
                pairs.append((future, results[id(future)]))
                continue
            error = error_of(record_of(future), engine_of(future).gone)
            if self.raise_errors:
                raise error
            pairs.append((future, error))
        return pairs

    # Coroutines

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if not self._count:
            raise StopAsyncIteration
        futures = [await self._take_in_loop()]
        if not self.with_results:
            return futures[0]
        good = [future for future in futures if future.status == FINISHED]
        with folded():
            values = await gather_in_loop(engine_of(futures[0]), records_of(good), timeout=self._left())
            return self._pair(futures, good, values)[0]

    async def _take_in_loop(self) -> AnyFuture:
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        # Before the first look, so that what settles between look and wait is noticed.
        self._wakers.append((loop, event))
        try:
            while True:
                try:
                    future = self._ready.get_nowait()
                except queue.Empty:
                    pass
                else:
                    assert future is not None
                    self._count -= 1
                    return future
                try:
                    await asyncio.wait_for(event.wait(), self._left())
                except TimeoutError:
                    raise self._timeout_error() from None
                # All who wait were woken, and one got it.
                event.clear()
        finally:
            self._wakers.remove((loop, event))

    # Time

    def _left(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def _timeout_error(self) -> Exception:
        # A copy: what settles is taken out in another thread.
        waiting = [future for futures in list(self._waiting.values()) for future in futures]
        engine = engine_of(waiting[0]) if waiting else None
        return timeout_error(engine, records_of(waiting), self._timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()
