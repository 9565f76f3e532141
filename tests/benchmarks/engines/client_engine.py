"""What himalia and distributed have in common: a ``Client`` and a ``LocalCluster`` with the same names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.benchmarks.engines.base import Engine


class ClientEngine(Engine):
    """An engine with futures that know their key; ``start`` is left to each."""

    offers = frozenset({"tasks", "dependencies", "collections", "arrays"})
    cluster: Any = None
    client: Any = None

    def close(self) -> None:
        """Close client and cluster."""
        self.client.close()
        self.cluster.close()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Submit a call that is never taken for an earlier one."""
        return self.client.submit(function, *arguments, pure=False)

    def result(self, handle: Any) -> Any:
        """Wait for one future."""
        return handle.result()

    def submit_all(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        """Map."""
        futures: list[Any] = self.client.map(function, items, pure=False)
        return futures

    def results(self, handles: list[Any]) -> list[Any]:
        """Gather."""
        values: list[Any] = self.client.gather(handles)
        return values

    def compute(self, collection: Any) -> Any:
        """Compute on the cluster: with a client open that is what ``compute()`` does."""
        return collection.compute()

    def persist(self, *collections: Any) -> Any:
        """Persist on the cluster."""
        return self.client.persist(collections)

    def submit_on(self, worker: int, function: Callable[..., Any], *arguments: Any) -> Any:
        """Submit to one worker, and wait until it has finished."""
        address = sorted(self.client.nthreads())[worker]
        future = self.client.submit(function, *arguments, pure=False, workers=[address])
        if future.exception() is not None:  # waits without bringing the value here
            raise future.exception()
        return future

    def scatter(self, value: Any) -> Any:
        """Scatter."""
        return self.client.scatter(value, hash=False)
