from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bokeh.embed import file_html
from bokeh.layouts import column
from bokeh.resources import INLINE
from playwright.sync_api import expect

from himalia.messages.answers import ClusterInfo, HostView, WorkerView
from himalia.messages.client import Telemetry
from himalia.messages.parts import Timing
from himalia.messages.telemetry import GroupSummary, HostMetrics, RunningCall, TaskRecord, TransferSummary
from himalia.names import HostId, Key, PeerId
from himalia_widgets.plots import PLOTS, make_plot
from himalia_widgets.plots.profile import ProfilePlot
from himalia_widgets.view.history import History
from tests.browser.chromium import shot
from tests.browser.markup import HOSTILE, assert_no_markup
from tests.unit.widgets import synthetic

NOW = 1_700_000_000.0


def hostile_history(names: tuple[str, ...]) -> History:
    """What is known of a cluster in which everything has one of these names."""
    history = History()
    hosts = [HostId(PeerId(f"h{number}")) for number in range(len(names))]
    named = list(zip(hosts, names, strict=True))
    history.take_info(
        ClusterInfo(
            hosts={host: HostView("", name, memory_limit=2**30) for host, name in named},
            workers={
                name: WorkerView(name, host, name, nanny="n", pid=1, nthreads=1, memory_limit=2**28)
                for host, name in named
            },
        )
    )
    records = [
        TaskRecord(Key(name), name, host, name, "ok", Timing(NOW - 30.0, 0.0, 25.0, 0.0), 8)
        for host, name in zip(hosts, names, strict=True)
    ]
    metrics: dict[str, HostMetrics] = {
        host: HostMetrics(
            store_bytes=2**20,
            spilled_bytes=2**20,
            workers={name: (0.5, 2**27, 1)},
            time=NOW,
            running=[RunningCall(name, 0, Key(name), name, NOW - 3.0)],
            transfers=[TransferSummary(hosts[0], 100, 1.0, 1)],
        )
        for host, name in zip(hosts, names, strict=True)
    }
    groups = [GroupSummary(name, name, waiting=1, finished=1, in_memory=1, compute=1.0, memory=9) for name in names]
    history.take(Telemetry(0.0, groups, records, 0, metrics), now=NOW)
    return history


def write_page(path: Path, history: History, *, dark: bool, names: list[str]) -> str:
    """Write a page with these plots and return its URL."""
    roots = []
    for name in names:
        plot = make_plot(name, dark=dark)
        if isinstance(plot, ProfilePlot):
            plot.samples = {"w": [(NOW, f"main (a.py:1);{text} (b.py:2)", 1) for text in HOSTILE]}
        plot.update(history)
        roots.append(plot.root)
    page = file_html(column(roots, sizing_mode="stretch_width"), INLINE, title="plots")
    ground = "#111417" if dark else "#ffffff"
    path.write_text(page.replace("</head>", f"<style>body {{ margin: 12px; background: {ground} }}</style></head>"))
    return path.as_uri()


@pytest.mark.parametrize("part", range(4))
def test_no_name_of_a_user_becomes_markup_in_a_plot_or_its_hover(
    part: int, open_page: Callable[..., Any], tmp_path: Path
) -> None:
    names = HOSTILE[part::4]
    url = write_page(tmp_path / "page.html", hostile_history(names), dark=False, names=list(PLOTS))
    page = open_page(url, viewport={"width": 1200, "height": 5200})
    page.wait_for_function("() => Bokeh.documents.length && Bokeh.documents[0].is_idle")
    for y in range(30, 2000, 45):
        page.mouse.move(600, y)
    expect(page.locator(".bk-Tooltip")).not_to_have_count(0)
    assert_no_markup(page)


def test_plots_look_as_they_should(open_page: Callable[..., Any], tmp_path: Path, light_and_dark: bool) -> None:
    history = synthetic.history(60, duration=1.0)
    names = [name for name in PLOTS if name != "profile"]
    url = write_page(tmp_path / "page.html", history, dark=light_and_dark, names=names)
    page = open_page(url, dark=light_and_dark, viewport={"width": 1000, "height": 4000})
    page.wait_for_function("() => Bokeh.documents.length && Bokeh.documents[0].is_idle")
    page.mouse.move(500, 60)
    assert shot(page, f"plots-{'dark' if light_and_dark else 'light'}").stat().st_size > 50_000
