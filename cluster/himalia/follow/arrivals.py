"""Waiting until workers are there: a client does in its session, a cluster object in one that it opens for that.

How often one looks, and what is said if they don't come, is the same for both.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from himalia.errors import TimeoutError
from himalia.messages.answers import ClusterInfo
from himalia.plural import plural

POLL: Final = 0.01
"""Seconds between two looks.  The start of a cluster ends with such a wait, so it costs half of this on average."""


async def wait_for_workers(
    describe: Callable[[], Awaitable[ClusterInfo]],
    wanted: int,
    timeout: float | None,
    *,
    advice: str,
    check: Callable[[], object] = lambda: None,
) -> None:
    """Ask for the cluster's description until that many workers are in it.

    Parameters
    ----------
    describe : callable
        Asks the scheduler.
    wanted : int
    timeout : float or None
        Seconds; ``None``: as long as it takes.
    advice : str
        What the error says to do.
    check : callable
        Raises if they can't come any more.

    Raises
    ------
    TimeoutError
        If they aren't there in time; they may still come.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    # Before the deadline is looked at: with a timeout of 0 this is still one question.
    while (count := len((await describe()).workers)) < wanted:
        if deadline is not None and time.monotonic() >= deadline:
            raise TimeoutError(
                f"{count} of {plural(wanted, 'worker')} came within {timeout:g} s; the others may still come. {advice}"
            )
        # After the look: workers that came are there, whatever became of who started them.
        check()
        await asyncio.sleep(POLL)
