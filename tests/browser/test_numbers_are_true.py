"""A load of which some calls end well, some fail and some are cancelled: every view tells what became of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

from tests.browser.chromium import shot
from tests.browser.notebook import Notebook

START = """
%load_ext himalia
import time
from collections import Counter
from himalia import Client, LocalCluster, progress, wait
cluster = LocalCluster(n_workers=2, threads_per_worker=1, name=None)
client = Client(cluster)
def fine(number):
    return number
def fail(number):
    if number % 3 == 0:
        raise ValueError(f"no {number}")
    return number
def stay(number):
    while True:
        time.sleep(0.02)
"""
LOAD = """
ended = client.map(fine, range(40)) + client.map(fail, range(30))
stuck = client.map(stay, range(6))
progress(ended, stuck)
_ = wait(ended)
"""
TRUTH = "sorted(Counter(future.status for future in ended + stuck).items())"
COUNTS = "list(client.scheduler_info()['counts'])"
"""Waiting, at hosts, done, failed, cancelled."""


def expect_numbers(widget: Any, dashboard: Any, card: Any, *, running: int, waiting: int, cancelled: int) -> None:
    """Expect the same in the widget, in the dashboard's header and on the client's card."""
    told = {"running": running, "waiting": waiting, "done": 60, "failed": 10} | ({"cancelled": 6} if cancelled else {})
    for name, number in told.items():
        expect(widget.locator(f"[data-count={name}]")).to_have_text(str(number))
        expect(dashboard.locator(f"[data-number={name}]")).to_have_text(f"{number} {name}")
    expect(card).to_contain_text(", ".join([f"{number} {word}" for word, number in told.items() if number]))


def test_every_view_tells_what_happened(notebook: Callable[..., Notebook], open_page: Callable[..., Any]) -> None:
    book = notebook([START, "cluster", "client"], dark=True, viewport={"width": 1280, "height": 1600})
    widget, card = book.output(1).locator(".himalia-widget"), book.output(2)
    dashboard = open_page(book.value("cluster.dashboard_link"), dark=True)
    load = book.run(LOAD)
    expect(load).to_contain_text("0 / 6")
    assert book.value(TRUTH) == str([("error", 10), ("finished", 60), ("pending", 6)])
    expect_numbers(widget, dashboard, card, running=2, waiting=4, cancelled=0)

    book.run("client.cancel(stuck)")
    assert book.value(TRUTH) == str([("cancelled", 6), ("error", 10), ("finished", 60)])
    expect_numbers(widget, dashboard, card, running=0, waiting=0, cancelled=6)
    assert book.value(COUNTS) == "[0, 0, 60, 10, 6]"
    for told in ("40 / 40", "30 / 30 10 failed", "0 / 6 6 cancelled"):
        expect(load).to_contain_text(told)
    expect(load).to_contain_text("70 of 76 tasks · 6 cancelled · 10 failed")
    shot(book.page, "numbers-notebook-dark")

    dashboard.get_by_role("link", name="Groups").click()
    expect(dashboard.locator("html")).to_have_attribute("data-theme", "dark")
    for name, numbers in (
        ("fine", ["40", "0", "0", "0"]),
        ("fail", ["30", "10", "0", "0"]),
        ("stay", ["0", "0", "6", "0"]),
    ):
        row = dashboard.locator("tbody tr").filter(has_text=name)
        expect(row.locator("td").nth(1)).to_have_text(numbers[0])
        assert row.locator("td").all_inner_texts()[1:5] == numbers
    dashboard.get_by_role("link", name="Errors").click()
    expect(dashboard.locator("article.error .times")).to_have_text("10 calls")
    shot(dashboard, "numbers-errors-dark")
    dashboard.close()  # before its cluster, which it would miss
