"""Results between memory and disk: which moves next, in how large steps, and how it comes back.

This file decides what is coldest and counts what is where; *how much* has to move, and what to do when nothing can, is
the store's decision.  A result on disk keeps its copy there when it is read back, so that giving up its memory again
costs nothing; such copies are given up first when the disk is full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from himalia.comm.data.layout import frame_offsets, pages
from himalia.comm.data.wire import CHUNK
from himalia.nanny.store.extents import DamagedExtentError, Extent
from himalia.nanny.store.ledger import Block, Ledger

if TYPE_CHECKING:
    from himalia.nanny.store.arena import Arena
    from himalia.nanny.store.spill_file import SpillFile

SPILL_LEAST: Final = 4096
"""Bytes below which a result always stays in memory: its entry alone takes an eighth of that, measured."""
OVERFLOW: Final = "himalia-overflow"
"""How the ledger knows this file as an owner, while it reads something back."""


class Held(msgspec.Struct, gc=False):
    """One result: it is at least one of inline, in a block, and on disk."""

    attempt: int
    nbytes: int
    inline: bytes | None = None
    block: Block | None = None
    disk: Extent | None = None
    sizes: tuple[int, ...] = ()
    """Of its frames, if it isn't inline by nature."""

    @property
    def is_in_memory(self) -> bool:
        """Whether it can be read without the disk."""
        return self.inline is not None or self.block is not None

    @property
    def is_used(self) -> bool:
        """Whether somebody reads from its range."""
        return self.block is not None and self.block.is_used

    @property
    def span(self) -> int:
        """Bytes it takes up in memory and on disk, gaps between its frames included."""
        return frame_offsets(self.sizes)[1] if self.sizes else self.nbytes


class _Spilling(msgspec.Struct):
    """A result on its way to disk."""

    held: Held
    extent: Extent
    data: memoryview


class _Loading(msgspec.Struct):
    """A result on its way back from disk."""

    held: Held
    offset: int
    length: int
    steps: Iterator[None]


class Overflow:
    """Counts results in memory and on disk, and moves them.

    Parameters
    ----------
    arena, ledger : Arena, Ledger
        Of the store.
    disk : SpillFile
        Where results go.

    Attributes
    ----------
    inline_bytes, spilled : int
        Bytes of results that are inline in memory, and only on disk.
    written : int
        Bytes ever written to disk.
    disk_error : str
        Why the last attempt to move something to disk failed; empty if it worked.
    """

    def __init__(self, arena: Arena, ledger: Ledger, disk: SpillFile) -> None:
        self.inline_bytes = 0
        self.spilled = 0
        self.written = 0
        self.disk_error = ""
        self._arena = arena
        self._ledger = ledger
        self._disk = disk
        # A dict and no heap: touching is taking out and putting back at the end, both O(1), and it is done for every
        # input of every call.
        self._coldest: dict[int, Held] = {}  # by id; in memory and worth a move, least recently used first
        self._spilling: _Spilling | None = None
        # One of each at a time; until it is done a result counts where it was.
        self._loading: _Loading | None = None

    def add(self, held: Held) -> None:
        """Count a new result, which is in memory."""
        if held.inline is not None:
            self.inline_bytes += held.nbytes
            if held.nbytes < SPILL_LEAST:
                return
        self._coldest[id(held)] = held

    def remove(self, held: Held) -> None:
        """Give up a result, wherever it is."""
        self._coldest.pop(id(held), None)
        if held.inline is not None:
            self.inline_bytes -= held.nbytes
        elif held.block is not None:
            self._ledger.free(held.block)
        else:
            self.spilled -= held.nbytes
        # Its bytes are being copied: what was written so far is worthless, and its range may be another's in a moment.
        if self._spilling is not None and self._spilling.held is held:
            self._stop_spilling()
        if self._loading is not None and self._loading.held is held:
            self.stop_loading()
        if held.disk is not None:
            self._disk.release(held.disk)

    def touch(self, held: Held) -> None:
        """Make a result that is in memory the warmest."""
        if self._coldest.pop(id(held), None) is not None:
            self._coldest[id(held)] = held

    def load(self, held: Held) -> bool:
        """Bring a result back from disk, for which there has to be room; ``False`` if it isn't what was written."""
        # Packed bytes of some kB: no steps, no range.
        if not held.sizes:
            held.inline = self._read_inline(held)
            if held.inline is None:
                return False
            self.spilled -= held.nbytes
            self.add(held)
            return True
        length = pages(held.span)
        offset = self._ledger.grant(OVERFLOW, length)
        if offset is None:
            return False
        self.begin_loading(held, offset, length)
        is_whole = None
        while is_whole is None:
            is_whole = self.load_some()
        return is_whole

    def begin_loading(self, held: Held, offset: int, length: int) -> None:
        """Begin to bring a result back in steps, into a range that was granted to :data:`OVERFLOW`."""
        self.stop_loading()
        assert held.disk is not None
        # Without the rest of the last page: the checksum covers what was written, and no more.
        memory = self._arena.map(offset, length, writable=True)[: held.span]
        self._loading = _Loading(held, offset, length, self._disk.fill(held.disk, memory))

    def is_loading(self, held: Held) -> bool:
        """Whether a result is on its way back."""
        return self._loading is not None and self._loading.held is held

    def load_some(self) -> bool | None:
        """Do a step of what :meth:`begin_loading` began.

        Returns
        -------
        bool or None
            Whether the result is what was written; ``None`` if there is more to do.
        """
        job = self._loading
        assert job is not None
        try:
            # One step of the generator; that it is exhausted means that the checksum was right.
            for _ in job.steps:
                return None
        except DamagedExtentError:
            self.stop_loading()
            return False
        self._loading = None
        job.held.block = self._ledger.adopt(OVERFLOW, job.offset, job.length)
        self.spilled -= job.held.nbytes
        self.add(job.held)
        return True

    def stop_loading(self) -> None:
        """Give up what :meth:`begin_loading` began, if it isn't over."""
        job, self._loading = self._loading, None
        if job is not None:
            self._ledger.hand_back(OVERFLOW, job.offset, job.length)

    def stream(self, held: Held) -> tuple[Iterator[memoryview], Callable[[], None]]:
        """Return the bytes of a result's frames, read from disk as they are asked for, and what to call afterwards.

        They never come into the arena.  :class:`~.extents.DamagedExtentError` comes before the last of them.
        """
        extent = held.disk
        assert extent is not None
        # The result may be freed, or read back and dropped from the disk, while somebody with a slow line still gets
        # it.
        self._disk.pin(extent)
        return _cut(self._disk.pieces(extent, CHUNK), held.sizes), lambda: self._disk.unpin(extent)

    def spill(self, excess: int, budget: int) -> bool:
        """Move the coldest to disk until ``excess`` bytes less are in memory; whether only the budget ended it."""
        # By what is left in memory, not by what was written: dropping a good copy writes nothing and frees as much.
        target = self._nbytes - excess
        while self._nbytes > target:
            if budget <= 0:
                return True
            moved = self._move_some()
            if moved is None:
                return False
            budget -= moved
        return False

    def close(self) -> None:
        """Give the disk back; may be called twice."""
        self._spilling = None
        self._loading = None
        self._coldest.clear()
        self._disk.close()

    def validate(self, results: list[Held]) -> None:
        """Check every sum against all results there are; for tests."""
        assert self.inline_bytes == sum(len(held.inline) for held in results if held.inline is not None)
        assert self.spilled == sum(held.nbytes for held in results if not held.is_in_memory)
        assert all(held.disk is not None for held in results if not held.is_in_memory)
        movable = {id(held) for held in results if held.block or (held.inline and held.nbytes >= SPILL_LEAST)}
        assert set(self._coldest) == movable

    @property
    def has_movable(self) -> bool:
        """Whether something in memory is used by nobody; looks at all results."""
        return any(not held.is_used for held in self._coldest.values())

    @property
    def _nbytes(self) -> int:
        return self.inline_bytes + self._ledger.used

    def _move_some(self) -> int | None:
        """Move a step's worth of the coldest result that nobody uses; ``None`` if nothing can be moved."""
        if self._spilling is None:
            held = next((held for held in self._coldest.values() if not held.is_used), None)
            if held is None:
                return None
            if held.disk is not None:  # it was read back; results don't change, so the copy there is still good
                self._drop_memory(held)
                return 0
            if not self._start_spilling(held):
                return None
        return self._continue_spilling()

    def _start_spilling(self, held: Held) -> bool:
        if held.inline is not None:
            data = memoryview(held.inline)
        else:
            assert held.block is not None
            data = self._arena.map(held.block.offset, held.block.length)[: held.span]
        try:
            try:
                extent = self._disk.reserve(len(data))
            except OSError:
                # Copies of what is in memory are a convenience; the only copy of something isn't.
                if not self._drop_copies():
                    raise
                extent = self._disk.reserve(len(data))
        except OSError as error:
            self.disk_error = error.strerror or str(error)
            return False
        self._spilling = _Spilling(held, extent, data)
        return True

    def _continue_spilling(self) -> int | None:
        job = self._spilling
        assert job is not None
        chunk = job.data[job.extent.written : job.extent.written + self._disk.step]
        try:
            self._disk.write(job.extent, chunk)
        # Not raised: moving is a favour to others, and nobody in this call asked for it. Who needs the room hears of it
        # (room.py).
        except OSError as error:  # the disk is full, or broken: the result is still in memory
            self.disk_error = error.strerror or str(error)
            self._stop_spilling()
            return None
        self.written += len(chunk)
        if job.extent.written == job.extent.nbytes:
            self.disk_error = ""
            self._spilling = None
            job.held.disk = job.extent
            # Somebody mapped it while it was being written. It stays; the copy is good for the next time.
            if not job.held.is_used:
                self._drop_memory(job.held)
        return len(chunk)

    def _stop_spilling(self) -> None:
        job, self._spilling = self._spilling, None
        if job is not None:
            self._disk.release(job.extent)

    def _drop_copies(self) -> bool:
        """Give up what is on disk of results that are in memory too; whether there was any."""
        copies = [held for held in self._coldest.values() if held.disk is not None]
        for held in copies:
            assert held.disk is not None
            self._disk.release(held.disk)
            held.disk = None
        return bool(copies)

    def _drop_memory(self, held: Held) -> None:
        """Go on with the copy on disk alone."""
        del self._coldest[id(held)]
        self.spilled += held.nbytes
        if held.block is not None:
            block, held.block = held.block, None
            self._ledger.free(block)
        else:
            held.inline = None
            self.inline_bytes -= held.nbytes

    def _read_inline(self, held: Held) -> bytes | None:
        assert held.disk is not None
        memory = bytearray(held.nbytes)
        return bytes(memory) if self._disk.read(held.disk, memoryview(memory)) else None


def _cut(pieces: Iterator[memoryview], sizes: tuple[int, ...]) -> Iterator[memoryview]:
    """Leave out what lies between the frames."""
    starts, _ = frame_offsets(sizes)
    frames = [(start, start + size) for start, size in zip(starts, sizes, strict=True)]
    position = first = 0
    for piece in pieces:
        end = position + len(piece)
        while first < len(frames) and frames[first][0] < end:
            start, stop = frames[first]
            if stop > start:
                yield piece[max(start, position) - position : min(stop, end) - position]
            if stop > end:
                break
            first += 1
        position = end
