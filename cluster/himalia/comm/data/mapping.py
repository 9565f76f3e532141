"""Reading and writing the arena of this host: what clients and workers do with ranges the nanny named to them.

This file decides when a range is copied instead of mapped; how frames lie in it says ``layout``, and whose it is says
the nanny's store.  No asyncio here; readers and writers may be used from any thread.

Guarantees: a mapped frame is private and writable (copy on write), so nobody else sees a change of it; a range stays
mapped for as long as any array that views it, and once the last one is gone its offset is put into
:attr:`ArenaReader.unmapped`, from where it has to be reported to the nanny, which only then reuses the range.
"""

from __future__ import annotations

import mmap
import os
import sys
import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

from himalia.comm.buffers import Buffer, unpack
from himalia.comm.data.layout import frame_offsets
from himalia.comm.data.presence import announce
from himalia.descriptors import allow_more_files
from himalia.errors import ClosedError
from himalia.messages.worker import Place
from himalia.settings import DEFAULT

WRITE_CHUNK: Final = 64 * 1024 * 1024
"""Bytes of one ``pwrite``: Linux takes 2 GiB at most, and an interrupt should be noticed between two."""

_PROTECTION: Final = mmap.PROT_READ | mmap.PROT_WRITE


_forks = 0
"""Grows with each fork of this process, or of one that it was forked from."""


def _count_fork() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_count_fork, after_in_parent=_count_fork)  # another thread may map something between


class _Mapping(mmap.mmap):
    """A private mapping of one range, which says when it is gone.

    One that lived when this process forked never says so: the child has it too, and would see what its range is used
    for next.  It counts until the process ends.
    """

    unmapped: deque[int] | None = None  # until it is mapped: a mapping that fails is deleted too
    offset: int
    forks: int

    def __del__(self) -> None:
        # runs when the last view is gone, possibly inside the garbage collector: a deque needs no lock
        if self.unmapped is not None and self.forks == _forks:
            self.unmapped.append(self.offset)


class ArenaReader:
    """Reads ranges of one arena.

    Parameters
    ----------
    path : str
        The arena, as the nanny names it in its ``HostInfo``.
    reader : str
        Who reads, if that is a client: the nanny can then see how long this process maps something, connected or not.
    copy_limit : int
        Bytes up to which a range is copied; see ``settings.copy_limit``.

    Attributes
    ----------
    unmapped : deque of int
        Offsets of ranges that this process no longer maps, one entry for each :meth:`read` of them; report them to the
        nanny and remove them.
    reads : int
        Ranges read so far; that many entries will have been in ``unmapped`` when all is gone.

    Raises
    ------
    OSError
        If the arena can't be opened: another machine, another user, or its nanny is gone.
    """

    def __init__(self, path: str, *, reader: str = "", copy_limit: int = DEFAULT.copy_limit) -> None:
        self.unmapped: deque[int] = deque()
        self.reads = 0
        self._copy_limit = copy_limit
        # Read-only, though mappings are written to: they are private, and the kernel then copies pages for us alone.
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if reader:
            announce(self._file, reader)

    def read(self, place: Place) -> list[memoryview]:
        """The frames at ``place``: views of its bytes if it is inline, writable memory of our own if not."""
        if place.inline is not None:
            return unpack(place.inline)
        # Counted whichever way it is read: a copy reports its end as well, once it is made.
        self.reads += 1
        offsets, total = frame_offsets(place.sizes)
        memory: bytearray | mmap.mmap | None = None
        # A mapping costs some 40 µs and a range that can't move; below the limit a copy is quicker, and lets go of the
        # range at once.
        if total > self._copy_limit and not place.is_copied:
            memory = self._map(place.offset, total)
        if memory is None:
            memory = self._copy(place.offset, total)
        whole = memoryview(memory)
        return [whole[start : start + size] for start, size in zip(offsets, place.sizes, strict=True)]

    def close(self) -> None:
        """Open no more ranges; what is mapped stays mapped."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def _map(self, offset: int, total: int) -> mmap.mmap | None:
        """Map a range, or return ``None`` where the process may have no more mappings or files."""
        try:
            mapping = _new_mapping(self._file, total, offset)
        except OSError:
            if not allow_more_files():  # before Python 3.13 each mapping keeps a duplicate
                return None
            try:
                mapping = _new_mapping(self._file, total, offset)
            except OSError:
                return None
        mapping.offset = offset
        mapping.forks = _forks
        # Last: only from here on its end is reported.
        mapping.unmapped = self.unmapped
        return mapping

    def _copy(self, offset: int, total: int) -> bytearray:
        try:
            memory = bytearray(total)
            view = memoryview(memory)
            done = 0
            # One call may read less: 2 GiB at most on Linux.
            while done < total:
                count = os.preadv(self._file, [view[done : done + WRITE_CHUNK]], offset + done)
                if count == 0:
                    raise OSError(f"The arena ends at byte {offset + done}, within a result.")
                done += count
        finally:
            self.unmapped.append(offset)  # also if there is no memory for it
        return memory


class ArenaWriter:
    """Writes frames into ranges that the nanny granted.

    ``pwrite`` and not a shared mapping: it lets other threads run meanwhile, needs no page faults of its own (5-7 GB/s
    into warm pages, where the first write through a mapping does 3 and later ones 18), and a full machine is an
    error, not a bus error.

    Parameters
    ----------
    path : str
        The arena, as the nanny names it.
    writer : str
        Who writes, if that is a client: the nanny can then see how long it may still write, connected or not.
    """

    def __init__(self, path: str, *, writer: str = "") -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        if writer:
            announce(self._file, writer)
        self._lock = threading.Lock()
        self._writing = 0
        self._is_closed = False

    def write(self, offset: int, frames: Sequence[Buffer]) -> tuple[int, ...]:
        """Write ``frames`` one after the other, as :func:`frame_offsets` says, and return their sizes.

        Raises
        ------
        ClosedError
            If the writer is closed, or is while this goes on.
        """
        sizes = tuple(map(len, frames))
        starts, _ = frame_offsets(sizes)
        with self._lock:
            self._writing += 1
        try:
            for start, frame in zip(starts, frames, strict=True):
                view = memoryview(frame)
                done = 0
                while done < len(view):
                    if self._is_closed:
                        raise ClosedError("The arena was closed while something was written to it.")
                    done += os.pwrite(self._file, view[done : done + WRITE_CHUNK], offset + start + done)
        finally:
            with self._lock:
                self._writing -= 1
                self._close_file()
        return sizes

    def close(self) -> None:
        """Close the arena once nobody writes any more; may be called twice."""
        with self._lock:
            self._is_closed = True
            self._close_file()

    def _close_file(self) -> None:
        # Not under a thread that writes: the number of a closed file is the next file's, which would get the bytes.
        if self._is_closed and not self._writing and self._file >= 0:
            os.close(self._file)
            self._file = -1


def _new_mapping(file: int, total: int, offset: int) -> _Mapping:
    # Before 3.13 each mapping duplicates the descriptor, and a thousand arrays are a process's limit of files.
    if sys.version_info >= (3, 13):
        return _Mapping(file, total, flags=mmap.MAP_PRIVATE, prot=_PROTECTION, offset=offset, trackfd=False)
    return _Mapping(file, total, flags=mmap.MAP_PRIVATE, prot=_PROTECTION, offset=offset)
