from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from himalia.errors import RecordingError
from himalia.messages.answers import ClusterInfo, HostView, ProfileSamples
from himalia.messages.client import Telemetry
from himalia.messages.parts import TaskError, Timing
from himalia.messages.telemetry import ErrorSummary, GroupSummary, HostMetrics, LogLine, SchedulerStatus, TaskRecord
from himalia.names import HostId, Key, PeerId
from himalia.telemetry.recording_format import Packer, Recording, begin, new_header
from himalia.telemetry.snapshot import Snapshot
from himalia.testing.clock import HandLoop
from himalia_widgets.replay.compare_page import heading, make_plots
from himalia_widgets.replay.comparison import compare, whole_run
from himalia_widgets.replay.described import describe
from himalia_widgets.replay.routes import describe_differences, move
from himalia_widgets.replay.show import describe as describe_line
from himalia_widgets.replay.show import unmoved
from himalia_widgets.replay.source import ReplaySource
from himalia_widgets.view.history import History

START = 1_800_000_000.0
HOST = HostId(PeerId("nanny-1"))


def record(second: int, number: int, *, name: str = "inc", compute: float = 0.25, status: str = "ok") -> TaskRecord:
    timing = Timing(START + second + number * 0.0001, 0.01, compute, 0.01)
    return TaskRecord(Key(f"{name}-{second}-{number}"), name, HOST, "w-0", status, timing, 100)


def push(second: int, calls: int, **options: Any) -> Telemetry:
    records = [record(second, number, **options) for number in range(calls)]
    done = (second + 1) * calls
    name = options.get("name", "inc")
    group = GroupSummary(name, "c", finished=done, compute=done * options.get("compute", 0.25), nbytes=done * 100)
    return Telemetry(
        500.0 + second, [group], [], 0, {HOST: HostMetrics(cpu=1.0, time=START + second)},
        [msgspec.msgpack.encode(records)], status=SchedulerStatus(total=done, tasks=calls),
    )  # fmt: skip


def recorded(seconds: int, *, calls: int = 4, base_every: int = 10, **options: Any) -> Recording:
    """Return a recording of one push a second, all in blocks of their own."""
    packer, snapshot = Packer(), Snapshot()
    data = begin(new_header("moons", now=START))

    def pack() -> None:
        nonlocal data
        made = packer.take(len(data))
        data += made[1] if made else b""

    for second in range(seconds):
        telemetry = push(second, calls, **options)
        if second % base_every == 0:
            packer.add(START + second + 1, "base", snapshot.telemetry())
            info = ClusterInfo(hosts={HOST: HostView("", "one")}, tasks=second)
            packer.add(START + second + 1, "info", info)
        snapshot.take(telemetry)
        packer.add(START + second + 1, "telemetry", telemetry, records=calls)
        lines = {"w-0": [LogLine(START + second + 0.5, "stdout", f"line {second}")]}
        packer.add(START + second + 1, "logs", lines)
        pack()
    samples = {"w-0": [(START + 1.0, "main (a.py:1)", 3)]}
    packer.add(START + seconds, "profile", ProfileSamples(samples, {"n": "no py-spy"}))
    packer.add(START + seconds, "end", "it was stopped")
    pack()
    return Recording(data)


def followed(recording: Recording, time: float) -> History:
    """Return the history of somebody who followed from the start to that moment."""
    history = History()
    first = True
    for frame in recording.frames():
        if frame.time > time:
            break
        if frame.kind == "telemetry" or (frame.kind == "base" and first):
            history.take(frame.telemetry(), now=frame.time)
            first = False
        elif frame.kind == "info":
            history.take_info(frame.info())
    return history


def facts(history: History) -> Any:
    calls = history.calls
    keys = [calls.columns["key"][row] for row in calls.since(0)]
    return keys, history.groups, history.hosts, history.total, history.info


def test_it_opens_at_the_end() -> None:
    source = ReplaySource(recorded(5), "moons")
    assert (source.reel.started, source.reel.time, source.reel.ended) == (START + 1, START + 5, START + 5)
    assert source.history.total == 20


@pytest.mark.parametrize("moments", [[3, 7, 25], [25, 7, 3], [7, 7, 8, 40, 0, 13], [29.5, 1.5]])
def test_at_any_moment_the_history_is_that_of_who_followed_until_then(moments: list[float]) -> None:
    recording = recorded(30)
    source = ReplaySource(recording, "moons")
    for moment in moments:
        source.seek(START + moment)
        assert facts(source.history) == facts(followed(recording, START + max(1, moment)))


def test_a_long_recording_is_read_from_where_a_full_history_begins() -> None:
    recording = recorded(200, base_every=10)
    source = ReplaySource(recording, "moons", records=100)
    keys, groups, hosts, total, _ = facts(source.history)
    truth = facts(followed(recording, START + 200))
    assert keys == truth[0][-100:]
    assert (groups, hosts, total) == truth[1:4]
    source.seek(START + 100)
    keys, groups, *_ = facts(source.history)
    truth = facts(followed(recording, START + 100))
    assert (keys, groups) == (truth[0][-100:], truth[1])


def test_running_time_appends_and_begins_no_new_history() -> None:
    source = ReplaySource(recorded(200, base_every=10), "moons", records=100)
    source.seek(START)
    first = source.history
    for tenth in range(2000):
        source.seek(START + tenth / 10)
    assert source.history is first
    source.seek(START + 5)
    assert source.history is not first


def test_lines_and_samples_are_those_until_then() -> None:
    source = ReplaySource(recorded(5), "moons")
    source.seek(START + 3)
    assert [line.text for line in source.reel.lines().lines["w-0"]] == ["line 0", "line 1", "line 2"]
    assert source.reel.samples().samples == {"w-0": [(START + 1.0, "main (a.py:1)", 3)]}


def test_a_call_is_described_as_far_as_telemetry_told() -> None:
    source = ReplaySource(recorded(5), "moons")
    found = describe(source.history, "inc-2-1")
    assert (found.status, found.group, found.worker, found.nbytes) == ("finished", "inc", "w-0", 100)
    assert "250 ms to run" in found.why
    source.seek(START + 2)
    assert describe(source.history, "inc-2-1").status == "unknown"


def test_an_empty_recording_has_one_moment() -> None:
    source = ReplaySource(Recording(begin(new_header("moons", now=START))), "moons")
    source.seek(START + 10)
    assert (source.reel.time, source.history.total) == (START, 0)


def test_time_runs_to_the_end_and_begins_again() -> None:
    loop = HandLoop()
    source = ReplaySource(recorded(5), "moons")
    source.speed = 2.0
    loop.call_soon(source.play)
    loop.settle()
    moments: list[float] = []
    while source.is_playing:
        moments.append(source.reel.time - START)
        loop.advance(0.5)
    moments.append(source.reel.time - START)
    assert moments == sorted(moments)
    assert moments[:4] == pytest.approx([1.0, 2.0, 3.0, 4.0], abs=0.3)
    assert moments[-1] == 5.0
    loop.call_soon(source.play)
    loop.settle()
    assert source.is_playing
    loop.advance(0.5)
    source.pause()
    loop.advance(10.0)
    assert not source.is_playing
    assert source.reel.time - START == pytest.approx(2.0, abs=0.3)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(RecordingError, match=r"nowhere\.himalia can't be read: No such file or directory"):
        ReplaySource.read("nowhere.himalia")


def test_two_runs_are_compared_by_function() -> None:
    first, second = ReplaySource(recorded(5), "moons").history, ReplaySource(recorded(10, compute=0.1), "moons").history
    (row,) = compare(first, second)
    assert row.name == "inc"
    assert (row.first.calls, row.second.calls) == (20, 40)
    assert row.first.compute == pytest.approx(5.0)
    assert row.first.median == pytest.approx(0.27)
    assert row.second.median == pytest.approx(0.12)
    assert whole_run(first) == row.first


def test_a_function_of_one_run_only_is_a_row_too() -> None:
    first, second = (
        ReplaySource(recorded(5), "moons").history,
        ReplaySource(recorded(5, name="dec", compute=0.5), "moons").history,
    )
    assert [(row.name, row.first.calls, row.second.calls) for row in compare(first, second)] == [
        ("dec", 0, 20), ("inc", 20, 0),
    ]  # fmt: skip


def test_the_page_of_two_runs_is_told_each_number_twice() -> None:
    found = describe_differences(ReplaySource(recorded(3), "a"), ReplaySource(recorded(6), "b"))
    assert found["titles"] == ["a", "b"]
    total, row = found["rows"]
    assert (total["name"], row["name"]) == ("All functions", "inc")
    assert row["calls"] == total["calls"] == [12, 24]


def test_what_is_compared_is_whole_wherever_the_first_run_was_moved_to() -> None:
    sources = [ReplaySource(recorded(seconds), "moons") for seconds in (3, 6)]
    compared = unmoved(sources)
    sources[0].seek(START)
    assert [source.calls for source in sources] == [4, 24]
    assert describe_differences(*compared)["rows"][0]["calls"] == [12, 24]


def test_two_runs_are_drawn_from_the_same_start_on_the_same_scale() -> None:
    one, other = (plot.fig.x_range for plot in make_plots([ReplaySource(recorded(n), "x") for n in (3, 6)]))
    assert one.end - one.start == other.end - other.start
    assert one.end - one.start == pytest.approx(5000)  # from the first thing told to the last


def begun_late(seconds: int, before: int, **options: Any) -> ReplaySource:
    """Return a recording of ``seconds`` pushes of a cluster that had told so many before."""
    packer, snapshot = Packer(), Snapshot()
    for second in range(before):
        snapshot.take(push(second, 4, **options))
    packer.add(START + before, "base", snapshot.telemetry())
    for second in range(before, before + seconds):
        packer.add(START + second + 1, "telemetry", push(second, 4, **options), records=4)
    header = begin(new_header("moons", now=START + before))
    made = packer.take(len(header))
    assert made is not None
    return ReplaySource(Recording(header + made[1]), "late")


def test_a_recording_counts_what_is_in_it_and_not_what_the_cluster_did_before() -> None:
    source = begun_late(5, before=30)
    assert (source.calls, source.length, source.history.total) == (20, 5.0, 20)
    assert source.history.groups["inc", "c"].compute == pytest.approx(5.0)
    assert whole_run(source.history).nbytes == 2000
    source.seek(START + 30)
    assert source.calls == 0
    source.seek(START + 32)
    assert source.calls == 8


def test_two_runs_that_began_late_are_compared_by_what_is_in_them() -> None:
    first, second = begun_late(5, before=30), begun_late(10, before=3)
    (row,) = compare(first.history, second.history)
    assert (row.first.calls, row.second.calls) == (20, 40)
    assert begun_late(1, before=3, name="dec").history.groups["dec", "c"].finished == 4


def test_functions_that_ran_before_both_runs_only_are_no_rows() -> None:
    source = begun_late(0, before=30)
    assert compare(source.history, source.history) == []


def test_length_and_count_are_the_same_wherever_they_are_said() -> None:
    source = begun_late(5, before=30)
    found = describe_differences(source, source)
    assert describe_line(source) == "late: moons, 5 s, 20 calls"
    texts: Any = move(source, lambda name: "")["texts"]
    assert (found["lengths"], texts) == (["5 s", "5 s"], ["5 s", "5 s"])
    assert found["rows"][0]["calls"] == [source.calls] * 2 == [20, 20]
    assert heading("A", source) == "A: late, 20 calls in 5 s"


def test_a_moment_is_asked_for() -> None:
    async def main() -> None:
        source = ReplaySource(recorded(5), "moons")

        def ask(**arguments: str) -> dict[str, Any]:
            return move(source, lambda name: arguments.get(name, ""))

        assert ask() == {
            "title": "moons", "started": START + 1, "length": 4.0, "time": 4.0, "texts": ["4 s", "4 s"], "speed": 1.0,
            "playing": False,
        }  # fmt: skip
        assert ask(time="1.5", speed="20")["time"] == 1.5
        assert ask(time="-7")["time"] == 0.0
        assert ask(time="nan", speed="inf")["time"] == 0.0
        assert ask(speed="1e9")["speed"] == 1000.0
        assert ask(play="1")["playing"]
        assert not ask(play="0")["playing"]

    asyncio.run(main())


def test_an_error_is_told_with_its_call() -> None:
    packer = Packer()
    error = ErrorSummary("1", TaskError("exception", Key("inc-0-0"), "ValueError: no", worker="w-0"), "inc", 1)
    packer.add(START, "telemetry", msgspec.structs.replace(push(0, 1, status="error"), errors=[error]), records=1)
    header = begin(new_header("moons", now=START))
    made = packer.take(len(header))
    assert made is not None
    found = describe(ReplaySource(Recording(header + made[1]), "moons").history, "inc-0-0")
    assert found.status == "failed"
    assert found.error is not None
    assert found.error.text == "ValueError: no"
