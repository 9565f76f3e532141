"""Waiting for records and bringing their values here: once for threads, once for coroutines.

Decides when to wait, to fetch, and to ask again for what could not be read.  Values are unpickled by the caller,
never by the client's own loop, where they would hold up everybody.
"""

from __future__ import annotations

import asyncio
import builtins
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Final, TypeVar

from himalia.client.engine.engine import Engine
from himalia.client.engine.explaining import describe_submission
from himalia.client.engine.state import FINISHED, PENDING, Record
from himalia.client.engine.values import Values
from himalia.client.engine.watchers import Countdown, Sleeper
from himalia.errors import TimeoutError
from himalia.names import shorten
from himalia.show.units import parse_timeout

T = TypeVar("T")

RETRY_PAUSE: Final = 0.05
"""Seconds before a value that could not be read is asked for again, times the number of times it failed; at most a
second, as in Ray, which begins with 0.1 (``redis_retry_base_ms``)."""


def wait_here(
    engine: Engine,
    records: Sequence[Record],
    timeout: float | None = None,
    *,
    stop_at: int = 0,
    stop_at_error: bool = False,
) -> None:
    """Block this thread until all records (all but ``stop_at``) have settled; see :class:`Countdown`.

    Raises
    ------
    TimeoutError
        If ``timeout`` seconds pass first.
    """
    sleeper = Sleeper()
    countdown = Countdown(sleeper.wake, stop_at=stop_at, stop_at_error=stop_at_error)
    engine.shell.watch(records, countdown, lambda count: countdown.begin(count, have_failed(records)))
    # Still so if ctrl-C ends the sleep.
    done = False
    try:
        done = sleeper.sleep(timeout)
    finally:
        # When all have settled, nobody has the watcher any more.
        if not done or stop_at or stop_at_error:
            engine.shell.unwatch(records, countdown)
    if not done:
        raise timeout_error(engine, records, timeout)


async def wait_in_loop(
    engine: Engine,
    records: Sequence[Record],
    timeout: float | None = None,
    *,
    stop_at: int = 0,
    stop_at_error: bool = False,
) -> None:
    """Wait in a coroutine of any loop; see :func:`wait_here`."""
    loop = asyncio.get_running_loop()
    # Set by way of the loop: watchers are called in the client's loop, mostly, and this may be another one.
    woken = asyncio.Event()
    countdown = Countdown(lambda: loop.call_soon_threadsafe(woken.set), stop_at=stop_at, stop_at_error=stop_at_error)
    engine.shell.watch(records, countdown, lambda count: countdown.begin(count, have_failed(records)))
    try:
        await asyncio.wait_for(woken.wait(), timeout)
    except builtins.TimeoutError:
        raise timeout_error(engine, records, timeout) from None
    finally:
        engine.shell.unwatch(records, countdown)


def have_failed(records: Sequence[Record]) -> bool:
    """Whether one of them has settled without a result."""
    return any([record.status is not PENDING and record.status is not FINISHED for record in records])


def gather_here(
    engine: Engine, records: Sequence[Record], *, timeout: float | None = None, skip_errors: bool = False
) -> Values:
    """Block this thread until the values of all records are here, or (unless ``skip_errors``) one has failed.

    Raises
    ------
    TimeoutError
        If ``timeout`` seconds pass first.
    """
    # One for all rounds: each may wait, fetch, and find that data were lost.
    deadline = None if timeout is None else time.monotonic() + timeout
    values = Values(engine.shell.machine, records, skip_errors=skip_errors)
    missing: Sequence[Record] = records
    failures = 0
    while True:
        # Looked at without the lock: what has settled needs no watcher.
        if any([record.status is PENDING for record in missing]):
            wait_here(engine, missing, _left(deadline), stop_at_error=not skip_errors)
        missing = values.load_inline()
        if not missing:
            return values
        # Its data were lost after it was waited for, and are computed again.
        if any([record.status is PENDING for record in missing]):
            continue
        if values.load(engine.run(engine.stores.read(missing), _left(deadline))):
            return values
        # The scheduler was told: at the next look the record is pending, has another holder, or is lost.
        failures += 1
        time.sleep(min(RETRY_PAUSE * failures, 1.0))


async def gather_in_loop(
    engine: Engine, records: Sequence[Record], *, timeout: float | None = None, skip_errors: bool = False
) -> Values:
    """Wait in a coroutine of any loop until the values are here; see :func:`gather_here`."""
    deadline = None if timeout is None else time.monotonic() + timeout
    values = Values(engine.shell.machine, records, skip_errors=skip_errors)
    missing: Sequence[Record] = records
    failures = 0
    while True:
        if any([record.status is PENDING for record in missing]):
            await wait_in_loop(engine, missing, _left(deadline), stop_at_error=not skip_errors)
        missing = values.load_inline()
        if not missing:
            return values
        if any([record.status is PENDING for record in missing]):
            continue
        if values.load(await in_loop_of(engine, engine.stores.read(missing))):
            return values
        failures += 1
        await asyncio.sleep(min(RETRY_PAUSE * failures, 1.0))


def wait_then(
    engine: Engine, records: Sequence[Record], then: Callable[[], T], timeout: float | str | None = None
) -> T:
    """Return ``then()`` once all records have settled; an awaitable of it, if the client is asynchronous."""
    limit = parse_timeout(timeout)
    if engine.asynchronous:

        async def wait() -> T:
            await wait_in_loop(engine, records, limit)
            return then()

        return wait()  # type: ignore[return-value]  # awaitable there
    wait_here(engine, records, limit)
    return then()


async def in_loop_of(engine: Engine, coroutine: Coroutine[object, object, T]) -> T:
    """Run a coroutine in the client's loop, which may be another one than this."""
    if asyncio.get_running_loop() is engine.loop:
        return await coroutine
    # Connections to hosts belong to the client's loop.
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, engine.loop))


def timeout_error(engine: Engine | None, records: Sequence[Record], timeout: float | None) -> TimeoutError:
    """Return the error of a wait that took too long; ``engine`` may be left out if there is no record."""
    pending = [record for record in records if record.status is PENDING]
    name = shorten(pending[0].key) if pending else "the result"
    more = f" and {len(pending) - 1} more" if len(pending) > 1 else ""
    submission = describe_submission(engine, pending[0]) if engine is not None and pending else ""
    return TimeoutError(
        f"{name}{more} did not finish within {round(timeout or 0, 3):g} s, and goes on.{submission} "
        f"Wait longer, or ask future.explain()."
    )


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())
