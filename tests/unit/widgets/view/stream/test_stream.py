from __future__ import annotations

import msgspec
import pytest

from himalia.messages.client import Telemetry
from himalia.messages.parts import Timing
from himalia.messages.telemetry import HostMetrics, RunningCall, StoreMove, TaskRecord
from himalia.names import HostId, Key, PeerId
from himalia_widgets.view import colors
from himalia_widgets.view.history import History
from himalia_widgets.view.stream import lanes, stream
from himalia_widgets.view.stream.bars import FLOOR
from himalia_widgets.view.stream.marks import HEIGHT, Columns
from himalia_widgets.view.stream.window import Window, whole
from tests.unit.widgets import synthetic

HOST = HostId(PeerId("h"))
T = 1_700_000_000.0


def call(
    start: float, compute: float, *, worker: str = "w-0", thread: int = 0, name: str = "inc", status: str = "ok",
    transfer: float = 0.0, deserialize: float = 0.0, serialize: float = 0.0,
) -> TaskRecord:  # fmt: skip
    timing = Timing(T + start, deserialize, compute, serialize, thread, transfer)
    return TaskRecord(Key(f"{name}-{start}"), name, HOST, worker, status, timing, 8)


def know(
    *records: TaskRecord, now: float = 100.0, metrics: HostMetrics | None = None, capacity: int = 100_000
) -> History:
    history = History(records=capacity)
    hosts: dict[str, HostMetrics] = {HOST: metrics} if metrics is not None else {}
    history.take(Telemetry(now, [], list(records), 0, hosts), now=T + now)
    return history


def crowd_of(count: int, length: float, *, worker: str = "w-0", name: str = "inc") -> list[TaskRecord]:
    return [call(at * length, 0.9 * length, worker=worker, name=name) for at in range(count)]


def area(bars: Columns, row: int) -> float:
    """Seconds that the bars of a row show."""
    inside = (bars["bottom"] > row - 0.5) & (bars["bottom"] < row + 0.5)
    return float((((bars["right"] - bars["left"]) * (bars["bottom"] - bars["top"]) / HEIGHT)[inside]).sum())


def test_a_few_calls_are_shown_exactly() -> None:
    shown = stream.show(know(call(1.0, 2.0), call(4.0, 3.0, thread=1, name="add")))
    assert shown.layout.labels == ("w-0", "· 1")
    assert shown.calls["left"].tolist() == [T + 1.0, T + 4.0]
    assert shown.calls["right"].tolist() == [T + 3.0, T + 7.0]
    assert [round(value) for value in shown.calls["bottom"]] == [0, 1]
    assert shown.calls["name"] == ["inc", "add"]
    assert shown.calls["key"] == ["inc-1.0", "add-4.0"]
    assert shown.calls["where"] == ["w-0 · 0", "w-0 · 1"]
    assert shown.calls["time"] == ["2 s", "3 s"]


def test_phases_that_can_be_seen_are_bars_of_their_own_and_no_time_is_shown_twice() -> None:
    history = know(call(10.0, 5.0, transfer=2.0, deserialize=1.0, serialize=3.0))
    bars = stream.show(history, Window(T, T + 100.0)).calls
    parts = {
        int(color): (left - T, right - T)
        for color, left, right in zip(bars["color"], bars["left"], bars["right"], strict=True)
    }
    assert parts == {
        history.colors.number("inc"): (11.0, 16.0),
        colors.TRANSFER: (8.0, 10.0),
        colors.DESERIALIZE: (10.0, 11.0),
        colors.SERIALIZE: (16.0, 19.0),
    }


def test_phases_too_short_to_be_seen_belong_to_the_call() -> None:
    bars = stream.show(know(call(10.0, 5.0, deserialize=0.01, serialize=0.01)), Window(T, T + 1000.0)).calls
    assert bars["left"].tolist() == [T + 10.0]
    assert bars["right"].tolist() == pytest.approx([T + 15.02], abs=1e-6)


def test_a_failed_call_has_the_colour_of_errors() -> None:
    bars = stream.show(know(call(1.0, 2.0, status="error"))).calls
    assert bars["color"].tolist() == [colors.ERROR]
    assert "failed" in bars["detail"][0]


def test_a_failed_call_can_be_seen_however_short_and_crowded_it_is() -> None:
    bars = stream.show(
        know(*crowd_of(20_000, 0.005), call(33.0, 0.0001, status="error")), Window(T, T + 100.0), max_rows=400
    )
    assert bars.calls["color"][-1] == colors.ERROR
    assert bars.calls["key"][-1] == "inc-33.0"
    assert bars.calls["right"][-1] - bars.calls["left"][-1] == pytest.approx(100.0 / 2048 * 4, abs=1e-3)


@pytest.mark.parametrize("most", [50, 400, 4000])
def test_a_crowd_becomes_few_bars_that_show_the_same_seconds(most: int) -> None:
    history = know(*crowd_of(20_000, 0.005), *crowd_of(100, 1.0, worker="w-1", name="long"))
    shown = stream.show(history, Window(T, T + 100.0), max_rows=most)
    assert len(shown.calls["left"]) <= most
    assert area(shown.calls, 0) == pytest.approx(90.0, rel=0.02)
    assert area(shown.calls, 1) == pytest.approx(90.0, rel=0.02)


def test_long_calls_among_a_crowd_stay_exact() -> None:
    history = know(*crowd_of(20_000, 0.005), *crowd_of(100, 1.0, worker="w-1", name="long"))
    bars = stream.show(history, Window(T, T + 100.0), max_rows=1000).calls
    longs = [left for left, name in zip(bars["left"].tolist(), bars["name"], strict=True) if name == "long"]
    assert longs == [T + at for at in range(100)]


def test_a_bar_of_a_crowd_says_how_many_calls_it_stands_for() -> None:
    bars = stream.show(know(*crowd_of(20_000, 0.005)), Window(T, T + 100.0), max_rows=100).calls
    counts = [int(key.split()[0].replace(",", "")) for key in bars["key"]]
    assert sum(counts) == 20_000
    assert set(bars["name"]) == {"inc"}


def test_what_is_rare_is_still_to_be_seen() -> None:
    sparse = [call(at * 0.05, 0.0001) for at in range(2000)]
    bars = stream.show(know(*sparse), Window(T, T + 100.0), max_rows=200).calls
    assert (bars["bottom"] - bars["top"]).min() >= FLOOR * HEIGHT * 0.99


def test_zooming_shows_single_calls_again() -> None:
    history = know(*crowd_of(20_000, 0.005))
    bars = stream.show(history, Window(T + 50.0, T + 50.1), max_rows=1000).calls
    assert len(bars["left"]) == pytest.approx(20, abs=2)
    assert all(key.startswith("inc-") for key in bars["key"])


def test_one_function_can_be_shown_alone() -> None:
    history = know(call(1.0, 1.0), call(3.0, 1.0, name="add"))
    assert stream.show(history, function="add").calls["name"] == ["add"]
    assert stream.show(history, function="unknown").calls["name"] == []


def test_running_calls_are_open_up_to_now() -> None:
    running = [RunningCall("w-0", 1, Key("slow-1"), "slow", T + 90.0), RunningCall("gone", 0, Key("x"), "x", T)]
    history = know(call(1.0, 1.0, thread=1), metrics=HostMetrics(time=T + 99.9, running=running))
    bars = stream.show(history).running
    assert bars["left"].tolist() == [T + 90.0]
    assert bars["right"].tolist() == [T + 100.0]
    assert bars["key"] == ["slow-1"]
    assert bars["time"] == ["running for 10 s"]


def test_in_a_row_of_many_threads_running_calls_share_the_height() -> None:
    running = [RunningCall(f"w-{at}", 0, Key(f"slow-{at}"), "slow", T + 90.0) for at in range(2)]
    history = know(
        *(call(1.0, 1.0, worker=f"w-{at}") for at in range(4)), metrics=HostMetrics(time=T + 99.9, running=running)
    )
    bars = stream.show(history, layout=lanes.arrange(history, most=1)).running
    assert (bars["bottom"] - bars["top"]).tolist() == pytest.approx([HEIGHT / 4] * 2)
    assert bars["top"].tolist() == pytest.approx([-HEIGHT / 2, -HEIGHT / 4])


def test_what_moves_to_disk_has_a_row_for_each_host() -> None:
    moves = [StoreMove("spill", T + 95.0, 0.5, 2**20), StoreMove("unspill", T + 97.0, 0.25, 2**20)]
    history = know(call(90.0, 1.0), metrics=HostMetrics(time=T + 99.9, moves=moves))
    shown = stream.show(history, Window(T + 80, T + 100))
    assert shown.layout.labels == ("w-0", "h disk")
    at = [number for number, name in enumerate(shown.calls["name"]) if name != "inc"]
    assert [shown.calls["name"][number] for number in at] == ["spill to disk", "read back from disk"]
    assert [round(shown.calls["bottom"][number]) for number in at] == [1, 1]


def test_rows_are_in_the_order_of_workers_as_people_count_and_of_threads() -> None:
    names = ["w-10", "w-9", "w-1"]
    history = know(*[call(1.0, 1.0, worker=name, thread=thread) for name in names for thread in (1, 0)])
    assert lanes.arrange(history).labels == ("w-1", "· 1", "w-9", "· 1", "w-10", "· 1")


def test_a_worker_that_never_ran_anything_has_its_rows() -> None:
    history = History()
    history.take_info(synthetic.MadeUpCluster(hosts=1, workers=2, threads=2).info())
    assert lanes.arrange(history).labels == ("lab-0-0", "· 1", "lab-0-1", "· 1")
    assert lanes.arrange(history, worker="lab-0-1").labels == ("lab-0-1", "· 1")


@pytest.mark.parametrize(("most", "rows"), [(100, 24), (8, 6), (5, 3)])
def test_with_too_many_threads_a_row_is_a_worker_or_a_host(most: int, rows: int) -> None:
    history = synthetic.history(3, hosts=3, workers=2, threads=4)
    history.spilling.clear()
    layout = lanes.arrange(history, most=most)
    assert len(layout.labels) == rows
    assert sum(layout.threads) == 24
    assert layout.shared == (rows < 24)


def test_a_row_of_many_threads_shows_how_busy_they_are_together() -> None:
    history = know(*crowd_of(100, 1.0, worker="w-0"), *crowd_of(50, 1.0, worker="w-1"))
    layout = lanes.arrange(history, most=1)
    bars = stream.show(history, Window(T, T + 100.0), layout=layout, max_rows=1000).calls
    assert area(bars, 0) * 2 == pytest.approx(90.0 + 45.0, rel=0.02)


def test_everything_is_what_there_is() -> None:
    history = know(call(1.0, 2.0), call(4.0, 3.0), now=5.0)
    assert whole(history) == (T + 1.0, T + 7.0)
    empty = History()
    assert whole(empty).length > 0
    assert stream.show(empty).calls["left"].tolist() == []


def test_a_million_calls_of_many_functions_fit_into_the_bars_allowed() -> None:
    made_up = synthetic.MadeUpCluster(hosts=2, workers=2, threads=2, duration=0.005)
    block = msgspec.msgpack.encode(made_up.records(synthetic.EPOCH + 20.0))
    history = History(records=200_000)
    for number in range(8):
        history.calls.add_block(block, dict.fromkeys(made_up.hosts, 20.0 * number))
    history.now = synthetic.EPOCH + 160.0
    shown = stream.show(history)
    assert len(history.calls) > 100_000
    assert len(shown.calls["left"]) <= 10_000
    table = history.calls
    for row in range(8):
        lane = shown.layout.row_of_lane[table["lane"]] == row
        assert area(shown.calls, row) == pytest.approx(float((table["end"] - table["start"])[lane].sum()), rel=0.05)
