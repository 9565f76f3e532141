"""Ranges of the arena are read without being shared, and their end is reported exactly once for each reading."""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from himalia import serialize
from himalia.comm.data.layout import PAGE, frame_offsets, range_length
from himalia.comm.data.mapping import ArenaReader, ArenaWriter
from himalia.comm.data.presence import is_present
from himalia.errors import ClosedError
from himalia.messages.worker import Place

COPY_LIMIT = 10_000


class ArenaStage:
    """An arena, without the store that would keep its books."""

    def __init__(self) -> None:
        self.file = os.memfd_create("test", os.MFD_CLOEXEC)
        os.ftruncate(self.file, 1 << 30)
        self.path = f"/proc/{os.getpid()}/fd/{self.file}"
        self.writer = ArenaWriter(self.path)
        self.reader = ArenaReader(self.path, copy_limit=COPY_LIMIT)

    def put(self, offset: int, *frames: serialize.Buffer) -> Place:
        return Place(None, offset, self.writer.write(offset, frames))


@pytest.fixture
def arena() -> Iterator[ArenaStage]:
    if not hasattr(os, "memfd_create"):
        pytest.skip("needs memfd_create, which Linux has")
    stage = ArenaStage()
    yield stage
    stage.writer.close()
    stage.reader.close()
    os.close(stage.file)


@pytest.mark.parametrize("size", [1, COPY_LIMIT - 1, COPY_LIMIT, COPY_LIMIT + 1, 300_000])
def test_frames_are_read_as_they_were_written_and_are_writable(arena: ArenaStage, size: int) -> None:
    frames = [b"pickle", bytes(range(256)) * (size // 256) + b"x" * (size % 256), b""]

    found = arena.reader.read(arena.put(5 * PAGE, *frames))

    assert [bytes(frame) for frame in found] == frames
    found[1][0] = 77
    assert arena.reader.read(Place(None, 5 * PAGE, tuple(map(len, frames))))[1][:1] == frames[1][:1]


def test_a_small_range_is_copied_and_reported_at_once(arena: ArenaStage) -> None:
    found = arena.reader.read(arena.put(PAGE, b"x" * 1000))

    assert [*arena.reader.unmapped] == [PAGE]
    arena.put(PAGE, b"y" * 1000)
    assert bytes(found[0]) == b"x" * 1000


def test_a_large_range_is_reported_when_the_last_array_that_views_it_is_gone(arena: ArenaStage) -> None:
    array = np.arange(100_000.0)
    place = arena.put(3 * PAGE, *serialize.dumps([array, "x"]))

    found = serialize.loads(arena.reader.read(place))
    part = found[0][10:20]
    assert not found[0].flags.owndata
    del found
    assert [*arena.reader.unmapped] == []
    part[:] = 0
    del part

    assert [*arena.reader.unmapped] == [3 * PAGE]
    assert arena.reader.reads == 1


def test_each_reading_is_a_mapping_of_its_own(arena: ArenaStage) -> None:
    place = arena.put(PAGE, b"x" * 50_000)

    one, two = arena.reader.read(place), arena.reader.read(place)
    one[0][:3] = b"one"

    assert bytes(two[0][:3]) == b"xxx"
    del one, two
    assert [*arena.reader.unmapped] == [PAGE, PAGE]


def test_arrays_in_a_cycle_are_reported_by_the_collector(arena: ArenaStage) -> None:
    value: list[object] = [arena.reader.read(arena.put(PAGE, b"x" * 50_000))]
    value.append(value)
    del value

    gc.collect()

    assert [*arena.reader.unmapped] == [PAGE]


def test_inline_places_need_no_arena(arena: ArenaStage) -> None:
    frames = arena.reader.read(Place(serialize.pack([b"\x80a", b"b"])))

    assert [bytes(frame) for frame in frames] == [b"\x80a", b"b"]
    assert arena.reader.reads == 0


def test_arrays_outlive_the_reader(arena: ArenaStage) -> None:
    found = arena.reader.read(arena.put(PAGE, b"x" * 50_000))
    arena.reader.close()

    assert bytes(found[0]) == b"x" * 50_000
    del found
    assert [*arena.reader.unmapped] == [PAGE]


def test_more_mappings_than_open_files_are_allowed_work(arena: ArenaStage) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    place = arena.put(0, b"x" * 20_000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        found = [arena.reader.read(place) for _ in range(500)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert all(bytes(frames[0]) == b"x" * 20_000 for frames in found)
    del found
    assert len(arena.reader.unmapped) == 500


def test_where_nothing_can_be_mapped_ranges_are_copied(arena: ArenaStage, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no more mappings")

    monkeypatch.setattr("himalia.comm.data.mapping._new_mapping", refuse)
    place = arena.put(PAGE, b"x" * 50_000)

    assert bytes(arena.reader.read(place)[0]) == b"x" * 50_000
    assert [*arena.reader.unmapped] == [PAGE]


def test_an_arena_that_is_gone_is_an_os_error() -> None:
    with pytest.raises(OSError, match="No such file"):
        ArenaReader(f"/proc/{os.getpid()}/fd/999999")


def test_mappings_are_read_and_dropped_from_several_threads(arena: ArenaStage) -> None:
    places = [arena.put(at * range_length([50_000]), bytes([at]) * 50_000) for at in range(10)]
    wrong: list[int] = []

    def read(seed: int) -> None:
        for step in range(200):
            at = (seed * 7 + step) % 10
            if bytes(arena.reader.read(places[at])[0]) != bytes([at]) * 50_000:
                wrong.append(at)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert len(arena.reader.unmapped) == 800


def test_writing_goes_where_the_offsets_say(arena: ArenaStage) -> None:
    frames: list[serialize.Buffer] = [b"a" * 100, bytearray(b"b" * 1), memoryview(b"c" * 200)]

    sizes = arena.writer.write(PAGE, frames)

    offsets, _ = frame_offsets(sizes)
    assert offsets == [0, 128, 192]
    assert os.pread(arena.file, 392, PAGE) == b"a" * 100 + bytes(28) + b"b" + bytes(63) + b"c" * 200


READER = """
import sys, time
from himalia.comm.data.mapping import ArenaReader
from himalia.messages.worker import Place
reader = ArenaReader(sys.argv[1], reader="client-1", copy_limit=10)
found = reader.read(Place(None, 0, (50_000,)))
reader.close()
print("mapped", flush=True)
sys.stdin.readline()
del found
print("unmapped", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("end", ["unmap", "kill"])
def test_the_kernel_knows_how_long_a_process_maps_something(arena: ArenaStage, end: str) -> None:
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", READER, arena.path], stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == b"mapped\n"
        assert is_present(arena.file, "client-1")
        assert not is_present(arena.file, "client-2")
        if end == "unmap":
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"unmapped\n"
            assert not is_present(arena.file, "client-1")
        process.kill()
    deadline = time.monotonic() + 5
    while is_present(arena.file, "client-1") and time.monotonic() < deadline:
        pass
    assert not is_present(arena.file, "client-1")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_range_that_a_forked_child_may_still_see_is_never_reported_as_gone(arena: ArenaStage) -> None:
    size = 2 * COPY_LIMIT
    old = arena.reader.read(arena.put(0, bytes(size)))
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    new = arena.reader.read(arena.put(10 * PAGE, bytes(size)))
    del old, new
    gc.collect()
    assert list(arena.reader.unmapped) == [10 * PAGE]


def test_an_arena_that_is_closed_while_something_is_written_stays_open_until_then(
    arena: ArenaStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    pwrite, raised = os.pwrite, []

    def slow_pwrite(file: int, data: bytes, offset: int) -> int:
        begun.set()
        assert go_on.wait(10)
        return pwrite(file, data[:10], offset)

    def write() -> None:
        try:
            arena.writer.write(0, [b"x" * 100])
        except ClosedError as error:
            raised.append(error)

    monkeypatch.setattr("himalia.comm.data.mapping.os.pwrite", slow_pwrite)
    thread = threading.Thread(target=write)
    thread.start()
    assert begun.wait(10)
    arena.writer.close()
    other = os.memfd_create("somebody's", os.MFD_CLOEXEC)  # would get the number, and the bytes, of a file closed now
    go_on.set()
    thread.join()

    assert os.fstat(other).st_size == 0
    os.close(other)
    assert raised
    assert os.pread(arena.file, 20, 0) == b"x" * 10 + bytes(10)
