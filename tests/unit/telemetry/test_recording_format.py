from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest

from himalia.errors import RecordingError, UsageError
from himalia.follow.recording_file import RecordingFile
from himalia.messages.answers import ClusterInfo, HostView, ProfileSamples
from himalia.messages.client import Telemetry
from himalia.messages.parts import Timing
from himalia.messages.telemetry import GroupSummary, HostMetrics, LogLine, SchedulerStatus, TaskRecord
from himalia.names import HostId, Key, PeerId
from himalia.telemetry.recording_format import (
    MAGIC,
    Packer,
    RecordedBlock,
    RecordedFrame,
    Recording,
    begin,
    choose_cut,
    new_header,
)
from himalia.telemetry.snapshot import Snapshot


def record(number: int) -> TaskRecord:
    timing = Timing(1000.0 + number, 0.1, 0.5, 0.1)
    return TaskRecord(Key(f"inc-{number:016x}"), "inc", HostId(PeerId("h")), "w-0", "ok", timing, 28)


def push(time: float, count: int = 1, total: int = 0) -> Telemetry:
    block = msgspec.msgpack.encode([record(number) for number in range(count)])
    group = GroupSummary("inc", "c", finished=total)
    return Telemetry(time, [group], [], 0, {"h": HostMetrics(cpu=0.5)}, [block], status=SchedulerStatus(total=total))


def write(path: Path, blocks: int = 3, limit: int = 10**6, base_every: int = 1) -> RecordingFile:
    file = RecordingFile(path, new_header("moons", now=1000.0), limit)
    fill(file, blocks, base_every)
    return file


def fill(file: RecordingFile, blocks: int, base_every: int = 1) -> None:
    packer = Packer()
    for number in range(blocks):
        if number % base_every == 0:
            packer.add(1000.0 + number, "base", push(1000.0 + number, 0, number))
        packer.add(1000.5 + number, "telemetry", push(1000.5 + number, 5, number), records=5)
        file.write(packer)


def read(path: Path) -> Recording:
    return Recording(path.read_bytes(), path.name)


def told(recording: Recording) -> list[tuple[float, str]]:
    return [(frame.time, frame.kind) for frame in recording.frames()]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    file = write(tmp_path / "run.himalia")
    file.close()
    recording = read(file.path)
    assert recording.header.cluster == "moons"
    assert (recording.started, recording.ended, recording.torn) == (1000.0, 1002.5, False)
    assert [block.records for block in recording.blocks] == [5, 5, 5]
    frames = list(recording.frames())
    assert frames[1].telemetry() == push(1000.5, 5, 0)
    assert told(recording)[:2] == [(1000.0, "base"), (1000.5, "telemetry")]


def test_every_kind_of_frame_comes_back_as_it_was() -> None:
    packer = Packer()
    lines = {"w-0": [LogLine(1.0, "stdout", "hello", "inc-1")]}
    info = ClusterInfo(hosts={HostId(PeerId("h")): HostView("tcp://h", "one")})
    samples = ProfileSamples({"w-0": [(1.0, "main (a.py:1)", 3)]}, {"tcp://h": "no py-spy"})
    packer.add(1.0, "logs", lines)
    packer.add(2.0, "info", info)
    packer.add(3.0, "profile", samples)
    packer.add(4.0, "end", "it was stopped")
    start = begin(new_header("moons", now=0.0))
    made = packer.take(len(start))
    assert made is not None
    first, second, third, last = Recording(start + made[1]).frames()
    assert first.logs() == lines
    assert second.info() == info
    assert third.profile() == samples
    assert last.reason() == "it was stopped"


def test_a_file_cut_off_at_any_byte_is_read_up_to_its_last_whole_block(tmp_path: Path) -> None:
    file = write(tmp_path / "run.himalia", blocks=2)
    file.close()
    whole = file.path.read_bytes()
    ends = [block.offset + block.size for block in Recording(whole).blocks]
    header = len(begin(new_header("moons", now=1000.0)))
    for length in range(header, len(whole)):
        recording = Recording(whole[:length])
        assert len(recording.blocks) == sum(end <= length for end in ends)
        assert recording.torn == (length not in (header, *ends))
        list(recording.frames())


def test_a_damaged_block_ends_the_recording_before_it(tmp_path: Path) -> None:
    file = write(tmp_path / "run.himalia")
    file.close()
    whole = bytearray(file.path.read_bytes())
    second = Recording(bytes(whole)).blocks[1]
    for at in (second.offset + 8, second.offset + second.size - 1):
        damaged = whole.copy()
        damaged[at] ^= 0xFF
        recording = Recording(bytes(damaged))
        assert len(recording.blocks) == 1
        assert recording.torn


@pytest.mark.parametrize("content", [b"", b"himalia", b"PK\x03\x04" * 100, b"\x00" * 1000])
def test_something_else_is_not_a_recording(content: bytes) -> None:
    with pytest.raises(RecordingError, match=r"x\.himalia is not a recording"):
        Recording(content, "x.himalia")


def test_a_file_that_ends_in_its_header_says_so() -> None:
    whole = begin(new_header("moons", now=0.0))
    for length in range(len(MAGIC), len(whole)):
        with pytest.raises(RecordingError, match="ends before its header"):
            Recording(whole[:length], "x.himalia")


@pytest.mark.parametrize("change", [{"format": 99}, {"protocol": 1}, {"format": 1}])
def test_a_recording_of_another_version_says_which_one_reads_it(change: dict[str, Any]) -> None:
    header = msgspec.structs.replace(new_header("moons", now=0.0), himalia="9.9", **change)
    with pytest.raises(RecordingError, match=r"recorded by himalia 9\.9.*pip install 'himalia==9\.9'"):
        Recording(begin(header), "x.himalia")


def test_a_length_that_lies_is_noticed_without_reading_it() -> None:
    whole = begin(new_header("moons", now=0.0))
    recording = Recording(whole + struct.pack("<IIddIB", 2**32 - 1, 0, 0.0, 0.0, 0, 0))
    assert recording.torn
    assert recording.blocks == []


def test_the_limit_is_kept_by_dropping_what_is_oldest(tmp_path: Path) -> None:
    path = tmp_path / "run.himalia"
    file = write(path, blocks=200, limit=20_000, base_every=5)
    file.close()
    recording = read(path)
    assert path.stat().st_size == file.nbytes <= 20_000
    assert not recording.torn
    assert recording.blocks[0].starts
    assert recording.ended == 1199.5
    assert recording.started > 1000.0
    times = [time for time, _ in told(recording)]
    assert times == sorted(times)
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_larger_than_the_limit_leaves_only_itself(tmp_path: Path) -> None:
    file = RecordingFile(tmp_path / "run.himalia", new_header("moons", now=0.0), 500)
    packer = Packer()
    for number in range(3):
        packer.add(float(number), "base", push(float(number), 200))
        file.write(packer)
    file.close()
    assert [block.first for block in read(file.path).blocks] == [2.0]


def test_reading_begins_where_everything_is_said() -> None:
    blocks = [RecordedBlock(0, 10, 0.0, 0.0, 0, starts) for starts in (True, False, True, False, True, False)]
    assert choose_cut(blocks, 60) == 0
    assert choose_cut(blocks, 59) == 2
    assert choose_cut(blocks, 20) == 4
    assert choose_cut(blocks, 10) == 6


def test_a_file_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "thesis.txt"
    path.write_text("years of work")
    with pytest.raises(UsageError, match="is not a recording; give another name"):
        RecordingFile(path, new_header("moons", now=0.0), 10**6)
    assert path.read_text() == "years of work"


def test_an_older_recording_is_replaced(tmp_path: Path) -> None:
    write(tmp_path / "run.himalia", blocks=5).close()
    write(tmp_path / "run.himalia", blocks=1).close()
    assert len(read(tmp_path / "run.himalia").blocks) == 1


@pytest.mark.parametrize("name", ["run.himalia.part", "run.himalia"])
def test_a_link_that_is_put_in_the_way_of_a_recording_gets_nothing(tmp_path: Path, name: str) -> None:
    precious, link = tmp_path / "precious", tmp_path / name
    precious.write_text("years of work")
    file = write(tmp_path / "run.himalia", blocks=1, limit=20_000)
    link.unlink(missing_ok=True)
    link.symlink_to(precious)
    fill(file, 200)
    file.close()
    assert precious.read_text() == "years of work"
    assert not file.path.is_symlink()
    assert not read(file.path).torn


def test_a_place_that_can_t_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="can't be written: No such file or directory"):
        RecordingFile(tmp_path / "nowhere" / "run.himalia", new_header("moons", now=0.0), 10**6)


def test_pushes_add_up_to_one_that_says_everything() -> None:
    snapshot = Snapshot()
    snapshot.take(Telemetry(1.0, [GroupSummary("inc", "a", finished=1)], [], 0, {"h": HostMetrics(cpu=0.1)}))
    snapshot.take(Telemetry(2.0, [GroupSummary("inc", "b")], [record(1)], 0, {"g": HostMetrics()}))
    snapshot.take(Telemetry(3.0, [GroupSummary("inc", "a", finished=2)], [], 0, {"h": HostMetrics(cpu=0.3)}))
    snapshot.take_info(ClusterInfo(hosts={HostId(PeerId("h")): HostView("")}))
    told = snapshot.telemetry()
    assert told.groups == [GroupSummary("inc", "a", finished=2), GroupSummary("inc", "b")]
    assert told.hosts == {"h": HostMetrics(cpu=0.3)}
    assert told.records == []


def test_a_frame_is_three_fields_on_the_wire() -> None:
    packed = msgspec.msgpack.encode(RecordedFrame(1.0, "end", msgspec.Raw(msgspec.msgpack.encode("it was stopped"))))
    assert msgspec.msgpack.decode(packed) == [1.0, "end", "it was stopped"]
