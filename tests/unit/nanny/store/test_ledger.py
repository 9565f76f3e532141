"""The ledger never gives a byte to two, and never reuses one that somebody still maps."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from himalia.nanny.store.ledger import Block, Ledger
from himalia.nanny.store.ranges import FreeRanges

SIZE = 64
"""Pages of the arena: small, so that it fills up and fragments."""

owners = st.sampled_from(["worker-0", "worker-1", "client"])
lengths = st.integers(1, 12)


class LedgerModel(RuleBasedStateMachine):
    """Drives a ledger of one-byte pages beside a plain list that says what each page is used for."""

    grants = Bundle("grants")
    blocks = Bundle("blocks")

    @initialize()
    def begin(self) -> None:
        self.ledger = Ledger(SIZE)
        self.mapped: dict[tuple[str, int], int] = {}  # reader, offset -> count
        self.live: dict[int, Block] = {}
        self.held: dict[tuple[str, int], int] = {}  # owner, offset -> length
        self.freed: set[int] = set()

    def is_mapped(self, offset: int) -> bool:
        return any(count for (_, at), count in self.mapped.items() if at == offset)

    @rule(target=grants, owner=owners, length=lengths)
    def grant(self, owner: str, length: int) -> object:
        offset = self.ledger.grant(owner, length)
        if offset is None:
            assert all(free < length for _, free in self.ledger.free_ranges())
            return multiple()
        self.held[owner, offset] = length
        for block in self.live.values():
            assert offset + length <= block.offset or block.offset + block.length <= offset
        return owner, offset

    @rule(target=blocks, grant=consumes(grants), keep=st.integers(0, 3))
    def adopt(self, grant: tuple[str, int], keep: int) -> object:
        owner, offset = grant
        length = self.held.pop(grant, 0)
        if not length:
            return multiple()
        used = max(length - keep, 1)
        block = self.ledger.adopt(owner, offset, used)
        if used < length:
            self.ledger.hand_back(owner, offset + used, length - used)
        self.live[block.offset] = block
        return block

    @rule(grant=consumes(grants))
    def hand_back(self, grant: tuple[str, int]) -> None:
        owner, offset = grant
        length = self.held.pop(grant, 0)
        if length:
            self.ledger.hand_back(owner, offset, length)

    @rule(owner=owners)
    def release_owner(self, owner: str) -> None:
        self.ledger.release_owner(owner)
        self.held = {grant: length for grant, length in self.held.items() if grant[0] != owner}
        self.mapped = {mapping: count for mapping, count in self.mapped.items() if mapping[0] != owner}
        self.forget_unused()

    @rule(block=blocks, reader=owners)
    def map(self, block: Block, reader: str) -> None:
        if self.live.get(block.offset) is block and not block.freed:
            self.ledger.map(block, reader)
            self.mapped[reader, block.offset] = self.mapped.get((reader, block.offset), 0) + 1

    @rule(reader=owners, offset=st.integers(0, SIZE - 1))
    def unmap(self, reader: str, offset: int) -> None:
        self.ledger.unmap(reader, offset)
        if self.mapped.get((reader, offset), 0):
            self.mapped[reader, offset] -= 1
        self.forget_unused()

    @rule(block=blocks)
    def free(self, block: Block) -> None:
        if self.live.get(block.offset) is block and not block.freed:
            self.ledger.free(block)
            self.forget_unused()

    @rule(limit=st.integers(1, SIZE))
    def cool(self, limit: int) -> None:
        warm = self.ledger.warm
        found = self.ledger.cool(limit)
        assert (found is None) == (warm == 0)
        if found is not None:
            assert found[1] <= limit
            assert self.ledger.warm == warm - found[1]

    def forget_unused(self) -> None:
        self.live = {at: block for at, block in self.live.items() if not block.freed or self.is_mapped(at)}

    @invariant()
    def the_books_agree(self) -> None:
        if not hasattr(self, "ledger"):
            return
        self.ledger.validate()
        assert self.ledger.used == sum(block.length for block in self.live.values())
        assert self.ledger.granted == sum(self.held.values())


TestLedger = LedgerModel.TestCase
TestLedger.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_a_freed_block_is_reused_only_after_its_last_mapping() -> None:
    ledger = Ledger(4)
    assert ledger.grant("w", 4) == 0
    block = ledger.adopt("w", 0, 4)
    ledger.map(block, "reader")
    ledger.map(block, "reader")
    ledger.free(block)

    assert ledger.grant("w", 1) is None
    ledger.unmap("reader", 0)
    assert ledger.grant("w", 1) is None
    ledger.unmap("reader", 0)
    assert ledger.grant("w", 1) == 0


def test_the_death_of_a_reader_ends_its_mappings() -> None:
    ledger = Ledger(4)
    ledger.grant("w", 4)
    block = ledger.adopt("w", 0, 4)
    ledger.map(block, "reader")
    ledger.map(block, "other")
    ledger.free(block)

    ledger.release_owner("reader")
    assert ledger.grant("w", 1) is None
    ledger.release_owner("other")
    assert ledger.grant("w", 4) == 0


def test_warm_ranges_are_used_first_and_the_best_fit_of_them() -> None:
    ledger = Ledger(100)
    blocks = [ledger.adopt("w", ledger.grant("w", length) or 0, length) for length in (5, 1, 3, 1, 4, 1)]
    for index in (0, 2, 4):
        ledger.free(blocks[index])

    assert ledger.grant("w", 3) == blocks[2].offset
    assert ledger.grant("w", 3) == blocks[4].offset
    assert ledger.grant("w", 6) == 15


def test_what_was_granted_fresh_and_never_written_is_not_counted_as_warm() -> None:
    ledger = Ledger(10)
    ledger.grant("w", 10)
    ledger.hand_back("w", 4, 6)
    assert ledger.warm == 0

    ledger.release_owner("w")
    assert ledger.warm == 4


@pytest.mark.parametrize(("owner", "offset", "length"), [("x", 2, 1), ("w", 1, 2), ("w", 2, 5), ("w", 3, 0)])
def test_nobody_adopts_what_was_not_granted_to_them(owner: str, offset: int, length: int) -> None:
    ledger = Ledger(10)
    ledger.grant("other", 2)
    ledger.grant("w", 4)

    with pytest.raises(ValueError, match="was not granted"):
        ledger.adopt(owner, offset, length)
    ledger.validate()


def test_free_neighbours_become_one_range() -> None:
    free = FreeRanges()
    for offset in (0, 20, 10, 40):
        free.add(offset, 10)

    assert free.ranges() == [(0, 30), (40, 10)]
    assert free.take(25) == 0
    assert free.take(8) == 40
    assert free.take_largest(3) == (27, 3)
    assert free.ranges() == [(25, 2), (48, 2)]
    assert free.total == 4
