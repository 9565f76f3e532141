"""Who uses which range of the arena.  Pure: it moves no byte and asks no system.

Every byte of the arena is, at any time, in exactly one of these places::

    cold    free, and the system has no memory for it
    warm    free, and its pages are still there: reused first, because fresh pages cost ten times a copy
    granted an owner (a worker, a client, a transfer) may write to it
    block   a result; with the number of its mappings and pins, and whether it was freed meanwhile

A block that is freed while somebody maps it keeps its range until the last mapping is gone: reuse under a live mapping
would show foreign bytes in somebody's array.
"""

from __future__ import annotations

import msgspec

from himalia.nanny.store.ranges import FreeRanges


# gc=False: it refers to nothing, and the collector needn't look at each.
class Block(msgspec.Struct, gc=False):
    """A range that holds one result."""

    offset: int
    length: int
    mappings: int = 0
    """Mappings that readers have not reported as gone."""
    pins: int = 0
    """Transfers that read from it right now."""
    freed: bool = False
    """The result is gone; the range follows once nobody uses it."""

    @property
    def is_used(self) -> bool:
        """Whether somebody reads from the range."""
        return self.mappings > 0 or self.pins > 0


class Ledger:
    """The book of the arena's ranges; lengths are whole pages, which the caller sees to.

    Parameters
    ----------
    size : int
        Bytes of the arena's address space.

    Attributes
    ----------
    used, granted : int
        Bytes in blocks (freed and still mapped ones too), and in grants.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.used = 0
        self.granted = 0
        self._warm = FreeRanges()
        self._cold = FreeRanges()
        self._cold.add(0, size)
        self._grants: dict[str, dict[int, tuple[int, bool]]] = {}  # owner -> start -> (length, came from warm)
        self._blocks: dict[int, Block] = {}
        self._readers: dict[str, dict[int, int]] = {}  # reader -> offset of a block -> mappings
        self._mapped: dict[str, int] = {}  # reader -> bytes of the blocks it maps

    @property
    def warm(self) -> int:
        """Free bytes whose pages are still there."""
        return self._warm.total

    @property
    def largest_warm(self) -> int:
        """Bytes of the largest free range whose pages are still there."""
        return self._warm.largest

    @property
    def mapped(self) -> dict[str, int]:
        """Bytes of blocks that each reader maps; not to be changed."""
        return self._mapped

    def maps(self, reader: str, block: Block) -> bool:
        """Whether ``reader`` maps the block already: another mapping keeps nothing more."""
        return block.offset in self._readers.get(reader, ())

    def length_of(self, offset: int) -> int:
        """The bytes of the block at an offset."""
        return self._blocks[offset].length

    def grant(self, owner: str, length: int) -> int | None:
        """Give ``owner`` a range to write to; ``None`` if no range of the arena is long enough."""
        offset = self._warm.take(length)  # first: writing to pages that are there is ten times as fast as to fresh ones
        is_warm = offset is not None
        if offset is None:
            offset = self._cold.take(length)
        if offset is None:
            return None
        # Whether its pages are there is remembered: what is handed back untouched goes back to where it was.
        self._grants.setdefault(owner, {})[offset] = (length, is_warm)
        self.granted += length
        return offset

    def owns(self, owner: str, offset: int, length: int) -> bool:
        """Whether the range lies within one grant of ``owner``."""
        return self._find_grant(owner, offset, length) is not None

    def adopt(self, owner: str, offset: int, length: int) -> Block:
        """Turn a part of a grant into a block.

        Raises
        ------
        ValueError
            If the range isn't ``owner``'s.
        """
        # The rest of the grant stays the owner's: a worker writes many results into one.
        self._cut(owner, offset, length)
        block = self._blocks[offset] = Block(offset, length)
        self.used += length
        return block

    def hand_back(self, owner: str, offset: int, length: int) -> None:
        """Make a part of a grant free that ``owner`` wrote nothing to, or nothing of use.

        Raises
        ------
        ValueError
            If the range isn't ``owner``'s.
        """
        is_warm = self._cut(owner, offset, length)
        (self._warm if is_warm else self._cold).add(offset, length)

    def release_owner(self, owner: str) -> None:
        """Forget a process that is gone: its grants are free, its mappings ended."""
        for offset, (length, _) in self._grants.pop(owner, {}).items():
            self.granted -= length
            self._warm.add(offset, length)  # it may have written to any of it
        self._mapped.pop(owner, None)
        # A dead process maps nothing, whatever it reported last.
        for offset, count in self._readers.pop(owner, {}).items():
            block = self._blocks[offset]
            block.mappings -= count
            self._settle(block)

    def map(self, block: Block, reader: str) -> None:
        """Count one mapping of ``block`` by ``reader``."""
        block.mappings += 1
        counts = self._readers.setdefault(reader, {})
        count = counts.get(block.offset, 0)
        if not count:
            self._mapped[reader] = self._mapped.get(reader, 0) + block.length
        counts[block.offset] = count + 1

    def unmap(self, reader: str, offset: int) -> None:
        """Count one mapping less; one that was never counted is ignored (its reader was released meanwhile)."""
        counts = self._readers.get(reader)
        # A report that crossed with our release of its sender.
        if counts is None or offset not in counts:
            return
        block = self._blocks[offset]
        counts[offset] -= 1
        if not counts[offset]:
            del counts[offset]
            self._mapped[reader] -= block.length
            if not counts:
                del self._readers[reader], self._mapped[reader]
        block.mappings -= 1
        self._settle(block)

    def pin(self, block: Block) -> None:
        """Keep a block's range while a transfer reads from it."""
        block.pins += 1

    def unpin(self, block: Block) -> None:
        """End one :meth:`pin`."""
        block.pins -= 1
        self._settle(block)

    def free(self, block: Block) -> None:
        """Give up a block; its range becomes free at once, or with its last mapping."""
        # The number of mappings decides when the range is free, never the number of results: a reader may hold an array
        # of a freed one for hours.
        block.freed = True
        self._settle(block)

    def cool(self, limit: int) -> tuple[int, int] | None:
        """Count up to ``limit`` bytes of warm space as cold and return them: the caller gives their pages back."""
        found = self._warm.take_largest(limit)
        if found is not None:
            self._cold.add(*found)
        return found

    def free_ranges(self) -> list[tuple[int, int]]:
        """What can be granted, as (offset, length); warm and cold ranges are never joined."""
        return sorted([*self._warm.ranges(), *self._cold.ranges()])

    def validate(self) -> None:
        """Check that every byte is in exactly one place and every sum is right; for tests."""
        grants = [(start, entry[0]) for owned in self._grants.values() for start, entry in owned.items()]
        blocks = [(block.offset, block.length) for block in self._blocks.values()]
        end = 0
        for start, length in sorted([*self.free_ranges(), *grants, *blocks]):
            assert start == end, f"bytes {end} to {start} are in no place, or in two"
            assert length > 0
            end = start + length
        assert end == self.size
        assert self.granted == sum(length for _, length in grants)
        assert self.used == sum(length for _, length in blocks)
        for offset, block in self._blocks.items():
            assert block.mappings == sum(counts.get(offset, 0) for counts in self._readers.values())
            assert not block.freed or block.is_used
        assert all(count > 0 for counts in self._readers.values() for count in counts.values())
        assert self._mapped == {
            reader: sum(self._blocks[offset].length for offset in counts) for reader, counts in self._readers.items()
        }

    def _settle(self, block: Block) -> None:
        if block.freed and not block.is_used:
            del self._blocks[block.offset]
            self.used -= block.length
            # Warm, since it was written to. How much may stay warm is the store's decision.
            self._warm.add(block.offset, block.length)

    def _find_grant(self, owner: str, offset: int, length: int) -> int | None:
        for start, (granted, _) in self._grants.get(owner, {}).items():  # few: a worker has one or two
            if start <= offset and offset + length <= start + granted:
                return start
        return None

    def _cut(self, owner: str, offset: int, length: int) -> bool:
        """Take a part out of a grant; what is left of it before and behind stays granted."""
        start = self._find_grant(owner, offset, length)
        if start is None or length <= 0:
            raise ValueError(f"{owner} was not granted bytes {offset} to {offset + length} of the arena.")
        owned = self._grants[owner]
        granted, is_warm = owned.pop(start)
        if start < offset:
            owned[start] = (offset - start, is_warm)
        if offset + length < start + granted:
            owned[offset + length] = (start + granted - offset - length, is_warm)
        # No empty dicts: workers come and go for days.
        if not owned:
            del self._grants[owner]
        self.granted -= length
        return is_warm
