"""Results on disk: one unlinked file, addressed by extents, each with a checksum.

This file decides where on disk bytes go and whether they are still what was written; which results go there is the
store's decision.  The file has no name, so a nanny that is killed leaves nothing behind.
"""

from __future__ import annotations

import errno
import mmap
import os
import zlib
from typing import Final

import msgspec

from himalia.comm.mapping import PAGE
from himalia.nanny.ranges import FreeRanges

FILE_SIZE: Final = 1 << 42
"""Bytes of address space in the file, 4 TiB: ext4 allows four times that."""
RESERVE: Final = 64 * 1024 * 1024
"""Bytes of a disk that are left to others.  Guess."""


class Extent(msgspec.Struct, gc=False):
    """A place in the file; ``crc`` covers the ``nbytes`` written there, in order."""

    offset: int
    nbytes: int
    length: int
    crc: int = 0
    written: int = 0


class SpillFile:
    """The one file of a store; opened when it is first needed.

    Parameters
    ----------
    directory : str
        Local, and only the user's own; it is created if it isn't there.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._file = -1
        self._free = FreeRanges()
        self._free.add(0, FILE_SIZE)

    def reserve(self, nbytes: int) -> Extent:
        """Find room for ``nbytes``.

        Raises
        ------
        OSError
            ``ENOSPC`` if the disk has no room for them, or whatever opening the file says.
        """
        self._open()
        disk = os.statvfs(self._file)
        if disk.f_bavail * disk.f_frsize < nbytes + RESERVE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._directory)
        length = (nbytes + PAGE - 1) // PAGE * PAGE
        offset = self._free.take(length)
        if offset is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._directory)
        if os.fstat(self._file).st_size < offset + length:
            os.ftruncate(self._file, offset + length)  # whole pages, so that a hole can be made of the last one
        return Extent(offset, nbytes, length)

    def write(self, extent: Extent, data: memoryview) -> None:
        """Append ``data`` to what was written to ``extent`` so far."""
        extent.crc = zlib.crc32(data, extent.crc)
        done = 0
        while done < len(data):
            count = os.pwrite(self._file, data[done:], extent.offset + extent.written)
            done += count
            extent.written += count

    def read(self, extent: Extent, memory: memoryview) -> bool:
        """Fill ``memory`` with what was written to ``extent``; ``False`` if it isn't what was written."""
        crc = done = 0
        while done < extent.nbytes:
            chunk = memory[done : done + (1 << 22)]  # cached between being read and being summed up
            count = os.preadv(self._file, [chunk], extent.offset + done)
            if count == 0:
                return False
            crc = zlib.crc32(chunk[:count], crc)
            done += count
        return crc == extent.crc

    def release(self, extent: Extent) -> None:
        """Give up an extent; its blocks go back to the disk where the file system can do that, else they are reused."""
        if extent.written:
            try:
                with mmap.mmap(self._file, extent.length, flags=mmap.MAP_SHARED, offset=extent.offset) as mapping:
                    mapping.madvise(mmap.MADV_REMOVE)
            except (OSError, ValueError, AttributeError):  # no holes here, or no madvise
                pass
        self._free.add(extent.offset, extent.length)

    def close(self) -> None:
        """Give everything back; may be called twice."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def _open(self) -> None:
        if self._file >= 0:
            return
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        path = os.path.join(self._directory, f"spill-{os.getpid()}-{id(self):x}")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        os.unlink(path)
