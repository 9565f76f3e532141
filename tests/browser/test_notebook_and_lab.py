from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import Complaints, shot
from tests.browser.notebook import Front, Notebook, write_notebook

START = """
from himalia import Client, LocalCluster, progress, wait
cluster = LocalCluster(n_workers=2, threads_per_worker=1)
client = Client(cluster)
"""
HOLD = """
import pathlib, time
def hold():
    while not pathlib.Path("go").exists():
        time.sleep(0.02)
"""
"""Keeps the cell running until the test lets it go."""
WORK = """
def square(x):
    print("squaring", x % 2)
    if x == 13:
        raise ValueError("thirteen brings bad luck")
    return x * x
futures = client.map(square, range(40))
wait(futures)
hold()
"""


def widget(notebook: Notebook, index: int = 1) -> Any:
    return notebook.output(index).locator(".himalia-widget")


@pytest.mark.parametrize(("front", "dark"), [("lab", False), ("notebook", True)], ids=["lab", "notebook"])
def test_what_a_person_sees_while_a_cell_runs_and_afterwards(
    notebook: Callable[..., Notebook], front: Front, dark: bool
) -> None:
    opened = notebook([START + HOLD, "cluster"], front=front, dark=dark, fresh=True)
    live = widget(opened)
    expect(live.locator(".hw-pill")).to_have_text("running")
    expect(live.locator("[data-tile=workers] dd")).to_have_text("2")

    opened.run(WORK, wait=False)
    expect(live.locator("[data-count=done]")).to_have_text("39")
    expect(live.locator("[data-count=failed]")).to_have_text("1")
    expect(opened.output(2)).to_contain_text("squaring 1")
    opened.wait_running(2)  # all this while the cell still runs
    opened.shot(f"blocked-{front}")
    (opened.path.parent / "go").touch()
    opened.wait_done(2)
    expect(opened.output(2)).to_contain_text("squaring 0")

    failed = opened.run("futures[13].result()")
    expect(failed).to_contain_text("thirteen brings bad luck")
    assert opened.value("sum(f.status == 'finished' for f in futures)") == "39"
    bar = opened.run("more = client.map(lambda x: x + 1, range(50)); progress(more)")
    expect(bar).to_contain_text("50")

    opened.reload()
    live.scroll_into_view_if_needed()
    expect(live.locator(".hw-pill")).to_have_text("running")
    expect(live.locator("[data-count=done]")).to_have_text("89")
    opened.run("cluster.scale(1); cluster")
    expect(live.locator("[data-tile=workers] dd")).to_have_text("1")
    opened.set_dark(not dark)
    opened.shot(f"reloaded-{front}")

    opened.restart_kernel()
    expect(live.locator(".hw-pill")).to_contain_text("no news")
    opened.run_all(wait=False)
    expect(live.locator(".hw-pill")).to_have_text("running", timeout=60_000)  # a new kernel starts a new cluster


def test_a_saved_notebook_shows_the_cluster_without_a_kernel_and_tells_no_secret(
    notebook: Callable[..., Notebook], context_for: Callable[..., tuple[Any, Complaints]], light_and_dark: bool
) -> None:
    opened = notebook([START, "cluster", "client", "futures = client.map(abs, range(3))", "futures"])
    opened.run("open('secret', 'w').write(cluster.credentials.secret.hex())")
    saved = opened.save()
    secret = (opened.path.parent / "secret").read_text()
    assert len(secret) >= 32
    assert secret not in opened.path.read_text()
    assert "login?code=" not in opened.path.read_text()
    shown = [output for cell in saved.cells for output in cell.outputs if "text/html" in output.get("data", {})]
    assert len(shown) >= 3
    assert all("<script" not in str(output["data"]["text/html"]) for output in shown)

    page = read_without_kernel(opened.path, context_for, dark=light_and_dark)
    expect(page.locator(".jp-OutputArea-output").get_by_text("LocalCluster").first).to_be_visible()
    assert page.get_by_text("Error displaying widget").count() == 0
    shot(page, f"exported-{'dark' if light_and_dark else 'light'}")


def test_a_notebook_that_nbconvert_executes_shows_the_cluster_without_scripts(
    tmp_path: Path, context_for: Callable[..., tuple[Any, Complaints]]
) -> None:
    path = tmp_path / "executed.ipynb"
    write_notebook(path, [START, "cluster", "client.close(); cluster.close()"])
    page = read_without_kernel(path, context_for, "--execute", dark=False)
    shown = page.locator(".jp-OutputArea-output .himalia").first
    expect(shown).to_contain_text("LocalCluster")
    expect(shown).to_contain_text("Workers 2")
    shot(page, "executed")


def read_without_kernel(
    path: Path, context_for: Callable[..., tuple[Any, Complaints]], *options: str, dark: bool
) -> Any:
    """Return the page of the notebook as nbconvert exports it, with the network cut off."""
    theme = "dark" if dark else "light"
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--theme", theme, *options, str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    context, complaints = context_for(color_scheme="dark" if dark else "light")
    context.route("http*://**", lambda route: route.abort())
    page = context.new_page()
    page.goto(path.with_suffix(".html").as_uri())
    complaints.lines.clear()  # nbconvert's own page asks for MathJax
    return page
