"""The store keeps what it was given: in memory, on disk when memory is short, and never under somebody's mapping."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from himalia.comm.data.layout import PAGE, frame_offsets, range_length
from himalia.comm.data.mapping import ArenaReader, ArenaWriter
from himalia.errors import StartError, StoreDamagedError, StoreFullError
from himalia.messages.parts import HeldData
from himalia.names import Key
from himalia.nanny.store.store import SPARE, Store
from himalia.settings import MIB, Settings

LIMIT = 16 * MIB


class StoreStage:
    """A store with a worker that writes to it and a reader that maps it."""

    def __init__(self, directory: Path, limit: int = LIMIT, **options: Any) -> None:
        self.directory = directory
        self.store = Store(directory=str(directory), limit=limit, settings=Settings(), **options)
        self.writer = ArenaWriter(self.store.path)
        self.reader = ArenaReader(self.store.path)

    def put(self, key: str, data: bytes, attempt: int = 1) -> None:
        """Write a result of two frames, as a worker does."""
        frames = [data[: len(data) // 3], data[len(data) // 3 :]]
        offset, _ = self.store.grant("worker", range_length([len(frame) for frame in frames]))
        sizes = self.writer.write(offset, frames)
        assert self.store.adopt(Key(key), attempt, "worker", offset, sizes) == len(data)

    def read(self, key: str) -> bytes:
        """Read a result as a worker does, and report the mapping's end."""
        frames = self.reader.read(self.store.place(Key(key), "reader"))
        data = b"".join(frames)
        del frames
        self.report()
        return data

    def report(self) -> None:
        self.store.unmap("reader", [self.reader.unmapped.popleft() for _ in range(len(self.reader.unmapped))])

    def close(self) -> None:
        self.writer.close()
        self.reader.close()
        self.store.close()


@pytest.fixture(params=[True, False], ids=["memfd", "file"])
def stage(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StoreStage]:
    stage = StoreStage(tmp_path, anonymous=request.param)
    yield stage
    stage.store.validate()
    stage.close()
    assert list(tmp_path.iterdir()) == []


def data_of(seed: int, size: int = MIB) -> bytes:
    return seed.to_bytes(8, "little") * (size // 8)


def test_small_results_are_kept_as_they_are(stage: StoreStage) -> None:
    store = stage.store

    assert store.put_inline(Key("k"), 3, b"\x80value") == 6

    assert store.get(Key("k")) == HeldData(Key("k"), 3, 6)
    assert store.place(Key("k"), "reader").inline == b"\x80value"
    assert [bytes(view) for view in store.views(Key("k"))] == [b"\x80value"]
    assert store.nbytes == 6
    assert not store.free(Key("k"), 2)
    assert store.free(Key("k"), 3)
    assert (store.nbytes, len(store), store.get(Key("k"))) == (0, 0, None)


def test_what_a_worker_wrote_is_read_and_mapped_by_others(stage: StoreStage) -> None:
    stage.put("k", data_of(7))

    assert stage.read("k") == data_of(7)
    assert b"".join(stage.store.views(Key("k"))) == data_of(7)
    assert stage.store.nbytes == range_length([MIB // 3, MIB - MIB // 3])


def test_many_results_are_written_to_one_grant(stage: StoreStage) -> None:
    sizes = (50_000, 7)
    offset, length = stage.store.grant("worker", 10 * range_length(sizes))
    assert length == 10 * range_length(sizes)

    for index in range(8):
        stage.writer.write(offset, [bytes([index]) * 50_000, b"1234567"])
        stage.store.adopt(Key(f"k{index}"), 1, "worker", offset, sizes)
        offset += range_length(sizes)
    assert stage.store.granted == 2 * range_length(sizes)
    stage.store.hand_back("worker", [(offset, 2 * range_length(sizes))])

    assert stage.store.granted == 0
    assert [stage.read(f"k{index}") for index in range(8)] == [bytes([i]) * 50_000 + b"1234567" for i in range(8)]


def test_a_result_that_was_freed_stays_valid_for_who_maps_it(stage: StoreStage) -> None:
    stage.put("k", data_of(1))
    frames = stage.reader.read(stage.store.place(Key("k"), "reader"))
    stage.store.free(Key("k"), 1)

    for index in range(30):  # would fill all of the memory if the range were reused
        stage.put(f"other{index}", data_of(index))
    assert b"".join(frames) == data_of(1)

    used = stage.store.nbytes
    del frames
    stage.report()
    assert stage.store.nbytes == used - range_length([MIB // 3, MIB - MIB // 3])


def test_nobody_sees_what_another_writes_into_a_result(stage: StoreStage) -> None:
    stage.put("k", data_of(1))
    mine = stage.reader.read(stage.store.place(Key("k"), "reader"))
    mine[0][:4] = b"mine"

    assert stage.read("k") == data_of(1)
    assert bytes(mine[0][:4]) == b"mine"
    del mine
    stage.report()


def test_a_transfer_keeps_a_result_that_is_freed_meanwhile(stage: StoreStage) -> None:
    stage.put("k", data_of(1))
    pin = stage.store.pin(Key("k"))
    views = stage.store.views(Key("k"))
    stage.store.free(Key("k"), 1)
    stage.put("k", data_of(2), attempt=2)

    assert b"".join(views) == data_of(1)
    used = stage.store.nbytes
    stage.store.unpin(pin)
    assert stage.store.nbytes < used


def test_the_coldest_results_move_to_disk_and_come_back_equal(stage: StoreStage) -> None:
    for index in range(32):
        stage.put(f"k{index}", data_of(index))
        stage.store.validate()
        while stage.store.relieve():
            pass

    assert stage.store.nbytes <= 0.6 * LIMIT
    assert stage.store.nbytes + stage.store.spilled >= 32 * MIB
    for index in range(32):
        assert stage.read(f"k{index}") == data_of(index)
        stage.store.validate()
    assert stage.store.nbytes <= LIMIT


def test_what_moves_between_memory_and_disk_is_told_once(stage: StoreStage) -> None:
    for index in range(16):
        stage.put(f"k{index}", data_of(index))
    while stage.store.relieve():
        pass
    spilled = stage.store.moves.take()
    assert {move.kind for move in spilled} == {"spill"}
    assert sum(move.nbytes for move in spilled) >= stage.store.spilled > 0
    assert stage.store.moves.take() == []

    stage.read("k0")
    (back,) = [move for move in stage.store.moves.take() if move.kind == "unspill"]
    assert back.nbytes == MIB
    assert back.start >= spilled[-1].start


def test_what_was_used_last_stays_in_memory(stage: StoreStage) -> None:
    for index in range(9):
        stage.put(f"k{index}", data_of(index))
    stage.read("k0")
    stage.put("k9", data_of(9))

    stage.store.relieve()

    assert stage.store.spilled
    places = [held.block is not None for held in stage.store._held.values()]
    assert places[0]
    assert not places[1]


def test_small_results_move_to_disk_too(stage: StoreStage) -> None:
    for index in range(1000):
        stage.store.put_inline(Key(f"k{index}"), 1, b"\x80" + data_of(index, 32 * 1024))

    assert stage.store.nbytes <= LIMIT
    assert stage.store.spilled > 10 * MIB
    for index in range(1000):
        assert stage.store.place(Key(f"k{index}"), "reader").inline == b"\x80" + data_of(index, 32 * 1024)
    stage.store.validate()


def test_moving_a_large_result_is_done_in_steps(stage: StoreStage) -> None:
    stage.put("large", data_of(1, 15 * MIB))

    steps = 1
    while stage.store.relieve(MIB):
        steps += 1

    assert steps >= 1
    assert stage.read("large") == data_of(1, 15 * MIB)


def test_a_result_that_is_freed_or_mapped_while_it_moves_is_no_problem(tmp_path: Path) -> None:
    stage = StoreStage(tmp_path, 64 * MIB)
    for key in ("freed", "mapped"):
        stage.put(key, data_of(1, 30 * MIB))
        stage.put("warm", data_of(2, 10 * MIB))
        assert stage.store.relieve(MIB)
        if key == "freed":
            stage.store.free(Key(key), 1)
        else:
            place = stage.store.place(Key(key), "reader")
            while stage.store.relieve(MIB):
                pass
            assert b"".join(stage.reader.read(place)) == data_of(1, 30 * MIB)
        stage.store.validate()
        stage.report()
    stage.close()


def test_a_result_read_back_needs_no_second_writing(stage: StoreStage, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(14):
        stage.put(f"k{index}", data_of(index))
    stage.read("k0")
    written: list[int] = []
    monkeypatch.setattr(stage.store._overflow._disk, "write", lambda extent, data: written.append(extent.offset))
    for index in range(1, 14):
        stage.store.free(Key(f"k{index}"), 1)

    assert stage.store._overflow.spill(100 * MIB, 100 * MIB) is False

    assert stage.store.spilled == MIB
    assert written == []


def test_more_than_memory_and_disk_hold_is_an_error_with_numbers_that_loses_nothing(
    stage: StoreStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(extent: Any, data: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(stage.store._overflow._disk, "write", full)
    put = LIMIT // range_length([MIB // 3, MIB - MIB // 3])
    for index in range(put):
        stage.put(f"k{index}", data_of(index))
    with pytest.raises(StoreFullError, match=r"no room for 1,05.*No space left on device") as caught:
        stage.put("more", data_of(99))

    assert caught.value.needed == range_length([MIB // 3, MIB - MIB // 3])
    assert caught.value.available < caught.value.needed
    stage.store.validate()
    assert [stage.read(f"k{index}") for index in range(put)] == [data_of(index) for index in range(put)]

    monkeypatch.undo()  # the disk has room again
    stage.put("more", data_of(99))
    assert stage.store.disk_error == ""
    assert stage.read("more") == data_of(99)


def test_a_full_disk_is_noticed_before_it_is_written_to(stage: StoreStage, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        f_bavail = 1000
        f_frsize = 4096

    monkeypatch.setattr(os, "statvfs", lambda _: Full())
    for index in range(15):
        stage.put(f"k{index}", data_of(index))

    with pytest.raises(StoreFullError, match="No space left on device"):
        stage.put("more", data_of(99))


def test_a_value_larger_than_the_store_is_refused_without_moving_anything(stage: StoreStage) -> None:
    stage.put("k", data_of(1))

    with pytest.raises(StoreFullError):
        stage.store.grant("worker", LIMIT + 1)

    assert stage.store.spilled == 0


def test_results_in_use_are_never_moved(stage: StoreStage) -> None:
    places = []
    for index in range(12):
        stage.put(f"k{index}", data_of(index))
        places.append(stage.store.place(Key(f"k{index}"), "reader"))

    stage.store.relieve(100 * MIB)

    assert stage.store.spilled == 0
    with pytest.raises(StoreFullError, match="in use"):
        stage.store.grant("worker", 8 * MIB)
    assert [b"".join(stage.reader.read(place)) for place in places] == [data_of(index) for index in range(12)]
    stage.report()


@pytest.mark.parametrize("damage", ["flip", "truncate", "error"])
@pytest.mark.parametrize("inline", [False, True])
def test_a_damaged_copy_is_an_error_with_the_key_and_not_garbage(
    stage: StoreStage, damage: str, inline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if inline:
        stage.store.put_inline(Key("k"), 5, b"\x80" + data_of(1, 20_000))
    else:
        stage.put("k", data_of(1), attempt=5)
    stage.store._overflow.spill(LIMIT, LIMIT)
    assert stage.store.nbytes == 0
    file = stage.store._overflow._disk._file
    if damage == "flip":
        os.pwrite(file, b"?", 1000)
    elif damage == "truncate":
        os.ftruncate(file, 0)
    else:
        monkeypatch.setattr(os, "preadv", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))

    with pytest.raises(StoreDamagedError, match="not what was written") as caught:
        stage.store.place(Key("k"), "reader")

    assert (caught.value.key, caught.value.attempt) == ("k", 5)
    assert stage.store.get(Key("k")) is None
    assert (stage.store.nbytes, stage.store.spilled, stage.store.granted) == (0, 0, 0)


def test_the_death_of_a_worker_frees_its_grants_and_mappings_only(stage: StoreStage) -> None:
    stage.put("k", data_of(1))
    stage.store.grant("worker", 3 * MIB)
    stage.store.place(Key("k"), "worker")
    stage.store.place(Key("k"), "other")

    stage.store.release_owner("worker")
    stage.store.free(Key("k"), 1)

    assert stage.store.granted == 0
    assert stage.store.nbytes > 0
    stage.store.release_owner("other")
    assert stage.store.nbytes == 0


def test_a_result_that_is_stored_again_is_there_once(stage: StoreStage) -> None:
    stage.put("k", data_of(1), attempt=1)
    stage.put("k", data_of(1), attempt=1)
    assert stage.read("k") == data_of(1)

    stage.store.put_inline(Key("k"), 1, b"\x80")
    assert stage.store.nbytes == 1
    assert [*stage.store.inventory()] == [HeldData(Key("k"), 1, 1)]


def test_who_needs_an_attempt_gets_no_other_value_of_its_key(stage: StoreStage) -> None:
    stage.put("k", data_of(1), attempt=-7)
    stage.put("k", data_of(2), attempt=2)
    stage.store.put_inline(Key("k"), -9, b"\x80placed")

    def read(needed: int) -> object:
        pin = stage.store.pin(Key("k"), needed)
        found = b"".join(stage.store.views(Key("k"), needed))
        stage.store.unpin(pin)
        held = stage.store.get(Key("k"), needed)
        assert held is not None
        return held.attempt, found

    assert read(-9) == (-9, b"\x80placed")
    assert read(2) == read(1) == (2, data_of(2))
    assert read(-7) == (-7, data_of(1))
    for needed in (3, -8):
        assert stage.store.get(Key("k"), needed) is None
        with pytest.raises(KeyError):
            stage.store.place(Key("k"), "reader", needed)


@pytest.mark.parametrize("freed", [1, 2])
def test_a_value_placed_in_front_of_another_leaves_it_there(stage: StoreStage, freed: int) -> None:
    stage.put("k", data_of(1), attempt=1)
    stage.store.put_inline(Key("k"), 2, b"\x80placed")
    assert stage.read("k") == b"\x80placed"
    assert {held.attempt for held in stage.store.inventory()} == {1, 2}
    stage.store.validate()

    assert stage.store.free(Key("k"), freed)

    assert stage.read("k") == (data_of(1) if freed == 2 else b"\x80placed")
    assert not stage.store.free(Key("k"), freed)
    assert stage.store.free(Key("k"), 3 - freed)
    assert (stage.store.nbytes, len(stage.store)) == (0, 0)


def test_pages_beyond_what_is_worth_keeping_go_back_to_the_system(tmp_path: Path) -> None:
    stage = StoreStage(tmp_path, 64 * MIB)
    for index in range(30):
        stage.put(f"k{index}", data_of(index))
    assert stage.store._arena.resident() >= 30 * MIB

    for index in range(30):
        stage.store.free(Key(f"k{index}"), 1)
    assert MIB <= stage.store._arena.resident() <= 16 * MIB
    stage.close()


def test_pages_that_were_not_needed_for_some_time_go_back_to_the_system(tmp_path: Path) -> None:
    now = 1000.0
    stage = StoreStage(tmp_path, 2048 * MIB, clock=lambda: now)
    for index in range(20):
        stage.put(f"k{index}", data_of(index, 16 * MIB))
    stage.store.ease()
    for index in range(20):
        stage.store.free(Key(f"k{index}"), 1)
    for _ in range(20):
        stage.store.ease()
    assert stage.store._arena.resident() >= 320 * MIB, "the next cell may need as much"
    for _ in range(3000):
        now += 0.1
        stage.store.ease()
    assert stage.store._arena.resident() <= SPARE + MIB
    stage.close()


def test_results_of_many_lengths_take_little_more_than_what_is_held(tmp_path: Path) -> None:
    """As of ``map_overlap``: blocks and slices, of which the oldest go."""
    stage = StoreStage(tmp_path, 2048 * MIB)
    random, held, most = Random(0), deque[Key](), 0
    offset = left = 0
    for index in range(3000):
        length = random.choice((2000 * 1024, 300 * 1024, 40 * 1024))
        if length > left:
            if left:
                stage.store.hand_back("worker", [(offset, left)])
            offset, left = stage.store.grant("worker", stage.store.ahead(length, 8 * MIB))
        size = length - 100
        used = range_length((size,))
        stage.store.adopt(Key(f"k{index}"), 1, "worker", offset, (size,))
        most = max(most, stage.store.nbytes)
        offset, left = offset + used, left - used
        held.append(Key(f"k{index}"))
        while len(held) > 150 or (len(held) > 100 and random.random() < 0.5):
            held.rotate(random.randrange(20))
            stage.store.free(held.popleft(), 1)
    taken = stage.store.nbytes + stage.store.granted + stage.store._ledger.warm
    assert most < taken < 1.4 * most, "it was 2.2 times when each grant was of 8 MiB"
    stage.close()


def test_no_more_pages_are_held_than_the_limit(tmp_path: Path) -> None:
    stage = StoreStage(tmp_path, LIMIT)
    for index in range(60):
        stage.put(f"k{index}", data_of(index, (1 + index % 5) * MIB))
        assert stage.store._arena.resident() <= LIMIT
        if index % 3 == 0:
            stage.store.free(Key(f"k{index}"), 1)
    stage.close()


def test_the_arena_is_private_to_the_user(tmp_path: Path) -> None:
    stage = StoreStage(tmp_path, anonymous=False)

    assert os.stat(stage.store.path).st_mode & 0o777 == 0o600
    with pytest.raises(StartError, match="can't create"):
        Store(directory=str(tmp_path), limit=LIMIT, settings=Settings(), anonymous=False)
    stage.close()


def test_closing_leaves_mapped_results_valid(tmp_path: Path) -> None:
    stage = StoreStage(tmp_path)
    stage.put("k", data_of(1))
    frames = stage.reader.read(stage.store.place(Key("k"), "reader"))

    stage.close()
    stage.store.close()

    assert b"".join(frames) == data_of(1)


frames_strategy = st.lists(st.integers(0, 3 * PAGE), min_size=1, max_size=5)


@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "inline", "read", "free", "relieve", "hold", "drop"]),
            st.integers(0, 9),
            frames_strategy,
        ),
        max_size=60,
    )
)
def test_whatever_happens_a_result_reads_as_it_was_written(
    tmp_path: Path, steps: list[tuple[str, int, list[int]]]
) -> None:
    stage = StoreStage(tmp_path, 30 * PAGE)
    store = stage.store
    written: dict[Key, list[list[bytes]]] = {}  # of each attempt that wasn't freed, the newest last
    mapped: list[tuple[list[bytes], list[memoryview]]] = []
    for number, (step, index, sizes) in enumerate(steps):
        key = Key(f"k{index}")
        if step == "put":
            frames = [bytes([(number + at) % 256]) * size for at, size in enumerate(sizes)]
            try:
                offset, _ = store.grant("w", range_length(sizes))
            except StoreFullError:
                continue
            store.adopt(key, number, "w", offset, stage.writer.write(offset, frames))
            written.setdefault(key, []).append(frames)
        elif step == "inline":
            store.put_inline(key, number, b"\x80" + bytes([number % 256]) * sum(sizes))
            written.setdefault(key, []).append([b"\x80" + bytes([number % 256]) * sum(sizes)])
        elif step in ("read", "hold") and key in written:
            try:
                found = stage.reader.read(store.place(key, "reader"))
            except StoreFullError:
                continue
            assert [bytes(frame) for frame in found] == written[key][-1]
            if step == "hold":
                mapped.append((written[key][-1], found))
            del found
        elif step == "free" and (held := store.get(key)) is not None:
            assert store.free(key, held.attempt)
            written[key].pop()
            if not written[key]:
                del written[key]
        elif step == "relieve":
            store.relieve()
        elif step == "drop" and mapped:
            mapped.pop(index % len(mapped))
        stage.report()
        store.validate()
        for expected, found in mapped:
            assert [bytes(frame) for frame in found] == expected
    assert {held.key for held in store.inventory()} == set(written)
    del mapped
    stage.close()


@given(st.lists(st.integers(0, 10_000), max_size=20))
def test_frames_are_aligned_in_order_and_do_not_overlap(sizes: list[int]) -> None:
    offsets, total = frame_offsets(sizes)

    end = 0
    for offset, size in zip(offsets, sizes, strict=True):
        assert offset % 64 == 0
        assert end <= offset < end + 64
        end = offset + size
    assert total == end
    assert range_length(sizes) % PAGE == 0
    assert range_length(sizes) >= max(total, 1)
