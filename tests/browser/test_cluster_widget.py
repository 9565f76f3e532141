from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import shot
from tests.browser.notebook import Front, Notebook
from tests.waiting import wait_until

Open = Callable[..., Notebook]

START = """
import time
from himalia import Client, LocalCluster, wait
cluster = LocalCluster(n_workers=2, threads_per_worker=1, memory_limit="256 MiB", name=None)
client = Client(cluster)
"""
WORK = """
def load(part):
    time.sleep(0.02)
    return part
def clean(part):
    if part == 7:
        raise ValueError("part 7 is broken")
    print("cleaned", part)
    return part + 1
loaded = client.map(load, range(40))
cleaned = client.map(clean, loaded)
wait(cleaned)
"""
BLOCK = """
import pathlib
def slow(part):
    time.sleep(0.1)
    return part
display(cluster)
futures = client.map(slow, range(10_000))
while not pathlib.Path("go").exists():
    time.sleep(0.05)
del futures
"""
LOOK = """
import asyncio, threading
from himalia_widgets.widget import model
def look():
    [widget] = model._widgets.values()
    threads = [t for t in threading.enumerate() if t.name == "himalia-widget"]
    return [len(model._widgets), len(threads), len(widget.board.leases.views)]
async def wait_for_end():
    ours = ("himalia-widget", "himalia-feed")
    deadline = time.monotonic() + 20
    while any(t.name in ours for t in threading.enumerate()) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    return look()
"""
HELD = """
def hold(part):
    time.sleep(300)
def later(part, held):
    return part
held = client.submit(hold, 0)
waiting = client.map(later, range(20), [held] * 20)
"""
MARKUP = """
evil = ["<img src=x onerror=window.pwned=1>", "<script>window.pwned=1</script>", "$$x$$<b class=pwned>"]
evil += ["</style><b class=pwned>b</b>"]
def job(text, n):
    print(text, n)
    return n
tasks = []
for n in range(40):
    job.__name__ = job.__qualname__ = evil[n % 4]
    tasks.append(client.submit(job, evil[n % 4], n, key=f"{evil[n % 4]}-{n}"))
wait(tasks)
"""
CLEAR = "() => { window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs'); }"
FILLED = 1000
"""ms until a plot that is there is also filled; for pictures only, which nothing is compared with."""


def widget(notebook: Notebook, index: int = -1) -> Any:
    """Return the widget below a cell; −1: the only one of the page."""
    if index >= 0:
        return notebook.output(index).locator(".himalia-widget")
    return notebook.page.locator(".himalia-widget")


def tab(view: Any, name: str) -> Any:
    """Open a tab and return its panel."""
    view.get_by_role("tab", name=name).click()
    return view.locator("[role=tabpanel]:not([hidden])")


def shot_of_plot(target: Any, panel: Any, name: str) -> Path:
    """Take a picture of the widget, or of a part of it, once the plot in the open tab is drawn."""
    expect(panel.locator("canvas").first).to_be_visible()
    target.page.wait_for_timeout(FILLED)
    return shot(target, name)


@pytest.mark.parametrize("front", ["lab", "notebook"])
def test_each_tab_shows_what_is_true_of_the_cluster(notebook: Open, front: Front, light_and_dark: bool) -> None:
    opened = notebook([START, "cluster", WORK], front=front, dark=light_and_dark)
    mode = "dark" if light_and_dark else "light"
    view = widget(opened)
    view.scroll_into_view_if_needed()
    expect(view.locator(".hw-pill")).to_have_text("running")
    expect(view.locator("[data-tile=workers] dd")).to_have_text("2")
    expect(view.locator("[data-tile=threads] dd")).to_have_text("2")
    expect(view.locator("[data-count=done]")).to_have_text("79")
    expect(view.locator("[data-count=failed]")).to_have_text("1")
    expect(view.locator("[data-count=running]")).to_have_text("0")

    expect(view.locator(".hw-table tbody tr[data-worker]:visible")).to_have_count(2)
    names = sorted(view.locator("tbody tr[data-worker] td:first-child").all_inner_texts())
    shot(view, f"widget-workers-{front}-{mode}")
    shot_of_plot(view, tab(view, "Task stream"), f"widget-stream-{front}-{mode}")
    shot_of_plot(view, tab(view, "Progress"), f"widget-progress-{front}-{mode}")
    scale = tab(view, "Scale")
    expect(scale).to_contain_text("All 2 requested workers are here.")
    shot(view, f"widget-scale-{front}-{mode}")
    logs = tab(view, "Logs")
    expect(logs.locator(".hw-line:visible").first).to_be_visible()
    shot(view, f"widget-logs-{front}-{mode}")
    assert opened.value("sorted(w['name'] for w in cluster.workers.values())") == str(names)


def test_it_is_live_while_a_cell_keeps_the_kernel_and_its_buttons_say_that_they_wait(notebook: Open) -> None:
    opened = notebook([START])
    opened.run(BLOCK, wait=False)
    view = widget(opened)
    expect(view.locator(".hw-pill")).to_have_text("running")
    expect(view.locator("[data-count=running]")).to_have_text("2")
    done = view.locator("[data-count=done]")
    first = done.inner_text()
    expect(done).not_to_have_text(first)
    assert int(done.inner_text()) > int(first)
    expect(view.get_by_role("link", name="Dashboard")).to_have_attribute("href", re.compile(r"/login\?code="))
    shot(view, "widget-live-workers")
    shot_of_plot(view, tab(view, "Task stream"), "widget-live-stream")
    logs = tab(view, "Logs")
    expect(logs).to_contain_text("Waits for the running cell")
    scale = tab(view, "Scale")
    scale.get_by_label("Amount").fill("1")
    scale.get_by_role("button", name="Scale").click()
    expect(scale.get_by_role("status")).to_contain_text("waits for the running cell")
    shot(view, "widget-waits")
    (opened.path.parent / "go").touch()
    expect(scale.get_by_role("status")).to_contain_text("Asked for 1 worker")
    expect(scale).to_contain_text("The 1 requested worker is here.")
    (opened.path.parent / "go").unlink()
    opened.run("import asyncio\nfrom himalia_widgets.widget import leases\nleases.PERIOD = 0.2")
    opened.run("await asyncio.sleep(7)", wait=False)  # the loop turns, and yet no page is heard
    opened.page.wait_for_timeout(5500)
    expect(view.locator(".hw-pill")).to_have_text("running")


def test_views_come_and_go_and_nothing_is_left_of_them(notebook: Open) -> None:
    opened = notebook([START, "cluster", "cluster", LOOK], dark=True)
    for index in (1, 2):
        opened.show(index)
        expect(widget(opened, index).locator(".hw-pill")).to_have_text("running")
    assert opened.value("look()") == "[1, 1, 2]"  # one model, one thread, two views
    opened.save()
    opened.reload()
    opened.show(1)
    expect(widget(opened, 1).locator(".hw-pill")).to_have_text("running")
    expect(widget(opened, 1).locator("[data-tile=workers] dd")).to_have_text("2")
    opened.page.evaluate(CLEAR)
    expect(widget(opened)).to_have_count(0)
    assert opened.value("await wait_for_end()") == "[1, 0, 0]"
    again = opened.run("cluster").locator(".himalia-widget")
    expect(again.locator(".hw-pill")).to_have_text("running")


def test_a_closed_cluster_stays_to_be_looked_at_and_a_restarted_kernel_is_noticed(notebook: Open) -> None:
    opened = notebook([START, "cluster", WORK, LOOK])
    view = widget(opened, 1)
    expect(view.locator("[data-count=done]")).to_have_text("79")
    opened.run("client.close(); cluster.close()")
    expect(view.locator(".hw-pill")).to_have_text("closed")
    rows = view.locator("tbody tr[data-worker]:visible")
    expect(rows.locator("[data-column=cpu]")).to_have_text(["–", "–"])
    expect(rows.locator("[data-column=seen]")).to_have_text([re.compile(r"^\d\d:\d\d:\d\d$")] * 2)
    assert opened.value("await wait_for_end()")[:5] == "[1, 0"
    expect(tab(view, "Progress").locator("canvas").first).to_be_visible()
    expect(tab(view, "Scale").get_by_role("button", name="Scale")).to_be_disabled()
    opened.save()
    opened.reload()
    opened.show(1)
    expect(view.locator(".hw-pill")).to_have_text("closed")
    expect(view.locator("[data-count=done]")).to_have_text("79")
    opened.run(START)
    newer = opened.run("cluster").locator(".himalia-widget")
    expect(newer.locator(".hw-pill")).to_have_text("running")
    opened.restart_kernel()
    expect(newer.locator(".hw-pill")).to_contain_text("no news")
    opened.run(START)
    newest = opened.run("cluster").locator(".himalia-widget")
    expect(newest.locator(".hw-pill")).to_have_text("running")


def test_rows_lead_to_logs_and_restart_their_worker(notebook: Open) -> None:
    opened = notebook(
        [
            START,
            "pids = lambda: {w['name']: w['pid'] for w in cluster.workers.values()}\nbefore = pids()",
            WORK,
            "cluster",
        ]
    )
    view = widget(opened)
    # short calls may all have run on one worker
    name = opened.value("next(name for name, text in cluster.get_logs().items() if 'cleaned' in text)")
    row = view.locator(f"tbody tr[data-worker='{name}']:visible")
    row.get_by_role("button", name="Logs").click()
    lines = view.locator(".hw-line:visible")
    expect(lines.first).to_contain_text("cleaned")
    expect(lines.filter(has=opened.page.locator(".hw-process-name").filter(has_not_text=name))).to_have_count(0)
    panel = tab(view, "Logs")
    panel.get_by_label("Search lines").fill("cleaned 1")
    expect(lines.filter(has_not_text="cleaned 1")).to_have_count(0)
    tab(view, "Workers")
    row.get_by_role("button", name=f"Restart {name}").click()
    row.get_by_role("button", name="Keep").click()
    row.get_by_role("button", name=f"Restart {name}").click()
    row.get_by_role("button", name="Restart now").click()
    expect(view.get_by_text(f"{name} was restarted.")).to_be_visible()
    assert opened.value("[before[n] != pids()[n] for n in sorted(before)]").count("True") == 1


def test_keys_move_between_tabs_and_sort_and_search_the_table(notebook: Open) -> None:
    opened = notebook([START, "cluster"])
    view = widget(opened)
    first = view.get_by_role("tab", name="Workers")
    first.focus()
    for key, name in (
        ("ArrowRight", "Task stream"),
        ("End", "Logs"),
        ("ArrowRight", "Workers"),
        ("ArrowLeft", "Logs"),
        ("Home", "Workers"),
    ):
        opened.page.keyboard.press(key)
        expect(view.get_by_role("tab", name=name)).to_be_focused()
        expect(view.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
    head = view.locator("th[data-column=memory]")
    head.get_by_role("button").focus()
    opened.page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    opened.page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    rows = view.locator("tbody tr[data-worker]:visible")
    expect(rows).to_have_count(2)
    view.get_by_label("Search workers").focus()
    opened.page.keyboard.type(rows.locator("td:first-child").last.inner_text())
    expect(rows).to_have_count(1)
    opened.page.keyboard.type("nobody")
    expect(view.get_by_text("No worker matches.")).to_be_visible()
    assert opened.page.locator(".jp-CodeCell").count() == 2  # the notebook took none of these keys


def test_plots_take_the_colours_of_the_theme_and_bars_say_what_they_are(notebook: Open) -> None:
    opened = notebook([START, "cluster", WORK, HELD])
    view = widget(opened, 1)
    opened.show(1)
    expect(view.locator("[data-count=waiting]")).to_have_text("20")
    progress = tab(view, "Progress")
    light = shot_of_plot(progress.locator(".hw-plot"), progress, "widget-progress-theme").read_bytes()
    opened.set_dark(True)
    expect(progress.locator("canvas").first).to_be_visible()
    wait_until(lambda: shot(progress.locator(".hw-plot"), "widget-progress-theme").read_bytes() != light)
    detail = progress.locator(".hw-detail")

    def is_told() -> bool:
        """Click on the bar of what waits, until it is drawn."""
        plot = progress.locator(".hw-plot").bounding_box()
        opened.page.mouse.click(plot["x"] + plot["width"] * 0.7, plot["y"] + 8 + 26)
        opened.page.wait_for_timeout(500)
        return bool(detail.is_visible())

    wait_until(is_told)
    expect(detail).to_contain_text("waits for its input")
    shot(view, "widget-why")
    detail.get_by_role("button", name="Close details").click()
    expect(detail).to_be_hidden()


def test_what_users_call_things_never_becomes_markup(notebook: Open) -> None:
    opened = notebook([START, "cluster", MARKUP])
    view = widget(opened, 1)
    expect(view.locator("[data-count=done]")).to_have_text("40")
    for name in ("Task stream", "Progress", "Scale", "Logs"):
        panel = tab(view, name)
        opened.page.wait_for_timeout(1200)
        canvas = panel.locator("canvas").first
        if canvas.count():
            box = canvas.bounding_box()
            for part in (0.3, 0.6, 0.9):
                opened.page.mouse.move(box["x"] + box["width"] * 0.95, box["y"] + box["height"] * part)
                opened.page.mouse.click(box["x"] + box["width"] * 0.95, box["y"] + box["height"] * part)
                opened.page.wait_for_timeout(200)
    expect(view.locator(".hw-line:visible").filter(has_text="<img").first).to_be_visible()
    assert view.locator("img, script, iframe, b.pwned").count() == 0
    assert opened.page.evaluate("window.pwned") is None
