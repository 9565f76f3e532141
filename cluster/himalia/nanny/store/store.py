"""The results of a host: what is here, and where its bytes are.  Used from the nanny's loop thread only.

This file decides which requests for memory are granted and when results have to move to disk; it never decides which
results exist (the scheduler), which range is whose (``ledger``) or which result moves (``spilling``).  Values are
opaque bytes here.

Small results are plain ``bytes`` of this process; large ones are ranges of the arena, which workers and clients of the
host map.  Over ``memory_target`` the coldest results that nobody maps are copied to disk: a bounded number of bytes
each time something is added, more whenever the shell calls :meth:`Store.relieve`.  Only a grant that would exceed the
limit moves as much as it needs at once.

What somebody maps can't move.  So what processes map beside running calls is bounded: beyond :data:`MAPPED_SHARE` of
the limit a reader gets a copy (:meth:`Store.may_map`), and what is on disk can be read without coming into memory
(:meth:`Store.stream`).  A grant that finds no room is refused here; who waits for it, and for how long, is decided in
``room``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from himalia.bucket import Complaints
from himalia.comm.buffers import unpack
from himalia.comm.data.layout import frame_offsets, pages, range_length
from himalia.comm.data.wire import chunks
from himalia.errors import StoreDamagedError, StoreFullError
from himalia.messages.parts import HeldData
from himalia.messages.telemetry import StoreMove
from himalia.messages.worker import Place
from himalia.names import Key, is_good_for, shorten
from himalia.nanny.activity import Moves
from himalia.nanny.store.arena import Arena
from himalia.nanny.store.extents import DamagedExtentError
from himalia.nanny.store.ledger import Block, Ledger
from himalia.nanny.store.readers import WORKERS
from himalia.nanny.store.spill_file import SpillFile
from himalia.nanny.store.spilling import SPILL_LEAST, Held, Overflow
from himalia.settings import MIB, Settings

logger = logging.getLogger("himalia.nanny")

SPILL_STEPS: Final = 4
"""Steps of the disk (16 MiB) moved there when something is added over the target: 14 ms
of page cache and checksums, measured, so less than a frame on a screen."""
DISCARD_STEP: Final = 32 * MIB
"""Bytes of free pages given back at once: 9 ms, measured."""
WARM_SHARE: Final = 4
"""Free pages are kept for reuse up to this part (one fourth) of the limit.  Guess: more is taken from other processes
of the host for nothing; with less, a job whose results come and go pays for fresh pages, ten times a copy."""
HALF_LIFE: Final = 30.0
"""Seconds after which half as much memory is taken to be needed as was used.  Guess: who looks at a result before the
next cell runs should find the pages of the one before; who went away for some minutes should keep nothing."""
SPARE: Final = 64 * MIB
"""Bytes of free pages that are kept beyond what is needed: 60 ms of fresh ones."""
MARGIN: Final = 1.1
"""How much more than what is needed, since results don't fit into each gap."""
AHEAD_PART: Final = 8
"""Part of what is asked for ahead that is still worth a grant."""
MAPPED_SHARE: Final = 4
"""Clients together map up to this part (one fourth) of the limit, and so do workers beside their calls: with
both, and with the half that inputs of running calls may take (``nanny/admission.py``), all is just full."""


class Store:
    """Results of one host, owned by its nanny.

    Parameters
    ----------
    directory : str
        The nanny's own local directory, for what moves to disk.
    limit : int
        Bytes that results may take up in memory.
    settings : Settings
        ``memory_target`` counts.
    anonymous : bool
        Whether the arena may do without a name; see :class:`~himalia.nanny.store.arena.Arena`.
    arena, disk : Arena, SpillFile; optional
        Where the bytes are; by default memory of this process, and a file in ``directory``.
    clock : callable
        Epoch seconds, for :attr:`moves`.

    Attributes
    ----------
    path : str
        The arena, to be opened by processes of the same user and host.
    moves : Moves
        What went between memory and disk.
    mapped_limit : int
        Bytes that clients together map, and workers beside their calls.
    freed : callable
        Called when there may be more room than before; to be set by whoever waits for it.
    """

    def __init__(
        self,
        *,
        directory: str,
        limit: int,
        settings: Settings,
        anonymous: bool = True,
        arena: Arena | None = None,
        disk: SpillFile | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.limit = limit
        # Below the limit, so that a grant finds room at once and what moves to disk does it in the background.
        self._target = int(limit * settings.memory_target)
        self._warm_limit = limit // WARM_SHARE
        self._needed = 0.0
        self._eased_at = clock()
        self._arena = arena or Arena(directory=directory, limit=limit, anonymous=anonymous)
        self._ledger = Ledger(self._arena.size)
        disk = disk or SpillFile(directory)
        # It moves ranges within the ledger's books by itself; this file only says how much.
        self._overflow = Overflow(self._arena, self._ledger, disk)
        self._budget = SPILL_STEPS * disk.step
        self._directory = directory
        self._clock = clock
        self._complaints = Complaints(logger)
        self._held: dict[Key, Held] = {}
        self._shadowed: dict[Key, list[Held]] = {}  # other attempts, which a newer value came in front of
        self.path = self._arena.path
        self.moves = Moves()
        # Set by who waits for room. A method that asks Room would make the two need each other.
        self.freed: Callable[[], None] = _nothing
        self.mapped_limit = limit // MAPPED_SHARE

    @property
    def nbytes(self) -> int:
        """Bytes of results in memory, pages that are freed but still mapped included."""
        return self._overflow.inline_bytes + self._ledger.used

    @property
    def spilled(self) -> int:
        """Bytes of results that are only on disk."""
        return self._overflow.spilled

    @property
    def granted(self) -> int:
        """Bytes that workers and transfers may write to right now."""
        return self._ledger.granted

    @property
    def mapped(self) -> dict[str, int]:
        """Bytes of results that each reader maps, by reader; not to be changed."""
        return self._ledger.mapped

    @property
    def room(self) -> int:
        """Bytes that could be granted without moving anything."""
        return max(self.limit - self.nbytes - self._ledger.granted, 0)

    @property
    def disk_error(self) -> str:
        """Why the last attempt to move something to disk failed; empty if it worked."""
        return self._overflow.disk_error

    @property
    def is_disk_full(self) -> bool:
        """Whether results could move to disk if that took them."""
        return bool(self.disk_error) and self._overflow.has_movable

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, key: object) -> bool:
        return key in self._held

    def inventory(self) -> Iterator[HeldData]:
        """Yield every result held, on disk or in memory."""
        for key, held in self._held.items():
            yield HeldData(key, held.attempt, held.nbytes)
        for key, others in self._shadowed.items():
            for held in others:
                yield HeldData(key, held.attempt, held.nbytes)

    def get(self, key: Key, attempt: int | None = None) -> HeldData | None:
        """What is known of a result, without touching it; ``attempt`` is as for :meth:`place`."""
        try:
            held = self._find(key, attempt)
        except KeyError:
            return None
        return HeldData(key, held.attempt, held.nbytes)

    # adding

    def put_inline(self, key: Key, attempt: int, data: bytes) -> int:
        """Keep a packed value as it is, in front of other attempts of its key, and return its size."""
        # A key may be used for something else before the old value is freed; the scheduler frees by attempt.
        if key in self._held:
            self._displace(key, attempt)
        size = len(data)
        held = self._held[key] = Held(attempt, size, data)
        self._overflow.add(held)
        # Small results can't move, so looking for what could would only find nothing, for each of thousands of calls.
        if size >= SPILL_LEAST and self.nbytes > self._target:
            self.relieve()
        return size

    def grant(self, owner: str, nbytes: int, *, force: bool = False) -> tuple[int, int]:
        """Give ``owner`` a range to write results to.

        With ``force`` even if memory is full then: what is written can move to disk as soon as it is a result.

        Returns
        -------
        offset, length : int
            Whole pages, ``nbytes`` or a little more.

        Raises
        ------
        StoreFullError
            If neither memory nor disk has room.
        """
        # Whole pages: they are mapped, and given back, by pages.
        length = pages(nbytes)
        self._make_room(length, force)
        offset = self._ledger.grant(owner, length)
        if offset is None:
            raise StoreFullError(f"The store has no {length} bytes in one piece.", length, self._room())
        # Free pages that are kept for reuse are memory, too: with results and grants they must not exceed the limit.
        while self._ledger.warm > max(self._room(), 0):  # fresh pages were taken, beside warm ones that were too short
            self._discard()
        return offset, length

    def make_room(self, nbytes: int) -> bool:
        """Move a few steps to disk for a grant of ``nbytes``; whether another call would do more.

        A large grant that is prepared so doesn't keep the loop for as long as all of that takes (about 1 s/GB).
        """
        length = pages(nbytes)
        return length <= self.limit and self._spill(length - self._room(), self._budget)

    def writable(self, owner: str, offset: int, length: int) -> memoryview:
        """A writable view of a part of ``owner``'s grant, for what this process receives itself."""
        if not self._ledger.owns(owner, offset, length):
            raise ValueError(f"{owner} was not granted bytes {offset} to {offset + length} of the arena.")
        return self._arena.map(offset, length, writable=True)

    def adopt(self, key: Key, attempt: int, owner: str, offset: int, sizes: Sequence[int]) -> int:
        """Make a result of frames that ``owner`` wrote at ``offset`` of its grant, and return their bytes.

        Raises
        ------
        ValueError
            If the range isn't ``owner``'s.
        """
        # First, since it refuses a range that isn't the owner's: nothing was changed then.
        block = self._ledger.adopt(owner, offset, range_length(sizes))
        if key in self._held:
            self._displace(key, attempt)
        # Its size is that of its frames; the block is longer, by gaps for alignment and the rest of a page.
        held = self._held[key] = Held(attempt, sum(sizes), None, block, None, tuple(sizes))
        self._overflow.add(held)
        if self.nbytes > self._target:
            self.relieve()
        self.freed()  # it can move to disk from now on
        return held.nbytes

    def hand_back(self, owner: str, ranges: Sequence[tuple[int, int]]) -> None:
        """Take back parts of grants that hold nothing."""
        for offset, length in ranges:
            self._ledger.hand_back(owner, offset, length)
        self._trim()
        self.freed()

    def release_owner(self, owner: str) -> None:
        """Forget a process that is gone: what it was granted and what it mapped."""
        # What it mapped is kept until here, and not a moment longer: the kernel has dropped a dead process's mappings.
        self._ledger.release_owner(owner)
        self._trim()
        self.freed()

    # reading

    def is_on_disk(self, key: Key, attempt: int) -> bool:
        """Whether a result has to be read back before it can be mapped: :meth:`place` would take its time."""
        try:
            held = self._find(key, attempt)
        except KeyError:
            return False
        return bool(held.sizes) and held.block is None

    def length_of(self, offset: int) -> int:
        """The bytes of the range at an offset that somebody maps."""
        return self._ledger.length_of(offset)

    def may_map(self, key: Key, reader: str, attempt: int) -> bool:
        """Whether a client may map a result for as long as it likes, or should get a copy; small ones are copied."""
        held = self._find(key, attempt)
        # Small ones are bytes of this process and travel in messages; nothing of them is ever mapped.
        if not held.sizes:
            return True
        if held.block is None:
            return False
        # All clients together: what any of them maps can't move to disk, and one notebook can have ten kernels.
        others = sum(nbytes for name, nbytes in self.mapped.items() if name != WORKERS)
        return others + held.block.length <= self.mapped_limit or self._ledger.maps(reader, held.block)

    def is_small(self, key: Key, attempt: int) -> bool:
        """Whether a result is plain bytes, and so travels inside messages."""
        return not self._find(key, attempt).sizes

    def stream(self, key: Key, attempt: int) -> tuple[tuple[int, ...], Iterator[memoryview], Callable[[], None]]:
        """Return the bytes of a result for somebody who gets a copy, wherever they are.

        Returns
        -------
        sizes : tuple of int
            Of its frames.
        pieces : iterator of memoryview
            Their bytes, some at a time; raises :class:`StoreDamagedError` before the last of them if they aren't right.
        done : callable
            To be called when nobody reads any more.

        Raises
        ------
        KeyError
            If it isn't here.
        StoreDamagedError
            As :meth:`place`.
        """
        held = self._find(key, attempt)
        # Straight from the arena; what is on disk stays there. A notebook that looks at everything once would else push
        # out what calls need.
        if held.is_in_memory:
            block = self.pin(key, attempt)
            views = self.views(key, attempt)
            return tuple(map(len, views)), chunks(views), lambda: self.unpin(block)
        pieces, done = self._overflow.stream(held)
        self.moves.add(StoreMove("unspill", self._clock(), 0.0, held.nbytes))
        return held.sizes, self._checked(key, held, pieces), done

    def _checked(self, key: Key, held: Held, pieces: Iterator[memoryview]) -> Iterator[memoryview]:
        try:
            # A generator that fails in its last step: the reader has all but the last piece, and the damaged copy is
            # dropped here.
            yield from pieces
        except DamagedExtentError as error:
            raise self._damaged(key, held) from error

    # reading back in steps, for a loop that has to look after others meanwhile

    def loading_needs(self, key: Key, attempt: int) -> int:
        """The bytes of room that reading a result back takes; 0 if it is in memory.  Raises KeyError."""
        held = self._find(key, attempt)
        if held.is_in_memory:
            return 0
        return pages(held.span) if held.sizes else 0

    def begin_loading(self, key: Key, attempt: int, offset: int, length: int) -> None:
        """Read a result back into a range that was granted to :data:`~himalia.nanny.store.spilling.OVERFLOW`."""
        self._overflow.begin_loading(self._find(key, attempt), offset, length)

    def is_loading(self, key: Key, attempt: int) -> bool:
        """Whether :meth:`begin_loading` was called for it and :meth:`load_some` has more to do.  Raises KeyError."""
        return self._overflow.is_loading(self._find(key, attempt))

    def load_some(self, key: Key, attempt: int) -> bool:
        """Read a few milliseconds' worth of a result back; whether it is in memory now.

        Raises
        ------
        StoreDamagedError
            As :meth:`place`.
        """
        held = self._find(key, attempt)
        began = self._clock()
        is_whole = self._overflow.load_some()
        if is_whole is None:
            return False
        self.moves.add(StoreMove("unspill", began, self._clock() - began, held.nbytes))
        # The bytes are worthless; the scheduler has a computed result made again.
        if not is_whole:
            raise self._damaged(key, held)
        return True

    def stop_loading(self) -> None:
        """Give up what is being read back."""
        self._overflow.stop_loading()
        self.freed()

    def place(self, key: Key, reader: str, attempt: int | None = None) -> Place:
        """Return where a result is, in memory; a range counts as mapped by ``reader`` until it calls :meth:`unmap`.

        One that is good for ``attempt`` (:func:`~himalia.names.is_good_for`) is chosen, among all that are held of the
        key; without, the newest.

        Raises
        ------
        KeyError
            If it isn't here.
        StoreDamagedError
            If it was on disk and can't be read any more; it is gone then.
        StoreFullError
            If it is on disk and there is no room to bring it back.
        """
        held = self._find(key, attempt)
        block = self._load(key, held)
        if block is None:
            return Place(held.inline)
        self._ledger.map(block, reader)
        return Place(None, block.offset, held.sizes)

    def is_reading(self, reader: str) -> bool:
        """Whether a client whose connection ended still maps something (where the system tells)."""
        return self._arena.is_reading(reader)

    def unmap(self, reader: str, offsets: Sequence[int]) -> None:
        """Count mappings that are gone, one for each entry of ``offsets``."""
        for offset in offsets:
            self._ledger.unmap(reader, offset)
        self._trim()
        self.freed()

    def views(self, key: Key, attempt: int | None = None) -> list[memoryview]:
        """A result's frames, read-only; hold a :meth:`pin` while they are used.  Chooses as :meth:`place`."""
        held = self._find(key, attempt)
        block = self._load(key, held)
        if block is None:
            assert held.inline is not None
            return unpack(held.inline)
        whole = self._arena.map(block.offset, block.length)
        offsets, _ = frame_offsets(held.sizes)
        return [whole[start : start + size] for start, size in zip(offsets, held.sizes, strict=True)]

    def pin(self, key: Key, attempt: int | None = None) -> Block | None:
        """Keep a result where it is while a transfer reads it; :meth:`unpin` the answer.  Chooses as :meth:`place`."""
        block = self._load(key, self._find(key, attempt))
        if block is not None:
            self._ledger.pin(block)
        return block

    def unpin(self, block: Block | None) -> None:
        """End a :meth:`pin`, whether or not the result still exists."""
        if block is not None:
            self._ledger.unpin(block)
            self._trim()
            self.freed()

    # removing

    def free(self, key: Key, attempt: int) -> bool:
        """Give up a result, if it is of that attempt; what maps it stays valid."""
        held = self._held.get(key)
        # A late FreeData for the value before must not take the one of now.
        if held is not None and held.attempt == attempt:
            self._forget(key)
        elif key not in self._shadowed or not self._drop_shadowed(key, attempt):
            return False
        self._trim()
        self.freed()
        return True

    def relieve(self, budget: int | None = None) -> bool:
        """Move ``budget`` bytes or a few steps to disk if memory is over the target; whether more calls would do more.

        Each call takes some ten milliseconds at most, so that a shell can call it again after looking after its peers.
        """
        self._trim()
        is_cut_short = self._spill(self.nbytes - self._target, self._budget if budget is None else budget)
        return is_cut_short or self._ledger.warm > self._warm_limit

    def ease(self) -> None:
        """Give some free pages back that were not needed lately; to be called a few times a second."""
        now = self._clock()
        used = self._ledger.used + self._ledger.granted
        self._needed = max(used, self._needed * 0.5 ** (max(now - self._eased_at, 0.0) / HALF_LIFE))
        self._eased_at = now
        if self._ledger.warm > SPARE and used + self._ledger.warm > self._needed * MARGIN + SPARE:
            self._discard()

    def ahead(self, least: int, most: int) -> int:
        """Return how much to grant to who needs ``least`` bytes and asks for ``most``, to have some ahead.

        As much as the largest range of free pages has, if that is worth a grant: results come in many lengths and leave
        gaps, and whoever always takes ``most`` fills fresh pages beside them, to three times of what is held.
        """
        found = self._ledger.largest_warm
        return found if max(least, most // AHEAD_PART) <= found < most else most

    def close(self) -> None:
        """Give all memory and disk back; may be called twice."""
        self._held.clear()
        self._shadowed.clear()
        self._arena.close()
        self._overflow.close()

    def validate(self) -> None:
        """Check every sum; for tests."""
        self._ledger.validate()
        self._overflow.validate([*self._held.values(), *(held for some in self._shadowed.values() for held in some)])
        assert all(self._shadowed.values())

    # other attempts of the same key

    def _find(self, key: Key, attempt: int | None) -> Held:
        """The value of a key that is good for an attempt; KeyError if there is none."""
        held = self._held[key]
        if attempt is None or is_good_for(held.attempt, attempt):
            return held
        # From the newest back, as the machine's books do (held.py).
        for other in reversed(self._shadowed.get(key, ())):
            if is_good_for(other.attempt, attempt):
                return other
        raise KeyError(key)

    def _displace(self, key: Key, attempt: int) -> None:
        """Make way for a newer value; one of the same attempt is given up, others stay until they are freed."""
        held = self._held.pop(key)
        if held.attempt == attempt:
            self._overflow.remove(held)
        else:
            self._shadowed.setdefault(key, []).append(held)
        if key in self._shadowed:
            self._drop_shadowed(key, attempt)

    def _drop_shadowed(self, key: Key, attempt: int) -> bool:
        # A list, and short: a second value of a key lives until the scheduler hears of its predecessor's end.
        others = self._shadowed[key]
        for index, held in enumerate(others):
            if held.attempt == attempt:
                del others[index]
                if not others:
                    del self._shadowed[key]
                self._overflow.remove(held)
                return True
        return False

    def _forget(self, key: Key) -> None:
        """Give up the value of a key; one that it shadowed is back."""
        self._overflow.remove(self._held.pop(key))
        if key in self._shadowed:
            others = self._shadowed[key]
            self._held[key] = others.pop()
            if not others:
                del self._shadowed[key]

    # memory

    def _room(self) -> int:
        return self.limit - self.nbytes - self._ledger.granted

    def _make_room(self, length: int, force: bool = False) -> None:
        """Move to disk what is needed for ``length`` more bytes; with ``force`` it is enough to have tried."""
        # For ever, not for now: who asks must not wait for it.
        if length > self.limit:
            raise StoreFullError(
                f"The store of this host has no room for {length:,} bytes: its limit is {self.limit:,}, "
                f"{length - self.limit:,} less. Make the result smaller, or raise the memory limit.",
                length,
                self.limit,
            )
        needed = length - self._room()
        if needed > 0:
            # Without a budget: the caller has promised the range to somebody in this very call. Who can wait asks Room,
            # which moves in steps.
            self._spill(needed, self.nbytes)
        # Forced grants go over the limit, by one range at a time (room.py): the alternative was a host in which
        # everybody waits for everybody.
        if self._room() < length and not force:
            disk = f" The disk failed: {self.disk_error}." if self.disk_error else ""
            raise StoreFullError(
                f"The store of this host has no room for {length:,} bytes: {self.nbytes:,} of {self.limit:,} hold "
                f"results that are in use or can't be moved to disk at {self._directory}, and "
                f"{self._ledger.granted:,} are being written.{disk} Release futures, add a host, or raise the memory "
                f"limit.",
                length,
                max(self._room(), 0),
            )

    def _spill(self, excess: int, budget: int) -> bool:
        """Move results to disk until ``excess`` bytes less are in memory; whether only the budget ended it."""
        if excess <= 0:
            return False
        began, before = self._clock(), self._overflow.written
        is_cut_short = self._overflow.spill(excess, budget)
        # What was only dropped, because its copy on disk is still good, is no move that took time.
        nbytes = self._overflow.written - before
        if nbytes:
            self.moves.add(StoreMove("spill", began, self._clock() - began, nbytes))
        return is_cut_short

    def _load(self, key: Key, held: Held) -> Block | None:
        """Bring a result to memory if it isn't there; its block, or ``None`` if it is inline."""
        if held.is_in_memory:
            # The order of use is kept only of what could move.
            if held.nbytes >= SPILL_LEAST:
                self._overflow.touch(held)
            return held.block
        if held.sizes:
            self._make_room(pages(held.span))
        began = self._clock()
        is_whole = self._overflow.load(held)
        self.moves.add(StoreMove("unspill", began, self._clock() - began, held.nbytes))
        if not is_whole:
            raise self._damaged(key, held)
        return held.block

    def _damaged(self, key: Key, held: Held) -> StoreDamagedError:
        """Give up a result that can't be read any more, log that, and return what to tell."""
        # Given up by somebody else while it was being read: then that attempt number may be a new value's.
        if any(held is other for other in [self._held.get(key), *self._shadowed.get(key, ())]):
            self.free(key, held.attempt)
        error = StoreDamagedError(
            f"The copy of {shorten(key)} on disk at {self._directory} is not what was written there. It was "
            f"dropped; a computed result is computed again.",
            key,
            held.attempt,
        )
        self._complaints.write(self._clock(), "%s", error)
        return error

    def _discard(self) -> bool:
        """Give one step's worth of free pages back; whether there are more."""
        found = self._ledger.cool(DISCARD_STEP)
        if found is not None:
            self._arena.discard(*found)
        return self._ledger.warm > 0

    def _trim(self) -> None:
        # One step only: this is called at every free, and giving a gigabyte back takes 300 ms.
        if self._ledger.warm > self._warm_limit:
            self._discard()


def _nothing() -> None:
    """Do nothing."""
