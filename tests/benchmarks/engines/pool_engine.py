"""``concurrent.futures.ProcessPoolExecutor``: what Python itself offers, and the bar for latency."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

from tests.benchmarks.engines.base import WORKERS, Engine


class PoolEngine(Engine):
    """A pool of two processes; calls can't take futures, and values always pass through this process."""

    name = "pool"
    package = "concurrent.futures.process"
    beginning = "from concurrent.futures import ProcessPoolExecutor"
    offers = frozenset({"tasks"})

    def start(self) -> None:
        """Make the pool; its processes start with the first call."""
        self.pool = ProcessPoolExecutor(WORKERS)

    def close(self) -> None:
        """Wait for the processes to end."""
        self.pool.shutdown()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Submit."""
        return self.pool.submit(function, *arguments)

    def result(self, handle: Future[Any]) -> Any:
        """Wait for one."""
        return handle.result()

    def results(self, handles: list[Future[Any]]) -> list[Any]:
        """Wait for many."""
        return [handle.result() for handle in handles]
