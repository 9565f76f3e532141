"""Futures, lists and clients in a real page, changing while a cell blocks; a recording, moved by its slider."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from himalia import Client, LocalCluster
from tests.browser.chromium import shot
from tests.browser.markup import HOSTILE, assert_no_markup
from tests.integration.recorded import wait_until_told

START = """
import pathlib, time
from IPython.display import display
from himalia import Client, LocalCluster
cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
client = Client(cluster)
folder = pathlib.Path.cwd()
def wait_for(name):
    while not (folder / name).exists():
        time.sleep(0.02)
    return "moon"
"""
CALLS = 200
DRAWN = "() => window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle"


def double(number: int) -> int:
    time.sleep(0.005)
    return 2 * number


@pytest.mark.parametrize("front", ["lab", "notebook"])
def test_what_is_shown_changes_in_its_place_while_a_cell_blocks(
    notebook: Callable[..., Any], front: str, light_and_dark: bool
) -> None:
    book = notebook([START], front=front, dark=light_and_dark)
    future = book.run("future = client.submit(wait_for, 'one')\nfuture")
    expect(future).to_contain_text("pending")
    futures = book.run("futures = client.map(wait_for, ['some'] * 10 + ['all'] * 10, pure=False)\nfutures")
    shown = book.run("display(client)")
    expect(shown).to_contain_text("running")
    book.run("time.sleep(120)", wait=False)
    book.wait_running(-1)
    (book.path.parent / "one").touch()
    expect(future).to_contain_text("finished")
    (book.path.parent / "some").touch()
    expect(futures.locator(".h-status")).to_contain_text("10 of 20")
    (book.path.parent / "all").touch()
    expect(futures.locator(".h-status")).to_have_text("done")
    book.shot(f"reprs-{front}-{'dark' if light_and_dark else 'light'}")
    book.interrupt()
    book.wait_done(-1)
    book.run("client.close(); cluster.close()")
    expect(shown).to_contain_text("closed")
    saved = book.save()
    page = str(saved.cells[1].outputs[0])
    assert "finished" in page
    assert "pending" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)


CONTROLS = ("replay-play", "replay-time", "replay-now", "replay-speed", "replay-compare")
PLACES = {"header": "header", "brand": ".brand", "numbers": "#numbers", "card": "[data-plot=task_stream]"}
EDGES = """places => Object.fromEntries(Object.entries(places).map(
  ([name, place]) => [name, document.querySelector(place).getBoundingClientRect().toJSON()]))"""


def check_row(page: Any, width: int) -> None:
    """Check that a replay's controls are as wide as the cards and have room below, and numbers are below the title."""
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_function(DRAWN)
    edges = page.evaluate(EDGES, PLACES | {name: f"#{name}" for name in CONTROLS})
    assert edges["header"]["bottom"] - max(edges[name]["bottom"] for name in CONTROLS) >= 8
    assert max(edges[name]["right"] for name in CONTROLS) == edges["card"]["right"]
    assert edges["replay-play"]["left"] == edges["card"]["left"] == edges["numbers"]["left"]
    assert edges["numbers"]["top"] >= edges["brand"]["bottom"]
    shot(page, f"replay-row-{width}")


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Record a run with hostile names, end its cluster, and return the link of its replay."""
    path = tmp_path_factory.mktemp("replay") / "run.himalia"
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        with cluster.record(path):
            evil = [client.submit(double, number, key=text) for number, text in enumerate(HOSTILE)]
            client.gather(client.map(double, range(CALLS)))
            client.gather(evil)
            wait_until_told(cluster, CALLS + len(HOSTILE))
    command = [sys.executable, "-m", "himalia", "replay", "--no-browser", str(path), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            (link,) = re.findall(r"http://\S+", "".join(process.stdout.readline() for _ in range(3)))
            yield link
        finally:
            process.terminate()


def test_a_recording_is_moved_by_its_slider_and_runs(replayed: str, open_page: Callable[..., Any]) -> None:
    page = open_page(replayed)
    expect(page.get_by_role("cell", name="All functions")).to_be_visible()
    expect(page.locator("tbody tr").first).to_contain_text(str(CALLS + len(HOSTILE)))
    slider = page.get_by_label("Time of the recording")
    # Whole runs are compared: there is no moment to choose, and no numbers of one.
    expect(slider).to_have_count(0)
    expect(page.locator("#numbers")).to_be_hidden()
    page.wait_for_function(DRAWN)
    shot(page, "replay-compare-light")
    page.get_by_role("link", name="Status").click()
    done = page.locator("[data-number=done] b")
    expect(done).to_have_text(str(CALLS + len(HOSTILE)))
    slider.focus()
    page.keyboard.press("Home")
    expect(done).not_to_have_text(str(CALLS + len(HOSTILE)))
    page.get_by_role("link", name="Compare both").click()
    expect(page.locator("tbody tr").first).to_contain_text(str(CALLS + len(HOSTILE)))
    page.go_back()
    expect(done).not_to_have_text(str(CALLS + len(HOSTILE)))
    page.get_by_label("Speed").select_option("5")
    page.get_by_role("button", name="Play").click()
    expect(done).to_have_text(str(CALLS + len(HOSTILE)))
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    page.wait_for_function(DRAWN)
    for width in (600, 1280):
        check_row(page, width)
    shot(page, "replay-status-light")
    page.get_by_role("button", name="Light or dark").click()
    expect(page.locator("html")).to_have_attribute("data-drawn", "dark")
    page.wait_for_function(DRAWN)
    shot(page, "replay-status-dark")
    assert_no_markup(page)
    page.get_by_role("link", name="Info").click()
    assert_no_markup(page)
