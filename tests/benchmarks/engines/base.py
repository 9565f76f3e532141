"""What an engine has to offer to take part; two workers with one thread each, wherever it can be said."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

WORKERS: Final = 2
"""Workers of every engine, one thread each."""


class Engine(ABC):
    """One way to run functions in other processes.

    A handle is whatever the engine uses as a future.  ``offers`` names the groups of methods that it has: ``tasks``
    (always), ``dependencies`` (handles as arguments), ``collections``, ``arrays``, ``memory``.
    """

    name: ClassVar[str]
    offers: ClassVar[frozenset[str]]
    package: ClassVar[str]
    """Whose version is told, and whose absence."""
    runs_here: ClassVar[bool] = False
    """Whether calls run in this process, so that its processor time is that of workers."""
    beginning: ClassVar[str]
    """The import that a program begins with; names that are imported lazily are named, so that they are counted."""

    @abstractmethod
    def start(self) -> None:
        """Start the workers."""

    @abstractmethod
    def close(self) -> None:
        """End everything that was started."""

    @abstractmethod
    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return the handle of a call; arguments may be handles where dependencies are offered."""

    @abstractmethod
    def result(self, handle: Any) -> Any:
        """Return the value of one handle."""

    def submit_all(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        """Return the handles of one call for each item."""
        return [self.submit(function, item) for item in items]

    @abstractmethod
    def results(self, handles: list[Any]) -> list[Any]:
        """Return the values of many handles."""

    def compute(self, collection: Any) -> Any:
        """Return the value of a Dask collection."""
        raise NotImplementedError(self.name)

    def persist(self, *collections: Any) -> Any:
        """Return the collections, computed and kept by the workers."""
        raise NotImplementedError(self.name)

    def submit_on(self, worker: int, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return the handle of a call that runs on this worker (0 or 1), once it has finished."""
        raise NotImplementedError(self.name)

    def scatter(self, value: Any) -> Any:
        """Return a handle of a value that was brought to the workers' side."""
        raise NotImplementedError(self.name)

    def scheduler_pid(self) -> int:
        """Return the process of the scheduler."""
        raise NotImplementedError(self.name)

    def cluster_name(self) -> str:
        """Return by what name other processes find the cluster."""
        raise NotImplementedError(self.name)
