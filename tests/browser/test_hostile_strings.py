"""One cluster whose keys, functions, prints, logs, warnings and errors are all hostile, looked at everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import shot
from tests.browser.markup import HOSTILE, assert_no_markup, markup_in
from tests.browser.notebook import Notebook
from tests.unit.widgets.synthetic import history

WORK = """
import json, logging, types, warnings
from himalia import Client, LocalCluster, get_task_stream, performance_report, progress, wait
hostile = json.load(open("hostile.json"))
def work(text, fails):
    import logging, warnings
    print(text)
    logging.getLogger("user").warning("%s", text)
    warnings.warn(text)
    if fails:
        raise ValueError(text)
    return text
def named(text):
    function = types.FunctionType(work.__code__, globals(), text)
    function.__qualname__ = text
    return function
cluster = LocalCluster(n_workers=1, threads_per_worker=2)
client = Client(cluster)
"""
SUBMIT = """
assert len(hostile) == 200
with performance_report("report.html"):
    futures = [client.submit(named(text), text, i % 2, key=text) for i, text in enumerate(hostile)]
    wait(futures)
"""
LOOKS = [
    "cluster",
    SUBMIT,
    "progress(futures)",
    "futures",
    "futures[0]",
    "futures[1]",
    "client",
    "print(futures[3].explain())",
    "cluster.get_logs()",
    "futures[1].logs()",
]
TABS = ("stream", "progress", "scale", "logs", "workers")


@pytest.fixture
def looked_at(notebook: Callable[..., Notebook]) -> Notebook:
    opened = notebook([WORK, *LOOKS], timeout=120, files={"hostile.json": json.dumps(HOSTILE)})
    opened.run("futures[1].result()")
    return opened


def test_nothing_that_users_named_becomes_markup(looked_at: Notebook, open_page: Callable[..., Any]) -> None:
    page = looked_at.page
    assert_no_markup(page)
    widget = looked_at.output(1).locator(".himalia-widget")
    for tab in TABS:
        widget.locator(f"[data-tab={tab}]").click()
        assert_no_markup(page)
        shot(widget, f"hostile-{tab}")
    saved = looked_at.save()
    for cell in saved.cells:
        for output in cell.get("outputs", []):
            assert markup_in(str(output.get("data", {}).get("text/html", ""))) == [], cell.source

    report = open_page((looked_at.path.parent / "report.html").as_uri())
    report.wait_for_function("() => window.Bokeh?.documents?.length")
    assert_no_markup(report)
    shot(report, "hostile-report")


def test_no_plot_takes_a_name_for_more_than_text(open_page: Callable[..., Any], tmp_path: Path) -> None:
    from bokeh.embed import file_html
    from bokeh.resources import INLINE

    from himalia_widgets.plots import PLOTS, make_plot

    known = history(20.0, names=HOSTILE, hosts=1, workers=1, duration=0.1)
    plots = [make_plot(name, live=False) for name in PLOTS]
    for plot in plots:
        plot.update(known)
    page = tmp_path / "plots.html"
    page.write_text(file_html([plot.root for plot in plots], INLINE, title="plots"))
    opened = open_page(page.as_uri(), viewport={"width": 1280, "height": 5000})
    opened.wait_for_function("() => Bokeh.documents.length && Bokeh.documents[0].is_idle")
    assert_no_markup(opened)
    shot(opened, "hostile-plots")
    box = opened.locator(".bk-Figure").first.bounding_box()
    for step in range(1, 10):
        opened.mouse.move(box["x"] + box["width"] * step / 10, box["y"] + box["height"] / 2, steps=2)
        assert_no_markup(opened)
