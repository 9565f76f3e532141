"""A cluster in your Jupyter notebook: a distributed runtime in Python, and a scheduler for Dask collections.

>>> from himalia import Client
>>> client = Client()  # starts a cluster on this machine
>>> client.submit(sum, [1, 2, 3]).result()
6

Names are imported when they are first used, so that a role that needs few of them starts fast.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

# Before any import of ours, which would fail for fcntl or resource and say nothing of WSL.
if sys.platform == "win32":
    raise ImportError("himalia runs on Linux and macOS. On Windows install it inside WSL 2, which is Linux.")

from himalia.version import __version__

if TYPE_CHECKING:
    from himalia.client.client import Client
    from himalia.client.default import default_client, get_client
    from himalia.client.future import Future
    from himalia.client.futures_in import futures_of
    from himalia.client.memory_sampler import MemorySampler
    from himalia.client.performance_report import performance_report
    from himalia.client.progress import progress
    from himalia.client.task_stream import get_task_stream
    from himalia.client.waiting import as_completed, fire_and_forget, wait
    from himalia.deploy.local import LocalCluster
    from himalia.errors import CancelledError, HimaliaError, KilledWorkerError, TimeoutError
    from himalia.errors import KilledWorkerError as KilledWorker

# By name and not imported: a nanny or worker that says `import himalia.x` runs this file first.
_HOMES = {
    "CancelledError": "himalia.errors",
    "Client": "himalia.client.client",
    "Future": "himalia.client.future",
    "HimaliaError": "himalia.errors",
    "KilledWorkerError": "himalia.errors",
    "LocalCluster": "himalia.deploy.local",
    "MemorySampler": "himalia.client.memory_sampler",
    "TimeoutError": "himalia.errors",
    "as_completed": "himalia.client.waiting",
    "default_client": "himalia.client.default",
    "fire_and_forget": "himalia.client.waiting",
    "futures_of": "himalia.client.futures_in",
    "get_client": "himalia.client.default",
    "get_task_stream": "himalia.client.task_stream",
    "performance_report": "himalia.client.performance_report",
    "progress": "himalia.client.progress",
    "wait": "himalia.client.waiting",
}

__all__ = [
    "CancelledError",
    "Client",
    "Future",
    "HimaliaError",
    "KilledWorker",
    "KilledWorkerError",
    "LocalCluster",
    "MemorySampler",
    "TimeoutError",
    "__version__",
    "as_completed",
    "default_client",
    "fire_and_forget",
    "futures_of",
    "get_client",
    "get_task_stream",
    "performance_report",
    "progress",
    "wait",
]


def __getattr__(name: str) -> Any:
    if name == "KilledWorker":  # what dask.distributed calls it
        value = __getattr__("KilledWorkerError")
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'himalia' has no attribute {name!r}")
    # Next time Python finds it without asking here.
    globals()[name] = value
    return value


def load_ipython_extension(shell: object) -> None:
    """Have IPython know ``%himalia`` and ``%%himalia``; this is what ``%load_ext himalia`` calls."""
    from himalia.errors import UsageError
    from himalia.views import find_views, missing

    views = find_views()
    if views is None:
        raise UsageError(missing())
    views.load_ipython_extension(shell)


def unload_ipython_extension(shell: object) -> None:
    """Undo it; this is what ``%unload_ext himalia`` calls."""
    from himalia.views import find_views

    views = find_views()
    if views is not None:
        views.unload_ipython_extension()


def __dir__() -> list[str]:
    # For the tab key: what wasn't used yet is no global.
    return sorted(set(__all__) | set(globals()))
