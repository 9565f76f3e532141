"""The memory that a host's results live in: one anonymous file, mapped by range.

This file decides where the arena is and how pages go back to the system; which range is whose is the ledger's.  With
``memfd_create`` nothing has a name and nothing can be left behind by any ``kill -9``: workers open it through
``/proc/<pid of the nanny>/fd``.  Where there is no memfd (macOS), it is a file in the cluster's own directory.
"""

from __future__ import annotations

import errno
import mmap
import os
import resource
from typing import Final

from himalia.comm.data.layout import PAGE
from himalia.comm.data.presence import is_present
from himalia.errors import StartError
from himalia.private import create_file

LEAST_SIZE: Final = 256 * 1024**3
"""Bytes of address space an arena has at least.  It costs nothing, and room to choose keeps it from fragmenting."""


class Arena:
    """A sparse file of which only ranges in use have memory.

    Parameters
    ----------
    directory : str
        Where the file goes if it has to have a name.
    limit : int
        Bytes that will be in use at most; the address space is four times that, or more.
    anonymous : bool
        Whether to try ``memfd_create``; tests of the other way say no.

    Attributes
    ----------
    path : str
        What processes of the same user open.
    size : int
        Bytes of address space.
    """

    def __init__(self, *, directory: str, limit: int, anonymous: bool = True) -> None:
        self.size = _address_space(limit)
        self._named = ""
        self._file = -1
        if anonymous and hasattr(os, "memfd_create"):
            try:
                self._file = os.memfd_create("himalia-store", os.MFD_CLOEXEC)
            except OSError:  # a sandbox without it
                pass
        if self._file >= 0:
            # Openable by processes of the same user only, as /proc sees to it; no file system has to have room for it.
            self.path = f"/proc/{os.getpid()}/fd/{self._file}"
        else:
            self._named = self.path = os.path.join(directory, "store")
            self._file = _create(self.path)
        try:
            os.ftruncate(self._file, self.size)
        except OSError as error:
            self.close()
            raise StartError(f"The store can't reserve {self.size} bytes at {self.path}: {error}.") from error

    def map(self, offset: int, length: int, *, writable: bool = False) -> memoryview:
        """A view of a range, shared with every process that maps it; it lives as long as the view."""
        protection = mmap.PROT_READ | mmap.PROT_WRITE if writable else mmap.PROT_READ
        # Shared here, private at readers: what this process receives has to be seen by them.
        return memoryview(mmap.mmap(self._file, length, flags=mmap.MAP_SHARED, prot=protection, offset=offset))

    def discard(self, offset: int, length: int) -> None:
        """Give the pages of a range back to the system; it reads as zeros afterwards (where the system can do that)."""
        if not hasattr(mmap, "MADV_REMOVE"):
            return
        with mmap.mmap(self._file, length, flags=mmap.MAP_SHARED, offset=offset) as mapping:
            try:
                mapping.madvise(mmap.MADV_REMOVE)
            except OSError as error:
                # A file system without holes: the pages stay, and count as free all the same.
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                    raise

    def is_reading(self, reader: str) -> bool:
        """Whether a process that announced itself as ``reader`` still has the arena open, or any of it mapped."""
        return is_present(self._file, reader)

    def resident(self) -> int:
        """The bytes the system holds for the arena."""
        # Blocks of 512 bytes, whatever the file system's own are (stat(2)).
        return os.fstat(self._file).st_blocks * 512

    def close(self) -> None:
        """Give everything back; what others still map stays theirs until they unmap it.  May be called twice."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)
        if self._named:
            named, self._named = self._named, ""
            try:
                os.unlink(named)
            except FileNotFoundError:
                pass


def _address_space(limit: int) -> int:
    # Of a sparse file only pages that were written take memory, so the size is free to be chosen.
    size = max(4 * limit, LEAST_SIZE)
    # A batch system may limit the size of files, and a sparse one counts in full.
    most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if most != resource.RLIM_INFINITY:
        size = min(size, most)
    return size // PAGE * PAGE


def _create(path: str) -> int:
    try:
        return create_file(path)
    except OSError as error:
        raise StartError(f"The store can't create {path}: {error}. Choose another local directory.") from error
