"""What becomes of memory that calls freed: this process keeps it for the next call, and gives it back when it is idle.

Calls on arrays free and allocate the same megabytes again and again.  What goes back to the system in between comes
again page by page, zeroed, with a fault for each: on chains of array operations workers spent more time on that than
on the user's functions.  What is kept goes back when there is nothing to do for a second (``loop.py``), and when the
nanny finds the process large (``nanny/memory.py``).

Only the C library's heap is meant, with NumPy's arrays and pandas' blocks; where that isn't glibc, nothing happens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from himalia.settings import KIB, MIB

LARGEST: Final = 256 * MIB
"""Bytes of the largest array whose memory is kept: twice what a chunk of Dask's has (``array.chunk-size``)."""
KEPT: Final = 512 * MIB
"""Free bytes at the end of the heap beyond which they go back at once: both operands of an operation on the largest."""
SHARE: Final = 8
"""Nor is more kept than an eighth of the worker's memory limit."""
ROOM: Final = 512 * MIB
"""Bytes that a worker may have at least for this; half of less is Python with NumPy and pandas."""
SMALL: Final = 64 * KIB
"""Free bytes at the end of the heap that smaller workers keep; dask.distributed has the same for all."""
TRIM: Final = "MALLOC_TRIM_THRESHOLD_"
MAP: Final = "MALLOC_MMAP_THRESHOLD_"


def heap_environment(memory_limit: int, given: Mapping[str, str]) -> dict[str, str]:
    """Return variables that glibc reads when a process starts; none where somebody has said what he wants.

    Parameters
    ----------
    memory_limit : int
        Bytes that the worker may have; 0: what the host has.
    given : mapping
        The environment so far.
    """
    if not given.keys().isdisjoint((TRIM, MAP)) or "glibc.malloc" in given.get("GLIBC_TUNABLES", ""):
        return {}
    if 0 < memory_limit < ROOM:
        return {TRIM: str(SMALL)}
    kept = min(KEPT, memory_limit // SHARE) if memory_limit else KEPT
    # Both have to be set: either alone ends glibc's own adaptation of the other, and from 128 KiB on each array is
    # mapped and unmapped.
    return {TRIM: str(kept), MAP: str(min(LARGEST, kept))}
