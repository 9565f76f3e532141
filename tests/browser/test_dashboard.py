from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from himalia import Client, LocalCluster, wait
from himalia_widgets.dashboard.layout import INDIVIDUAL, PAGES
from tests.browser.chromium import shot
from tests.browser.markup import HOSTILE, assert_no_markup

CALLS = 40


def inc(x: int) -> int:
    return x + 1


def fail(text: str) -> None:
    raise ValueError(text)


def say(x: int) -> int:
    print(f"WARNING: <b>{x}</b> said")
    return x


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster that has had calls, failures and prints."""
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster) as client:
        futures = client.map(inc, range(CALLS))
        total = client.submit(sum, futures, key="total")
        failed = client.map(fail, list(HOSTILE[:20]))
        said = client.map(say, range(3))
        wait([total, *failed, *said])
        yield cluster
        del futures, total, failed, said


def opened(open_page: Callable[..., Any], cluster: Any, *, dark: bool = False) -> tuple[Any, str]:
    """Open the dashboard by its link; return the page and where the dashboard is."""
    page = open_page(cluster.dashboard_link, dark=dark)
    return page, page.url.split("status")[0]


def wait_for_plots(page: Any) -> None:
    """Wait until Bokeh has drawn something on each of the plots."""
    page.wait_for_function("() => window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle")


def test_each_page_opens_without_an_error_in_light_and_dark(
    cluster: Any, open_page: Callable[..., Any], light_and_dark: bool
) -> None:
    page, base = opened(open_page, cluster, dark=light_and_dark)
    theme = "dark" if light_and_dark else "light"
    for one in PAGES:
        if one.in_navigation:
            page.goto(base + one.path[1:] + f"?theme={theme}")
            assert page.locator("nav a[aria-current=page]").inner_text() == one.title
        else:
            page.goto(f"{base}worker?name={next(iter(cluster.workers))}&theme={theme}")
        if one.plots:
            wait_for_plots(page)
        page.locator("[data-number=workers]").wait_for()
        assert page.locator("html").get_attribute("data-theme") == theme
        assert_no_markup(page)
        shot(page, f"dashboard-{one.path[1:]}-{theme}")


def test_numbers_are_those_of_the_cluster(cluster: Any, open_page: Callable[..., Any]) -> None:
    page, _ = opened(open_page, cluster)
    expect(page.locator("[data-number=workers]")).to_have_text("2 workers")
    expect(page.locator("[data-number=done]")).to_have_text(f"{CALLS + 1 + 3} done")
    expect(page.locator("[data-number=failed]")).to_have_text("20 failed")

    page.get_by_role("link", name="Workers").click()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(2)
    names = [row.locator("td").first.inner_text() for row in rows.all()]
    assert sorted(names) == sorted(cluster.workers)
    page.get_by_role("link", name=names[0]).click()
    expect(page.locator("h1")).to_have_text(f"Worker {names[0]}")
    expect(page.locator(".facts")).to_contain_text(str(cluster.workers[names[0]]["pid"]))

    page.get_by_role("link", name="Errors").click()
    expect(page.locator("article.error").first).to_contain_text("ValueError")
    counts = page.locator("article.error .times").all_inner_texts()
    assert sum(int(re.sub(r"\D", "", text)) for text in counts) == 20

    page.get_by_role("link", name="Logs").click()
    page.get_by_role("searchbox").fill("<b>2</b> said")
    expect(page.locator(".line .text").first).to_contain_text("WARNING: <b>2</b> said")

    page.get_by_role("link", name="Info").click()
    page.get_by_role("searchbox").fill("total")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".task")).to_contain_text("finished")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr a")).to_have_text(re.compile("|".join(names)))
    expect(page.locator(".keys a").first).to_have_text(re.compile("^inc-"))


def test_each_plot_opens_alone_and_the_list_of_them_is_complete(cluster: Any, open_page: Callable[..., Any]) -> None:
    page, base = opened(open_page, cluster)
    listed = page.request.get(f"{base}individual-plots.json").json()
    assert set(listed) == {one.path[1:] for one in INDIVIDUAL}
    for address in listed:
        page.goto(base + address)
        wait_for_plots(page)
        assert page.locator("header").count() == 0


def test_the_switch_changes_the_theme_and_it_stays(cluster: Any, open_page: Callable[..., Any]) -> None:
    page, _ = opened(open_page, cluster)
    page.locator("#theme").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator("html")).to_have_attribute("data-drawn", "dark")
    page.get_by_role("link", name="Memory").click()
    expect(page.locator("html")).to_have_attribute("data-drawn", "dark")


def test_plots_show_what_happens_while_the_page_is_open(cluster: Any, open_page: Callable[..., Any]) -> None:
    page, _ = opened(open_page, cluster)
    wait_for_plots(page)
    with Client(cluster) as client:
        done = client.map(inc, range(1000, 1020), key=[f"fresh-{number}" for number in range(20)])
        wait(done)
        page.wait_for_function(
            "() => [...Bokeh.documents[0]._all_models.values()].some((model) => "
            "model.name === 'himalia-task_stream-calls' && [...model.data.key ?? []].some((key) => /fresh/.test(key)))"
        )


def test_lines_of_logs_are_dense_and_tables_end_at_their_frame(open_page: Callable[..., Any], cluster: Any) -> None:
    page, place = opened(open_page, cluster)
    page.goto(place + "logs")
    lines = page.locator(".log .line")
    expect(lines.nth(1)).to_be_visible()
    first, second = [lines.nth(at).bounding_box() for at in (0, 1)]
    assert second["y"] - first["y"] <= 20
    name, text = [lines.first.locator(part).bounding_box() for part in (".process", ".text")]
    longest = max(map(len, page.locator(".log .process").all_inner_texts()))
    assert text["x"] - name["x"] <= longest * 8 + 20, "the text begins where names end"
    shot(page, "dashboard-logs-dense")
    for path in ("workers", "groups"):
        page.goto(place + path)
        last = page.locator("#content .scroll tbody tr").last
        expect(last).to_be_visible()
        shot(page, f"dashboard-{path}-frame")
        row, card = last.bounding_box(), page.locator("#content .scroll").first.bounding_box()
        assert card["y"] + card["height"] - row["y"] - row["height"] <= 2, path
