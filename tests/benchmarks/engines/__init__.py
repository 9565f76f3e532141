"""The engines that are compared, each behind the same small interface."""

from __future__ import annotations

import importlib
from typing import Final

from tests.benchmarks.engines.base import Engine

MODULES: Final = {
    "himalia": "himalia_engine:HimaliaEngine",
    "distributed": "distributed_engine:DistributedEngine",
    "ray": "ray_engine:RayEngine",
    "pool": "pool_engine:PoolEngine",
    "threads": "threads_engine:ThreadsEngine",
}
"""Where each engine is; only the process that runs it imports it."""


def load(name: str) -> type[Engine]:
    """Return the engine's class, without starting anything.

    Raises
    ------
    ImportError
        If the package isn't installed.
    """
    module, _, attribute = MODULES[name].partition(":")
    found: type[Engine] = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    return found
