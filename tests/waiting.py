"""Waiting for what another process or thread does, instead of a sleep that was long enough on one machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 30.0
"""Seconds until something that has to come is given up on; a test that passes never waits so long."""


def wait_until(condition: Callable[[], object], timeout: float = PATIENCE) -> None:
    """Return once a condition holds; fail if it never does."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"it didn't come true within {timeout:g} s"
        time.sleep(0.02)


async def until(condition: Callable[[], object], timeout: float = PATIENCE) -> None:
    """Return once a condition holds, and let the loop go on meanwhile; fail if it never does."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"it didn't come true within {timeout:g} s"
        await asyncio.sleep(0.001)


def hold(path: str) -> float:
    """Be a call that runs until a file exists; return when it began, epoch seconds."""
    began = time.time()
    while not Path(path).exists():
        time.sleep(0.01)
    return began
