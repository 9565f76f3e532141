"""Dask's own threads: what a collection costs when nothing leaves the process; a reference, not a peer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tests.benchmarks.engines.base import WORKERS, Engine


class ThreadsEngine(Engine):
    """Two threads of this process."""

    name = "threads"
    package = "dask"
    beginning = "import dask"
    offers = frozenset({"collections"})
    runs_here = True

    def start(self) -> None:
        """Make the threads."""
        self.pool = ThreadPoolExecutor(WORKERS)

    def close(self) -> None:
        """End the threads."""
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

    def compute(self, collection: Any) -> Any:
        """Compute with Dask's threaded scheduler."""
        return collection.compute(scheduler="threads", num_workers=WORKERS)

    def persist(self, *collections: Any) -> Any:
        """Keep the values in this process."""
        import dask

        return dask.persist(*collections, scheduler="threads", num_workers=WORKERS)
