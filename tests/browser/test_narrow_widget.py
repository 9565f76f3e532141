"""The widget where there is little room: a notebook beside others, and a small window."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import shot
from tests.browser.notebook import Notebook

Open = Callable[..., Notebook]

START = """
import numpy
from himalia import Client, LocalCluster, wait
cluster = LocalCluster(n_workers=2, threads_per_worker=1, memory_limit="256 MiB", name=None)
client = Client(cluster)
kept = client.submit(numpy.ones, 6_000_000)
wait(kept)
value = kept.result()
"""
BOXES = """
view => {
  const box = element => {
    const { left, right, top, bottom } = element.getBoundingClientRect();
    return { left, right, top, bottom };
  };
  const seen = selector => [...view.querySelectorAll(selector)].filter(element => element.checkVisibility());
  return {
    view: box(view),
    tiles: Object.fromEntries(seen(".hw-tiles > div").map(tile => [tile.dataset.tile, box(tile)])),
    bars: seen(".hw-tiles .hw-bar").map(box),
    rows: seen("tr[data-worker]").map(row => [...row.cells].filter(cell => cell.checkVisibility()).map(box)),
    scrolls: (table => table.scrollWidth > table.clientWidth)(view.querySelector(".hw-table")),
  };
}
"""


def boxes(view: Any) -> Any:
    return view.evaluate(BOXES)


def resize(view: Any, width: int) -> None:
    view.evaluate("(view, width) => { view.parentElement.style.width = `${width}px` }", width)


def test_at_no_width_does_anything_lie_on_something_else_or_move_when_memory_is_held(notebook: Open) -> None:
    opened = notebook([START, "cluster"])
    view = opened.page.locator(".himalia-widget")
    small = view.locator("[data-tile='results in memory'] dt")
    expect(small).to_contain_text("held")
    held = {}
    for width in (420, 565, 842):
        resize(view, width)
        shot(view, f"widget-{width}")
        held[width] = found = boxes(view)
        inside = found["view"]
        assert inside["right"] - inside["left"] == pytest.approx(width, abs=5)
        assert set(found["tiles"]) == {"workers", "threads", "results in memory", "tasks", "uptime"}
        for box in [*found["tiles"].values(), *found["bars"]]:
            assert inside["left"] < box["left"] < box["right"] <= inside["right"], "cut off at an edge"
        for bar in found["bars"]:
            assert bar["right"] <= inside["right"] - 8, "runs to the edge"
        assert len(found["rows"]) == 2
        for row in found["rows"]:
            assert all(left["right"] <= right["left"] + 1 for left, right in pairwise(row))
            assert width < 500 or row[-1]["right"] <= inside["right"], "its buttons are in sight"
        assert found["scrolls"] == (width < 500)
    opened.run("value = None")
    expect(small).to_have_text("Results in memory")
    for width, before in held.items():
        resize(view, width)
        assert boxes(view)["tiles"] == before["tiles"]


LEFTS = "text => [text.previousElementSibling, text].map(element => element.getBoundingClientRect().left)"
PRINT = """
def tell(part):
    print("part", part, "of", "/data/" + "observations/" * 20 + "end")
for part in range(5):
    client.submit(tell, part).result()  # one after the other: the end is in sight
"""


def test_lines_of_output_have_the_width_and_all_of_a_long_one_can_be_read(notebook: Open) -> None:
    opened = notebook([START, "cluster", PRINT])
    opened.show(1)
    view = opened.page.locator(".himalia-widget")
    view.get_by_role("tab", name="Logs").click()
    rows = view.locator(".hw-line:visible")
    for width in (842, 480):
        resize(view, width)
        text = rows.filter(has_text="part 4").locator(".hw-text")
        expect(text).to_be_visible()
        expect(rows.filter(has_text="end").last).to_be_visible()
        shot(view, f"widget-logs-{width}")
        left, right = text.evaluate(LEFTS)
        assert right - left < 30, "nothing is between name and text where no line has a level"
        scroller = view.locator(".hw-lines")
        assert scroller.evaluate("scroller => scroller.scrollWidth <= scroller.clientWidth"), "nothing is cut"
        told = "".join(view.locator(".hw-line:visible .hw-text").all_inner_texts())
        assert "part 4 of /data/" + "observations/" * 20 + "end" in told


GROUND_AND_EDGES = """
card => {
  const { left, right } = card.getBoundingClientRect();
  return [getComputedStyle(card).backgroundColor, Math.round(left), Math.round(right)];
}
"""


def test_cards_have_the_ground_and_the_edges_of_the_widget(notebook: Open) -> None:
    opened = notebook([START, "cluster", "client", "[kept]"], dark=True)
    opened.show(2)
    card = opened.output(2).locator(".himalia")
    expect(card).to_be_visible()
    expected = opened.output(1).locator(".himalia-widget").evaluate(GROUND_AND_EDGES)
    shot(opened.page, "cards-and-widget-dark")
    assert card.evaluate(GROUND_AND_EDGES) == expected
    assert card.get_by_role("link").get_attribute("href").startswith("http://")
    assert opened.output(2).evaluate("output => output.scrollWidth <= output.clientWidth"), "nothing sticks out"
