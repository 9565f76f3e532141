from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from bokeh.document import Document
from bokeh.embed import json_item
from bokeh.events import RangesUpdate, Reset

from himalia.messages.answers import ClusterInfo, HostView, WorkerView
from himalia.messages.client import Telemetry
from himalia.messages.parts import Timing
from himalia.messages.telemetry import GroupSummary, HostMetrics, RunningCall, TaskRecord
from himalia.names import HostId, Key, PeerId
from himalia_widgets.cell.figures import memory_figure
from himalia_widgets.plots import PLOTS, make_plot
from himalia_widgets.plots.base import Plot
from himalia_widgets.plots.profile import ProfilePlot
from himalia_widgets.plots.stream_columns import BURST, COARSE, ROLLOVER, Cursor
from himalia_widgets.plots.system import PARTS, tick_above
from himalia_widgets.plots.task_stream import TaskStreamPlot
from himalia_widgets.plots.theme import SCALES
from himalia_widgets.view.colors import ERROR
from himalia_widgets.view.history import History
from tests.unit.widgets import synthetic
from tests.unit.widgets.corpus import MARKUP

T = 1_700_000_000.0
HOST = HostId(PeerId("h"))


def known() -> History:
    return synthetic.history(10)


def nasty() -> History:
    """What is known of a cluster whose user names everything by markup."""
    history = History()
    host = HostId(PeerId("h"))
    names = list(dict.fromkeys(MARKUP))
    history.take_info(
        ClusterInfo(
            hosts={host: HostView("", names[0], names[1], memory_limit=2**30)},
            workers={
                str(n): WorkerView(name, host, name, nanny="n", pid=1, nthreads=1, memory_limit=2**28)
                for n, name in enumerate(names)
            },
        )
    )
    records = [
        TaskRecord(Key(f"{name}-1"), name, HOST, name, "ok", Timing(T + n, 0.0, 1.0, 0.0), 8)
        for n, name in enumerate(names)
    ]
    groups = [GroupSummary(name, name, waiting=1, finished=1, in_memory=1, memory=100, peak=100) for name in names]
    running = [RunningCall(name, 0, Key(name), name, T) for name in names]
    metrics = HostMetrics(workers=dict.fromkeys(names, (0.5, 2**27, 1)), time=T + 60, running=running)
    history.take(Telemetry(0.0, groups, records, 0, {HOST: metrics}), now=T + 60)
    return history


def samples(names: tuple[str, ...]) -> dict[str, list[tuple[float, str, int]]]:
    return {name: [(T, f"{name} (file{name}.py:1);inner (x.py:2)", 1)] for name in names}


def texts(plot: Plot, history: History) -> Iterator[str]:
    for columns in plot.columns(history).values():
        for values in columns.values():
            yield from (value for value in values if isinstance(value, str))


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_can_be_drawn_empty_and_full(name: str, dark: bool) -> None:
    plot = make_plot(name, dark=dark)
    for history in (History(), known()):
        data = plot.columns(history)
        assert set(data) == set(plot.sources)
        for source, columns in data.items():
            assert set(columns) == set(plot.sources[source].data), source
            assert len({len(values) for values in columns.values()}) == 1, source
        plot.update(history)
        assert json_item(plot.root)["doc"]["roots"]


@pytest.mark.parametrize("name", PLOTS)
def test_sources_are_found_by_their_names(name: str) -> None:
    plot = make_plot(name)
    document = Document()
    document.add_root(plot.root)
    for short, source in plot.sources.items():
        assert document.get_model_by_name(f"himalia-{name}-{short}") is source


@pytest.mark.parametrize("name", PLOTS)
def test_no_name_of_a_user_becomes_tex_in_a_plot(name: str) -> None:
    plot = make_plot(name, height=2000)
    if isinstance(plot, ProfilePlot):
        plot.samples = samples(MARKUP)
    history = nasty()
    found = list(texts(plot, history))
    assert not [text for text in found if "$$" in text or r"\(" in text or r"\[" in text or "\n" in text]
    assert max(map(len, found), default=0) < 400
    plot.update(history)
    msgspec.json.encode(json_item(plot.root))


def test_no_label_of_a_user_becomes_tex_in_a_figure_of_memory() -> None:
    fig = memory_figure({name: [(T, 2**20), (T + 1, 2**21)] for name in MARKUP}, align=False)
    (legend,) = fig.legend
    labels = [item.label.value for item in legend.items]
    assert not [text for text in labels if "$$" in text or r"\(" in text or r"\[" in text or "\n" in text]
    msgspec.json.encode(json_item(fig))


@pytest.mark.parametrize("name", sorted(set(PLOTS) - {"task_stream"}))
def test_what_did_not_change_is_not_sent_again(name: str) -> None:
    plot, history = make_plot(name), known()
    plot.update(history)
    document = Document()
    document.add_root(plot.root)
    changes: list[Any] = []
    document.on_change(changes.append)
    plot.update(history)
    assert changes == []


def test_an_unchanged_task_stream_appends_nothing() -> None:
    plot, history = TaskStreamPlot(), known()
    data, cursor = plot.fresh(history)
    assert cursor.full
    assert len(data["calls"]["left"]) > 100
    data, cursor = plot.fresh(history, cursor)
    assert not cursor.full
    assert len(data["calls"]["left"]) == 0


def test_what_ended_since_is_appended_once_and_in_few_bars() -> None:
    made_up = synthetic.MadeUpCluster(duration=0.02)
    history = History()
    history.take_info(made_up.info())
    plot = TaskStreamPlot()
    cursor: Cursor | None = None
    appended = 0
    for _ in range(200):
        history.take(made_up.step(0.25, full=True), now=made_up.now)
        data, cursor = plot.fresh(history, cursor)
        bars = data["calls"]
        if not cursor.full:
            appended += 1
            assert len(bars["left"]) <= BURST
        assert cursor.rows <= ROLLOVER
        newest = history.calls.columns["end"][history.calls.since(history.calls.total - 1)]
        assert bars["right"].max() >= newest.max() * 1000 - 1
        assert data["span"]["right"] == [history.now * 1000]
    assert appended > 150


def test_bars_are_said_anew_when_a_worker_comes() -> None:
    history = synthetic.history(5, hosts=1)
    plot = TaskStreamPlot()
    _, cursor = plot.fresh(history)
    history.take_info(synthetic.MadeUpCluster(hosts=2).info())
    data, cursor = plot.fresh(history, cursor)
    assert cursor.full
    assert data["rows"]["label"][:2] == ["lab-0-0", "· 1"]
    assert "lab-1-1" in data["rows"]["label"]


def test_bars_are_said_anew_of_another_history_or_function() -> None:
    one, other = synthetic.history(5), synthetic.history(5, seed=2)
    plot = TaskStreamPlot()
    _, cursor = plot.fresh(one)
    assert not plot.fresh(one, cursor)[1].full
    assert plot.fresh(other, cursor)[1].full
    plot.function = "inc"
    data, cursor = plot.fresh(one, cursor)
    assert cursor.full
    assert set(data["calls"]["name"]) <= {"inc", "spill to disk", "read back from disk"}
    assert set(data["running"]["name"]) <= {"inc"}


def test_of_a_thousand_workers_a_whole_picture_comes_now_and_then() -> None:
    made_up = synthetic.MadeUpCluster(hosts=30, workers=35, threads=1, duration=1.0)
    history = History()
    history.take_info(made_up.info())
    plot = TaskStreamPlot()
    cursor: Cursor | None = None
    full = []
    for _ in range(20):
        history.take(made_up.step(0.5, full=True), now=made_up.now)
        data, cursor = plot.fresh(history, cursor)
        full.append(cursor.full)
        assert cursor.full or len(data["calls"]["left"]) == 0
        assert len(data["rows"]["label"]) == 30
        assert len(data["calls"]["left"]) <= COARSE * 4 // 3
    assert full == [True, *[False] * 9] * 2


def test_a_stream_that_isnt_live_shows_all_there_is() -> None:
    history = synthetic.history(100)
    live, whole = make_plot("task_stream"), make_plot("task_stream", live=False)
    assert live.columns(history)["calls"]["left"].min() > (history.now - 70) * 1000
    assert whole.columns(history)["calls"]["left"].min() < (synthetic.EPOCH + 1) * 1000
    whole.update(history)
    assert len(whole.sources["calls"].data["left"]) > len(live.columns(history)["calls"]["left"])


def test_a_call_that_ran_before_is_shown_from_the_beginning_of_the_window_on() -> None:
    history = synthetic.history(20, names=("only",))
    running = [RunningCall("lab-0-0", 0, Key("slow-1"), "slow", synthetic.EPOCH - 500.0)]
    host = next(iter(history.hosts))
    metrics = HostMetrics(time=history.now, running=running)
    history.take(Telemetry(0.0, [], [], 0, {host: metrics}), now=history.now)
    data = make_plot("task_stream", live=False).columns(history)
    assert data["running"]["left"].min() == data["span"]["left"][0]
    assert TaskStreamPlot().fresh(history)[0]["running"]["left"].min() == (synthetic.EPOCH - 500.0) * 1000


def test_the_legend_names_what_takes_time_what_runs_and_that_something_failed() -> None:
    history = synthetic.history(60, names=("only",))
    running = [RunningCall("lab-0-0", 0, Key("slow-1"), "slow", history.now - 9.0)]
    history.take(Telemetry(0.0, [], [], 0, {"h": HostMetrics(time=history.now, running=running)}), now=history.now)
    columns = make_plot("task_stream").columns(history)["legend"]
    assert columns["name"] == ["only", "slow", "failed"]
    assert columns["color"] == [history.colors.number("only"), history.colors.number("slow"), ERROR]


def test_the_legend_has_no_more_names_than_fit() -> None:
    history = synthetic.history(60, names=tuple(f"a-long-name-of-a-function-{at}" for at in range(8)))
    names = make_plot("task_stream").columns(history)["legend"]["name"]
    assert 3 <= len(names) <= 5
    assert names[-1] == "failed"


def test_one_can_look_back_in_a_live_stream() -> None:
    history = synthetic.history(300, duration=0.1)
    plot = TaskStreamPlot()
    plot.update(history)
    left = plot.sources["calls"].data["left"]
    assert left.min() < (synthetic.EPOCH + 1) * 1000
    assert len(left) <= ROLLOVER * 2 // 3
    shown = plot.sources["span"].data
    assert shown["right"][0] - shown["left"][0] == pytest.approx(60_000)


def test_a_zoomed_stream_shows_its_window_finer_until_it_is_reset() -> None:
    history = synthetic.history(60, duration=0.02)
    plot = TaskStreamPlot()
    plot.update(history)
    coarse = plot.sources["calls"].data
    start = synthetic.EPOCH + 20.0
    plot._zoomed(RangesUpdate(plot.fig, x0=start * 1000, x1=(start + 2.0) * 1000))
    fine = plot.sources["calls"].data
    inside = (coarse["left"] > start * 1000) & (coarse["right"] < (start + 2.0) * 1000)
    assert len(fine["left"]) > 1.5 * inside.sum()
    assert fine["right"].min() >= start * 1000
    plot._reset(Reset(plot.fig))
    assert plot.sources["calls"].data["right"].max() > (history.now - 1.0) * 1000


def test_a_plot_of_one_worker_shows_only_that() -> None:
    history = known()
    plot = make_plot("task_stream", worker="lab-1-1")
    assert plot.columns(history)["rows"]["label"] == ["lab-1-1", "· 1"]
    assert set(plot.columns(history)["calls"]["where"]) == {"lab-1-1 · 0", "lab-1-1 · 1"}
    for name in ("memory", "cpu_time"):
        assert len(make_plot(name, worker="lab-1-1").columns(history)["series"]["time"]) > 5
        assert len(make_plot(name, worker="unknown").columns(history)["series"]["time"]) == 0


def test_bars_of_progress_fill_no_more_than_their_row() -> None:
    plot = make_plot("progress")
    bars = plot.columns(known())["bars"]
    assert max(bars["right"]) <= 1.0
    assert all(left < right for left, right in zip(bars["left"], bars["right"], strict=True))


def test_more_workers_than_can_be_named_are_sorted_and_thinned() -> None:
    history = synthetic.history(1, hosts=20, workers=20)
    columns = make_plot("memory_by_worker").columns(history)
    right = np.array(columns["bars"]["right"])
    assert len(right) <= 150
    assert (np.diff(right) <= 0).all()
    assert 3 < sum(bool(text) for text in columns["rows"]["label"]) < 15


def test_a_profile_shows_what_it_is_given() -> None:
    plot = ProfilePlot()
    plot.samples = {"w": [(T, "main (a.py:1);load (a.py:2)", 3)]}
    frames = plot.columns(History())["frames"]
    assert frames["name"] == ["main", "load"]
    assert frames["text"] == ["main", "load"]
    plot.function = "load"
    assert plot.columns(History())["frames"]["name"] == ["load"]


def test_a_function_has_the_same_colour_in_a_profile_as_everywhere_else() -> None:
    history = History()
    # Each wants the colour that comes first for its name, so some have to make way for others.
    functions = [f"f{number}" for number in range(12)]
    for name in functions:
        history.colors.number(name)
    before = {name: history.colors.number(name) for name in functions}
    plot = ProfilePlot()
    helpers = [f"helper{number}" for number in range(40)]
    plot.samples = {"w": [(T, f"{name} (a.py:1)", 1) for name in [*helpers, *reversed(functions)]]}
    frames = plot.columns(history)["frames"]
    shown = dict(zip(frames["name"], frames["color"], strict=True))
    assert {name: shown[name] for name in functions} == before
    assert not {shown[name] for name in helpers} & set(before.values())
    assert {name: history.colors.number(name) for name in functions} == before
    assert history.colors.number("next") not in before.values(), "frames use up no colours"


@pytest.mark.parametrize(
    "name",
    ["progress", "memory_by_worker", "memory_by_host", "memory_by_group", "groups", "transfers", "transfer_matrix"],
)
def test_a_plot_without_data_says_so_and_one_with_data_doesnt(name: str) -> None:
    plot = make_plot(name)
    assert " ".join(plot.columns(History())["note"]["text"]) == type(plot).nothing != ""
    assert plot.columns(synthetic.history(10, hosts=2))["note"]["text"] == []


def test_few_rows_take_the_height_and_their_bars_stay_thin() -> None:
    history = synthetic.history(2, hosts=1, workers=2)
    rows = make_plot("processing", height=200).columns(history)["rows"]
    assert rows["name"] == [f"lab-0-{n}" for n in range(2)]
    pixels = (200 - 34) / 2
    assert (rows["bottom"] - rows["top"]) * pixels == pytest.approx([22, 22])


def test_the_memory_of_an_idle_worker_is_seen_beside_its_limit() -> None:
    history = History()
    cluster = synthetic.MadeUpCluster(hosts=1, workers=1)
    told = cluster.info()
    workers = {address: msgspec.structs.replace(worker, memory_limit=2**40) for address, worker in told.workers.items()}
    history.take_info(msgspec.structs.replace(told, workers=workers))
    history.take(cluster.step(1.0, full=True), now=cluster.now)
    bars = make_plot("memory_by_worker").columns(history)["bars"]
    assert bars["right"][0] - bars["left"][0] >= 0.005


@pytest.mark.parametrize("highest", [0.0, 1.0, 700.0, 3.5 * 1024, 21.9 * 2**20, 22.0 * 2**20, 2.0**30, 1.01 * 2**30])
def test_a_scale_of_bytes_ends_at_a_tick_above_all_lines(highest: float) -> None:
    top = tick_above(highest)
    assert highest <= top <= max(1.5 * highest, 0.0)
    step = 2.0 ** np.floor(np.log2(top / 3)) if top else 1.0
    assert top % step == 0


def test_rates_of_a_network_are_a_second() -> None:
    for part in ("received", "sent"):
        assert {field: unit for field, _, unit in PARTS}[part] == "bytes/s"
    assert "/s`" in SCALES["bytes/s"]
