"""Clocks, and coroutines that end in time."""

from __future__ import annotations

import asyncio
import builtins
import time
from collections.abc import Coroutine
from typing import TypeVar

from himalia.errors import TimeoutError

T = TypeVar("T")


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
        # The coroutine ran out of a time of its own, and says of which.
        if not limit.expired():
            raise
        raise TimeoutError(f"There was no answer within {timeout:g} s.") from None
