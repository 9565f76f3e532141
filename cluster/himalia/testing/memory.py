"""A host's memory and disk for a real store: plain bytes of this process, and chance to break them.

Whoever reads what was freed, or before it was written, ends with bytes that no result has.
"""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Callable, Iterator
from mmap import mmap
from random import Random

from himalia.comm.data.layout import PAGE
from himalia.nanny.store.arena import Arena
from himalia.nanny.store.extents import Extent
from himalia.nanny.store.spill_file import SpillFile

STEP = 16 * 1024
"""Bytes moved between two looks at the rest of the world: less than the largest results have."""
FOREIGN = b"nobody's bytes, or somebody else's: whoever shows this read what he had no right to read"[:64]
"""What a page has that was given back to the system."""


class SimulatedArena(Arena):
    """An arena that is memory of this process alone; pages that nobody touches cost nothing.

    Parameters
    ----------
    limit : int
        Bytes that will be in use at most.
    is_reading : callable
        Whether a reader's process lives and maps something.
    """

    def __init__(self, limit: int, is_reading: Callable[[str], bool]) -> None:
        self.size = 4 * limit // PAGE * PAGE
        self.path = "simulated"
        self.data = memoryview(mmap(-1, self.size))
        self._is_reading = is_reading

    def map(self, offset: int, length: int, *, writable: bool = False) -> memoryview:
        """See :class:`Arena`."""
        view = self.data[offset : offset + length]
        # As a real mapping for reading, so that a write where none may be is noticed.
        return view if writable else view.toreadonly()

    def discard(self, offset: int, length: int) -> None:
        """Overwrite a range: the system may give its pages to anybody."""
        for page in range(offset, offset + length, PAGE):
            # The start of each page will do: readers compare every byte.
            self.data[page : page + len(FOREIGN)] = FOREIGN

    def is_reading(self, reader: str) -> bool:
        """See :class:`Arena`."""
        return self._is_reading(reader)

    def resident(self) -> int:
        """The bytes of all of it."""
        return self.size

    def close(self) -> None:
        """Let it go."""


class SimulatedDisk(SpillFile):
    """A spill file that is a table of bytearrays.

    Parameters
    ----------
    size : int
        Bytes that fit.
    is_full : callable
        Told each time that something doesn't fit.

    Attributes
    ----------
    used : int
        Bytes that are taken.
    """

    step = STEP

    def __init__(self, size: int, is_full: Callable[[], None]) -> None:
        self.size = size
        self._is_full = is_full
        self.used = 0
        self._written: dict[int, bytearray] = {}
        self._next = 0

    def reserve(self, nbytes: int) -> Extent:
        """See :class:`SpillFile`."""
        if self.used + nbytes > self.size:
            self._is_full()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.used += nbytes
        # A number and no place: one that was given up is never somebody else's.
        self._next += 1
        self._written[self._next] = bytearray()
        return Extent(self._next, nbytes, nbytes)

    def write(self, extent: Extent, data: memoryview) -> None:
        """See :class:`SpillFile`."""
        extent.crc = zlib.crc32(data, extent.crc)
        extent.written += len(data)
        self._written[extent.offset] += data

    def fill(self, extent: Extent, memory: memoryview) -> Iterator[None]:
        """See :class:`SpillFile`."""
        done = 0
        # The real pieces, with the real checksum; only what they are cut from is simulated.
        for piece in self.pieces(extent, self.step):
            memory[done : done + len(piece)] = piece
            done += len(piece)
            if done < extent.nbytes:
                yield

    def _read_at(self, extent: Extent, start: int, size: int) -> bytes:
        # a piece at a time, looked at anew: it may have been damaged, or given up, meanwhile
        return bytes(self._written[extent.offset][start : start + min(size, self.step)])

    def release(self, extent: Extent) -> None:
        """See :class:`SpillFile`."""
        extent.is_released = True
        if not extent.readers:
            del self._written[extent.offset]
            self.used -= extent.length

    def close(self) -> None:
        """Let it go."""

    def grow(self, size: int) -> None:
        """Let the disk have that size."""
        self.size = size

    def spoil(self, random: Random, share: float) -> None:
        """Damage that share of what was written."""
        for written in self._written.values():
            if written and random.random() < share:
                # One byte is enough: the checksum has to see it.
                written[random.randrange(len(written))] ^= 0xFF
