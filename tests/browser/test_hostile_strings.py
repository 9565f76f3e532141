"""One cluster whose keys, functions, prints, logs, warnings and errors are all hostile, looked at everywhere."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from himalia import Client, LocalCluster, wait
from himalia_widgets.dashboard.layout import PAGES
from tests.browser.chromium import shot
from tests.browser.markup import HOSTILE, assert_no_markup, markup_in
from tests.browser.notebook import Notebook
from tests.unit.widgets.synthetic import history
from tests.waiting import PATIENCE

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


def work(text: str, fails: bool) -> str:
    print(text)
    if fails:
        raise ValueError(text)
    return text


def named(text: str) -> Callable[[str, bool], str]:
    """Return ``work`` under a name."""
    function = types.FunctionType(work.__code__, {}, text)
    function.__qualname__ = text
    return function


@pytest.fixture
def hostile_cluster() -> Iterator[LocalCluster]:
    """A cluster whose second host is called by a hostile name, and so are its workers; half of the calls are theirs."""
    host, many = HOSTILE[1], range(len(HOSTILE))
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster, Client(cluster) as client:
        command = [
            sys.executable,
            "-m",
            "himalia",
            "worker",
            cluster.name,
            "--nworkers=1",
            "--nthreads=1",
            "--name",
            host,
        ]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            client.wait_for_workers(2, timeout=PATIENCE)
            assert f"{host}-0" in cluster.workers
            places = sorted(cluster.workers)
            futures = [
                client.submit(named(HOSTILE[i]), HOSTILE[i], i % 2, key=HOSTILE[i], workers=[places[i // 2 % 2]])
                for i in many
            ]
            moved = client.submit(len, futures[::2], key="moved", workers=[f"{host}-0"])
            wait([*futures, moved])
            yield cluster
            del futures, moved
            process.terminate()


def test_no_page_of_the_dashboard_takes_a_name_for_more_than_text(
    hostile_cluster: LocalCluster, open_page: Callable[..., Any]
) -> None:
    page = open_page(hostile_cluster.dashboard_link)
    base = page.url.split("status")[0]
    places = [one.path[1:] for one in PAGES if one.in_navigation]
    places += [f"worker?{urlencode({'name': name})}" for name in hostile_cluster.workers]
    places += [f"info?{urlencode({'key': key})}" for key in HOSTILE[:40:3]]
    for place in places:
        page.goto(base + place)
        page.wait_for_function("() => !window.Bokeh?.documents?.length || Bokeh.documents[0].is_idle")
        page.locator("[data-number=workers]").wait_for()
        page.wait_for_timeout(300)
        assert_no_markup(page)
        shot(page, f"hostile-dashboard-{place.partition('?')[0]}")


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
