"""Waiting for records and bringing their values here: once for threads, once for coroutines.

Decides when to wait, to fetch, and to ask again for what could not be read.  Values are unpickled by the caller,
never by the client's own loop, where they would hold up everybody.
"""

from __future__ import annotations

import asyncio
import builtins
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from himalia.client.engine.explaining import describe_submission
from himalia.client.engine.shell import ClientShell
from himalia.client.engine.state import PENDING, Record
from himalia.client.engine.values import Values
from himalia.client.engine.watchers import Countdown, Sleeper
from himalia.errors import TimeoutError
from himalia.names import shorten

T = TypeVar("T")

RETRY_PAUSE: Final = 0.05
"""Seconds before a value that could not be read is asked for again, times the number of times it failed.  Guess."""

Run = Callable[[Coroutine[object, object, Any], float | None], Any]
"""Runs a coroutine in the client's loop and waits for it, so many seconds at most: ``Portal.run``."""


def wait_here(
    shell: ClientShell,
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
    shell.watch(records, countdown, countdown.begin)
    done = False
    try:
        done = sleeper.sleep(timeout)
    finally:
        if not done or stop_at or stop_at_error:
            shell.unwatch(records, countdown)
    if not done:
        raise timeout_error(shell, records, timeout)


async def wait_in_loop(
    shell: ClientShell,
    records: Sequence[Record],
    timeout: float | None = None,
    *,
    stop_at: int = 0,
    stop_at_error: bool = False,
) -> None:
    """Wait in a coroutine of any loop; see :func:`wait_here`."""
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()
    countdown = Countdown(lambda: loop.call_soon_threadsafe(woken.set), stop_at=stop_at, stop_at_error=stop_at_error)
    shell.watch(records, countdown, countdown.begin)
    try:
        await asyncio.wait_for(woken.wait(), timeout)
    except builtins.TimeoutError:
        raise timeout_error(shell, records, timeout) from None
    finally:
        shell.unwatch(records, countdown)


def gather_here(
    shell: ClientShell, records: Sequence[Record], run: Run, *, timeout: float | None = None, skip_errors: bool = False
) -> Values:
    """Block this thread until the values of all records are here, or (unless ``skip_errors``) one has failed.

    Raises
    ------
    TimeoutError
        If ``timeout`` seconds pass first.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    values = Values(shell.machine, records, skip_errors=skip_errors)
    missing: Sequence[Record] = records
    failures = 0
    while True:
        if any([record.status is PENDING for record in missing]):
            wait_here(shell, missing, _left(deadline), stop_at_error=not skip_errors)
        missing = values.load_inline()
        if not missing:
            return values
        if any([record.status is PENDING for record in missing]):
            continue
        if values.load(run(shell.hosts.read(missing), _left(deadline))):
            return values
        failures += 1
        time.sleep(min(RETRY_PAUSE * failures, 1.0))


async def gather_in_loop(
    shell: ClientShell, records: Sequence[Record], *, timeout: float | None = None, skip_errors: bool = False
) -> Values:
    """Wait in a coroutine of any loop until the values are here; see :func:`gather_here`."""
    deadline = None if timeout is None else time.monotonic() + timeout
    values = Values(shell.machine, records, skip_errors=skip_errors)
    missing: Sequence[Record] = records
    failures = 0
    while True:
        if any([record.status is PENDING for record in missing]):
            await wait_in_loop(shell, missing, _left(deadline), stop_at_error=not skip_errors)
        missing = values.load_inline()
        if not missing:
            return values
        if any([record.status is PENDING for record in missing]):
            continue
        if values.load(await in_loop_of(shell, shell.hosts.read(missing))):
            return values
        failures += 1
        await asyncio.sleep(min(RETRY_PAUSE * failures, 1.0))


async def in_loop_of(shell: ClientShell, coroutine: Coroutine[object, object, T]) -> T:
    """Run a coroutine in the client's loop, which may be another one than this."""
    if asyncio.get_running_loop() is shell.loop:
        return await coroutine
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, shell.loop))


def timeout_error(shell: ClientShell | None, records: Sequence[Record], timeout: float | None) -> TimeoutError:
    """Return the error of a wait that took too long; ``shell`` may be left out if there is no record."""
    pending = [record for record in records if record.status is PENDING]
    name = shorten(pending[0].key) if pending else "the result"
    more = f" and {len(pending) - 1} more" if len(pending) > 1 else ""
    submission = describe_submission(shell, pending[0]) if shell is not None and pending else ""
    return TimeoutError(
        f"{name}{more} did not finish within {round(timeout or 0, 3):g} s, and goes on.{submission} "
        f"Wait longer, or ask future.explain()."
    )


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def wall_clock() -> float:
    """Return the time of day, seconds since the epoch."""
    return time.time()


def clock() -> float:
    """Return seconds, monotonic."""
    return time.monotonic()


async def within(timeout: float, coroutine: Coroutine[object, object, T]) -> T:
    """Await a coroutine, and cancel it if ``timeout`` seconds pass first.

    Raises
    ------
    TimeoutError
        If they do.
    """
    limit = asyncio.timeout(timeout)
    try:
        async with limit:
            return await coroutine
    except builtins.TimeoutError:
        if not limit.expired():
            raise
        raise TimeoutError(f"There was no answer within {timeout:g} s.") from None


async def poll(look: Callable[[], Awaitable[bool]], interval: float, timeout: float | None) -> bool:
    """Look every ``interval`` seconds until it is so; return ``False`` if ``timeout`` seconds passed first."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while not await look():
        if deadline is not None and time.monotonic() > deadline:
            return False
        await asyncio.sleep(interval)
    return True
