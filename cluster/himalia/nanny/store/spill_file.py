"""Results on disk: one unlinked file, addressed by extents, each with a checksum.

This file decides where on disk bytes go and whether they are still what was written; which results go there is
decided in ``spilling.py``.  The file has no name, so a nanny that is killed leaves nothing behind.
"""

from __future__ import annotations

import errno
import mmap
import os
import zlib
from collections.abc import Iterator
from typing import Final

from himalia.comm.data.layout import PAGE
from himalia.nanny.store.extents import DamagedExtentError, Extent
from himalia.nanny.store.ranges import FreeRanges
from himalia.private import create_file, make_parents

FILE_SIZE: Final = 1 << 42
"""Bytes of address space in the file, 4 TiB: ext4 allows four times that."""
STEP: Final = 4 * 1024 * 1024
"""Bytes moved between two looks at the rest of the world, and still cached when they are summed up: 3 ms."""
RESERVE: Final = 64 * 1024 * 1024
"""Bytes of a disk that are left to others.  RabbitMQ leaves 50 MB (``disk_free_limit``)."""


class SpillFile:
    """The one file of a store; opened when it is first needed.

    Parameters
    ----------
    directory : str
        Local, and only the user's own; it is created if it isn't there.

    Attributes
    ----------
    step : int
        Bytes moved between two looks at the rest of the world.
    """

    step = STEP

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
        # Asked before each result: the disk is shared, and filling a root file system takes the whole host down.
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
        # Of what is in memory, before it is written: what the disk makes of it shows when it is read.
        extent.crc = zlib.crc32(data, extent.crc)
        done = 0
        while done < len(data):
            count = os.pwrite(self._file, data[done:], extent.offset + extent.written)
            done += count
            extent.written += count

    def read(self, extent: Extent, memory: memoryview) -> bool:
        """Fill ``memory`` with what was written to ``extent``; ``False`` if it isn't what was written."""
        try:
            for _ in self.fill(extent, memory):
                pass
        except DamagedExtentError:
            return False
        return True

    def fill(self, extent: Extent, memory: memoryview) -> Iterator[None]:
        """Fill ``memory`` in steps; the last one raises :class:`DamagedExtentError` if it isn't what was written."""
        crc = done = 0
        while done < extent.nbytes:
            chunk = memory[done : done + self.step]
            try:
                # Straight into its range of the arena: no copy in between.
                count = os.preadv(self._file, [chunk], extent.offset + done)
            except OSError as error:
                raise DamagedExtentError(error.strerror or str(error)) from error
            if count == 0:
                raise DamagedExtentError("the file is too short")
            crc = zlib.crc32(chunk[:count], crc)
            done += count
            if done < extent.nbytes:
                yield
        if crc != extent.crc:
            raise DamagedExtentError("the checksum is wrong")

    def pieces(self, extent: Extent, size: int) -> Iterator[memoryview]:
        """Yield what was written to ``extent``, in pieces of ``size`` bytes; hold a :meth:`pin` meanwhile.

        The last piece comes only after the checksum was found right, so whoever has all of it has what was written.
        """
        crc = done = 0
        while done < extent.nbytes:
            try:
                piece = self._read_at(extent, done, min(size, extent.nbytes - done))
            except OSError as error:
                raise DamagedExtentError(error.strerror or str(error)) from error
            if not piece:
                raise DamagedExtentError("the file is too short")
            crc = zlib.crc32(piece, crc)
            done += len(piece)
            if done == extent.nbytes and crc != extent.crc:
                raise DamagedExtentError("the checksum is wrong")
            yield memoryview(piece)

    def _read_at(self, extent: Extent, start: int, size: int) -> bytes:
        return os.pread(self._file, size, extent.offset + start)

    def pin(self, extent: Extent) -> None:
        """Let an extent keep its place, given up or not, until :meth:`unpin`."""
        extent.readers += 1

    def unpin(self, extent: Extent) -> None:
        """End one :meth:`pin`."""
        extent.readers -= 1
        if extent.is_released:
            self.release(extent)

    def release(self, extent: Extent) -> None:
        """Give up an extent; its blocks go back to the disk where the file system can do that, else they are reused."""
        extent.is_released = True
        # A stream to a slow client still reads it; the last one gives it back (unpin).
        if extent.readers:
            return
        if extent.written and self._file >= 0:
            try:
                with mmap.mmap(self._file, extent.length, flags=mmap.MAP_SHARED, offset=extent.offset) as mapping:
                    # A hole: Python has no fallocate(PUNCH_HOLE), and this is the same through a mapping.
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
        make_parents(self._directory)
        # Several stores may share a folder, and one process may have several.
        path = os.path.join(self._directory, f"spill-{os.getpid()}-{id(self):x}")
        self._file = create_file(path)
        # At once: from here on only our descriptor holds it, and the kernel frees it however we end.
        os.unlink(path)
