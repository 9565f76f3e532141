from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

from tests.browser.markup import assert_no_markup

CODE = """
import sys, time, logging
from himalia import Client
client = Client(n_workers=2, threads_per_worker=1)
def noisy(i):
    time.sleep(0.3)
    print("starting")
    logging.getLogger("my.code").warning("slow input %d", i % 2)
    logging.getLogger("my.code").error("<img src=x onerror=alert(1)> $$x$$")
    print("to stderr", file=sys.stderr)
    for line in range(8):
        print("call", i, "line", line)
"""


def test_what_calls_print_is_shown_under_their_cell(notebook: Callable[..., Any], light_and_dark: bool) -> None:
    nb = notebook([CODE, "futures = client.map(noisy, range(4))", "time.sleep(3)"], dark=light_and_dark)
    box = nb.output(1).locator(".himalia-output")
    expect(box).to_have_count(1)
    expect(box).to_contain_text("starting×4")
    expect(box).to_contain_text("call 3 line 7")
    expect(nb.output(2).locator(".himalia-output")).to_have_count(0)
    nb.show(1)
    box.locator("summary").click()
    expect(box.locator(".h-error").first).to_contain_text("<img src=x onerror=alert(1)> $$x$$")
    assert "-" in (box.locator(".h-line").first.get_attribute("title") or "")
    nb.shot(f"cell-output-{'dark' if light_and_dark else 'light'}")
    assert_no_markup(nb.page)
    nb.run("client.close()")
