"""How a host is divided: how many workers, with how many threads and how much memory each.

Pure arithmetic: the numbers of the machine come from :mod:`himalia.system` and are handed in.  The split is the one
that Dask users know: up to four CPUs one worker each, beyond that about as many workers as threads in a worker.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from himalia.errors import UsageError
from himalia.show.units import parse_bytes

LEAST_MEMORY: Final = 2**20
"""Bytes below which a limit is a unit forgotten: Python alone takes ten times that."""


class WorkerLayout(msgspec.Struct, frozen=True, kw_only=True):
    """What one nanny is asked to keep."""

    nworkers: int
    nthreads: int
    """Calls that a worker runs at a time."""
    memory_limit: int
    """Bytes per worker; 0: unlimited."""


def default_split(cpus: int) -> tuple[int, int]:
    """Return (workers, threads per worker) for so many CPUs; their product is ``cpus``.

    The fewest workers that are at least the square root: processes for what holds the GIL, threads for what shares
    memory.
    """
    if cpus <= 4:
        return cpus, 1
    # From the square root, rounded up, to the first that divides: no CPU is left over.  A prime gets a worker for each.
    workers = next(n for n in range(math.isqrt(cpus - 1) + 1, cpus + 1) if cpus % n == 0)
    return workers, cpus // workers


def choose_layout(
    *,
    cpus: int,
    memory: int,
    n_workers: int | None = None,
    threads_per_worker: int | None = None,
    memory_limit: str | float | None = "auto",
) -> WorkerLayout:
    """Return the division of a host for what the user said, and the defaults for what was left open.

    Parameters
    ----------
    cpus : int
        CPUs this process may use (affinity and cgroup limits counted).
    memory : int
        Bytes this process may use.
    n_workers, threads_per_worker : int or None
        ``n_workers=0`` is a cluster without workers, to be scaled later.
    memory_limit : str, float or None
        Per worker: ``"4 GiB"``, bytes, a fraction of ``memory`` (a float up to 1.0), ``"auto"``: a fair share, or
        ``None`` or 0: unlimited.

    Raises
    ------
    UsageError
        If a number can't be meant.
    """
    check_count("n_workers", n_workers, least=0)
    check_count("threads_per_worker", threads_per_worker, least=1)
    if n_workers is None and threads_per_worker is None:
        n_workers, threads_per_worker = default_split(cpus)
    elif n_workers is None:
        assert threads_per_worker is not None
        n_workers = max(1, cpus // threads_per_worker)
    elif threads_per_worker is None:  # rather too many threads than idle CPUs, as Dask does
        threads_per_worker = max(1, math.ceil(cpus / max(1, n_workers)))
    assert threads_per_worker is not None
    # A cluster of no workers yet: the first one that comes may have everything.
    share = memory if n_workers <= 1 else memory // n_workers
    limit = choose_memory(memory_limit, share=share, memory=memory)
    return WorkerLayout(nworkers=n_workers, nthreads=threads_per_worker, memory_limit=limit)


def choose_memory(memory_limit: str | float | None, *, share: int, memory: int) -> int:
    """Return bytes per worker; more than the machine has is cut to that, since it would protect nothing."""
    if memory_limit is None:
        return 0
    # As text, so that an option on the command line and an argument in Python mean the same.
    text = str(memory_limit).strip().lower()
    if text == "auto":
        return share
    if text in ("none", "unlimited"):
        return 0
    # Only with a point: 1 is one byte, which is refused below, and 1.0 all of the memory.
    if "." in text and is_fraction(text):
        return int(float(text) * memory)
    nbytes = parse_bytes(text)
    if 0 < nbytes < LEAST_MEMORY:
        raise UsageError(f"A memory limit of {memory_limit} is {nbytes} bytes, too little for Python: write '4 GiB'.")
    return min(nbytes, memory)


def is_fraction(text: str) -> bool:
    """Whether ``text`` is a bare number above 0 and up to 1, such as ``0.5`` or ``1.0``."""
    try:
        return 0 < float(text) <= 1
    except ValueError:
        return False


def check_count(name: str, value: object, *, least: int) -> None:
    """Refuse what is no number of workers or threads."""
    if value is None:
        return
    # True is an int to Python; LocalCluster(True) is a slip.
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{name}={value!r} must be a whole number, or None for what fits this machine.")
    if value < least:
        raise UsageError(f"{name}={value} must be at least {least}; None chooses what fits this machine.")
