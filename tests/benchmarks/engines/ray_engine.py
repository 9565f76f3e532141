"""Ray, with two CPUs and without its dashboard; arrays go from actor to actor, for tasks can't be told where to run."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from tests.benchmarks.engines.base import WORKERS, Engine

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


class RayEngine(Engine):
    """Remote functions and two actors."""

    name = "ray"
    package = "ray"
    beginning = "import ray"
    offers = frozenset({"tasks", "dependencies", "arrays"})

    def start(self) -> None:
        """Start a local instance."""
        import ray  # part of what a start costs

        self.ray = ray
        ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        self.remotes: dict[Callable[..., Any], Any] = {}
        self.actors: list[Any] = []

    def close(self) -> None:
        """Shut the instance down."""
        self.ray.shutdown()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call the remote form of the function."""
        remote = self.remotes.get(function)
        if remote is None:
            remote = self.remotes[function] = self.ray.remote(function)
        return remote.remote(*arguments)

    def result(self, handle: Any) -> Any:
        """Get one."""
        return self.ray.get(handle)

    def results(self, handles: list[Any]) -> list[Any]:
        """Get many."""
        values: list[Any] = self.ray.get(handles)
        return values

    def submit_on(self, worker: int, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call the function in one of two actors, and wait until it has finished."""
        if not self.actors:
            self.actors = [self.ray.remote(Caller).remote() for _ in range(WORKERS)]
        handle = self.actors[worker].call.remote(function, *arguments)
        self.ray.wait([handle], fetch_local=False)
        return handle

    def scatter(self, value: Any) -> Any:
        """Put."""
        return self.ray.put(value)


class Caller:
    """An actor that calls what it is given."""

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call the function."""
        return function(*arguments)
