"""How the frames of a value lie in a range of the arena: where each starts, and how many whole pages they take.

Whoever writes a range and whoever reads it compute the same from the sizes alone.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from typing import Final

ALIGNMENT: Final = 64
"""Bytes to which frames are aligned: a cache line, and what the widest vector instructions want."""
PAGE: Final = mmap.ALLOCATIONGRANULARITY
"""Bytes to which ranges are aligned, so that each can be mapped on its own."""


def frame_offsets(sizes: Sequence[int]) -> tuple[list[int], int]:
    """Where frames of these sizes start within their range, and the bytes they span."""
    offsets: list[int] = []
    end = 0
    for size in sizes:
        start = (end + ALIGNMENT - 1) & -ALIGNMENT
        offsets.append(start)
        end = start + size
    return offsets, end


def pages(nbytes: int) -> int:
    """Return ``nbytes`` rounded up to whole pages, one at least: the length of a range that holds them."""
    # A page even for nothing: ranges of no length would share an offset, by which they are known.
    return max(nbytes + PAGE - 1, PAGE) // PAGE * PAGE


def range_length(sizes: Sequence[int]) -> int:
    """The bytes of arena that frames of these sizes take up; the next range may start right after."""
    return pages(frame_offsets(sizes)[1])
