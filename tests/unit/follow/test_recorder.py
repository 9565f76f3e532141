from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

if TYPE_CHECKING:
    from himalia.follow.thread_feed import ThreadFeed
from himalia.errors import ClosedError, RecordingError, UsageError
from himalia.follow.recorder import Recorder
from himalia.follow.recording_contents import length_of_array, newest_lines
from himalia.messages.answers import ClusterInfo, HostView, ProcessLogs, ProfileSamples, TelemetryReport
from himalia.messages.client import Telemetry
from himalia.messages.parts import Timing
from himalia.messages.telemetry import LogLine, SchedulerStatus, TaskRecord
from himalia.names import HostId, Key, PeerId
from himalia.telemetry.recording_format import Recording

Question = Callable[[Any], Coroutine[Any, Any, Any]]


def record(number: int) -> TaskRecord:
    timing = Timing(time.time() - 100 + number, 0.0, 0.5, 0.0)
    return TaskRecord(Key(f"inc-{number}"), "inc", HostId(PeerId("h")), "w-0", "ok", timing, 28)


def push(first: int, end: int) -> Telemetry:
    """Return a push that tells of the calls from ``first`` up to ``end``."""
    block = msgspec.msgpack.encode([record(number) for number in range(first, end)])
    return Telemetry(time.time(), [], [], 0, {}, [block], status=SchedulerStatus(total=end))


class FakeFeed:
    """A feed of a scheduler that remembers the calls 0 to 4, and answers when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Question, Any]] = []
        self.is_gone = False
        self.is_followed = False
        self.is_over = False
        self.now = 0.0
        """Seconds that its answers have taken."""
        self.unpushed: list[Telemetry] = []
        """What the scheduler knows and tells with its next push, or who asks for it."""

    def subscribe(self, take: Any, take_info: Any, take_end: Any, take_restart: Any) -> Callable[[], None]:
        self.take, self.take_info, self.take_end, self.take_restart = take, take_info, take_end, take_restart
        self.is_followed = True
        if self.is_over:
            take_end("the cluster has ended")
        return self.leave

    def leave(self) -> None:
        self.is_followed = False

    def post(self, question: Question, done: Any) -> None:
        self.waiting.append((question, done))

    def answer(self) -> None:
        """Answer what was posted."""
        while self.waiting:
            question, done = self.waiting.pop(0)
            done(asyncio.run(question(Control(self))), None)

    def fail(self) -> None:
        while self.waiting:
            self.waiting.pop(0)[1](None, ClosedError("gone"))

    def ask(self, question: Question, timeout: float) -> Any:
        if self.is_gone:
            raise ClosedError("The cluster has ended.")
        return asyncio.run(question(Control(self)))


SAMPLES = ProfileSamples({"w-0": [(1.0, "main (a.py:1)", 3)]})
INFO = ClusterInfo(hosts={HostId(PeerId("h")): HostView("tcp://h")})


class Control:
    def __init__(self, feed: FakeFeed) -> None:
        self.feed = feed

    async def catch_up(self) -> None:
        self.feed.now += 2.0
        while self.feed.unpushed:
            self.feed.take(self.feed.unpushed.pop(0))

    async def telemetry(self, since: float) -> TelemetryReport:
        return TelemetryReport([], [record(number) for number in range(5)], 5)

    async def logs(self, since: float) -> ProcessLogs:
        lines = {"w-0": [LogLine(time.time(), "stdout", "hello", "inc-1")]}
        return ProcessLogs(lines, {"w-1": "it does not answer"})

    async def profile(self, since: float) -> ProfileSamples:
        return SAMPLES


def start(path: Path, feed: FakeFeed, **options: Any) -> Recorder:
    options = {"last": 300.0, "limit": 10**6, "logs": True} | options
    return Recorder(path, cast("ThreadFeed", feed), "moons", **options)


def read(path: Path) -> Recording:
    return Recording(path.read_bytes(), path.name)


def keys_in(recording: Recording) -> list[str]:
    keys: list[str] = []
    for frame in recording.frames():
        if frame.kind == "telemetry":
            telemetry = frame.telemetry()
            keys += [
                one.key for block in telemetry.blocks for one in msgspec.msgpack.decode(block, type=list[TaskRecord])
            ]
            keys += [one.key for one in telemetry.records]
    return keys


def test_a_call_is_recorded_once_whether_it_was_told_before_or_during_the_answer_about_the_past(tmp_path: Path) -> None:
    feed = FakeFeed()
    with start(tmp_path / "run.himalia", feed) as recorder:
        feed.take(push(0, 3))
        feed.take(push(3, 7))
        feed.answer()
        feed.take(push(7, 9))
    recording = read(recorder.path)
    assert keys_in(recording) == [f"inc-{number}" for number in range(9)]
    assert sum(block.records for block in recording.blocks) == 9
    assert recording.header.cluster == "moons"


def test_it_begins_with_what_had_been_counted_before_it_and_when_its_first_call_began(tmp_path: Path) -> None:
    feed = FakeFeed()
    with start(tmp_path / "run.himalia", feed):
        feed.answer()
        feed.take(push(5, 7))
    recording = read(tmp_path / "run.himalia")
    first = next(recording.frames())
    assert (first.kind, first.telemetry().status.total) == ("base", 0)
    assert recording.started == first.time < recording.header.started - 90
    told = recording.baseline().since(push(5, 7))
    assert told.status.total == 7


def test_it_ends_when_it_is_stopped_and_not_when_all_have_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = FakeFeed()
    monkeypatch.setattr(time, "time", lambda: 1_000.0 + feed.now)
    recorder = start(tmp_path / "run.himalia", feed)
    feed.now = 7.0
    recorder.stop()
    assert feed.now > 7.0
    assert read(recorder.path).ended == 1_007.0


def test_who_begins_late_is_not_told_twice_what_ended_before(tmp_path: Path) -> None:
    feed = FakeFeed()
    with start(tmp_path / "run.himalia", feed):
        # As another recording's feed tells all that it was told.
        feed.take(msgspec.structs.replace(push(5, 5), blocks=[], skipped=5))
        feed.answer()
    pushes = [frame.telemetry() for frame in read(tmp_path / "run.himalia").frames() if frame.kind == "telemetry"]
    assert [telemetry.skipped for telemetry in pushes if telemetry.status.total] == [0]


def test_calls_that_ended_since_the_last_push_are_asked_for_when_it_is_stopped(tmp_path: Path) -> None:
    feed = FakeFeed()
    with start(tmp_path / "run.himalia", feed):
        feed.answer()
        feed.take(push(5, 6))
        feed.unpushed = [push(6, 9)]
    assert keys_in(read(tmp_path / "run.himalia")) == [f"inc-{number}" for number in range(9)]


def test_what_the_scheduler_remembers_is_told_at_the_time_when_it_happened(tmp_path: Path) -> None:
    feed = FakeFeed()
    with start(tmp_path / "run.himalia", feed):
        feed.answer()
    frames = [frame for frame in read(tmp_path / "run.himalia").frames() if frame.kind == "telemetry"]
    for number, frame in enumerate(frames):
        (told,) = frame.telemetry().records
        assert told.key == f"inc-{number}"
        assert 0 < frame.time - (told.timing.start + 0.5) <= 1.0


def test_a_scheduler_that_can_t_tell_the_past_is_recorded_from_now(tmp_path: Path) -> None:
    feed = FakeFeed()
    with start(tmp_path / "run.himalia", feed):
        feed.take(push(5, 6))
        feed.fail()
    assert keys_in(read(tmp_path / "run.himalia")) == ["inc-5"]


def test_logs_and_samples_are_in_it_and_the_reason_of_its_end(tmp_path: Path) -> None:
    feed = FakeFeed()
    with start(tmp_path / "run.himalia", feed):
        feed.answer()
        feed.take_info(INFO)
        feed.take(push(5, 6))
    frames = {frame.kind: frame for frame in read(tmp_path / "run.himalia").frames()}
    assert [line.text for line in frames["logs"].logs()["w-0"]] == ["hello"]
    assert "w-1" not in frames["logs"].logs()
    assert frames["profile"].profile() == SAMPLES
    assert frames["info"].info() == INFO
    assert frames["end"].reason() == "it was stopped"


def test_it_ends_with_its_cluster_and_stopping_it_then_does_nothing(tmp_path: Path) -> None:
    feed = FakeFeed()
    recorder = start(tmp_path / "run.himalia", feed)
    feed.answer()
    feed.take(push(5, 6))
    feed.is_gone = True
    feed.take_end("the scheduler left")
    assert not recorder.is_running
    assert repr(recorder).endswith("ended: the scheduler left>")
    recorder.stop()
    assert list(read(recorder.path).frames())[-1].reason() == "the scheduler left"


def test_it_ends_where_the_time_of_what_it_records_goes_back(tmp_path: Path) -> None:
    feed = FakeFeed()
    recorder = start(tmp_path / "run.himalia", feed)
    feed.answer()
    feed.take(push(5, 6))
    feed.take_restart()
    feed.take(push(0, 3))
    assert not recorder.is_running
    assert keys_in(read(recorder.path)) == [f"inc-{number}" for number in range(6)]


def test_a_cluster_that_has_just_ended_leaves_a_recording_that_says_so(tmp_path: Path) -> None:
    feed = FakeFeed()
    feed.is_over = True
    recorder = start(tmp_path / "run.himalia", feed)
    feed.fail()
    assert recorder.reason == "the cluster has ended"
    assert list(read(recorder.path).frames())[-1].reason() == "the cluster has ended"
    assert not feed.is_followed


def test_a_cluster_that_dies_while_it_is_asked_leaves_what_was_told(tmp_path: Path) -> None:
    feed = FakeFeed()
    recorder = start(tmp_path / "run.himalia", feed)
    feed.answer()
    feed.is_gone = True
    recorder.stop()
    assert len(keys_in(read(recorder.path))) == 5


def test_a_full_disk_is_an_error_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = FakeFeed()
    recorder = start(tmp_path / "run.himalia", feed)

    def write(packer: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recorder._file, "write", write)
    feed.answer()
    assert not recorder.is_running
    feed.take(push(6, 7))
    assert not feed.is_followed
    with pytest.raises(RecordingError, match="could not be written any more: No space left on device"):
        recorder.stop()


def test_an_error_in_the_block_is_not_hidden_by_one_of_the_recording(tmp_path: Path) -> None:
    feed = FakeFeed()
    recorder = start(tmp_path / "run.himalia", feed)
    recorder._failure = "no room"
    with pytest.raises(ZeroDivisionError), recorder:
        raise ZeroDivisionError


def test_a_limit_that_holds_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too small"):
        start(tmp_path / "run.himalia", FakeFeed(), limit=10)


@pytest.mark.parametrize("length", [0, 1, 15, 16, 65_535, 65_536])
def test_the_length_of_a_packed_array_is_in_its_first_bytes(length: int) -> None:
    assert length_of_array(msgspec.msgpack.encode([0] * length)) == length


def test_of_too_many_lines_each_process_keeps_its_newest() -> None:
    lines = [LogLine(float(number), "stdout", str(number)) for number in range(10)]
    kept = newest_lines(ProcessLogs({"a": lines, "b": lines[:1], "d": []}, {"c": "gone"}), limit=4)
    assert kept == {
        "a": [LogLine(8.0, "stdout", "8"), LogLine(9.0, "stdout", "9")],
        "b": [LogLine(0.0, "stdout", "0")],
    }
