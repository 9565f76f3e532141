from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tornado.iostream import IOStream

from himalia.registry.dashboard_key import CODE_SECONDS, mint, new_key
from himalia_widgets.dashboard import attendance, documents, server
from himalia_widgets.dashboard.guard import Guard
from tests.unit.widgets import synthetic
from tests.unit.widgets.dashboard.test_pages import told
from tests.waiting import wait_until

SECONDS = 2.0
"""After which a page is given up here."""
STAND_STILL = "seconds => { const end = Date.now() + 1000 * seconds; while (Date.now() < end); }"
BE_HIDDEN = """hidden => {
  Object.defineProperty(document, "visibilityState", {value: hidden ? "hidden" : "visible", configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""
HARMLESS = "not connected so cannot send"
"""What Bokeh's page says of itself when it was left."""


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[documents.OpenPage]:
    """Return a list of the pages that a server will make."""
    made: list[documents.OpenPage] = []

    class Noted(documents.OpenPage):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(documents, "OpenPage", Noted)
    return made


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch, opened: list[documents.OpenPage]) -> Iterator[str]:
    """Serve a made-up cluster that works on, and return the link to its dashboard."""
    monkeypatch.setattr(server, "LOOK", 0.1)
    monkeypatch.setattr(attendance, "LOOKS", int(SECONDS / 0.1))
    made_up = synthetic.MadeUpCluster()
    followed, key, stop, loops = told(), new_key(), asyncio.Event(), []

    async def work() -> None:
        loops.append(asyncio.get_running_loop())
        serving = asyncio.ensure_future(server.serve(followed, listener, Guard(key, "lab"), stop))
        while not stop.is_set():
            followed.history.take(made_up.step(), now=made_up.now)
            await asyncio.sleep(0.1)
        await serving
        while streams():  # of the context, which is closed by now
            await asyncio.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: asyncio.run(work()))
        thread.start()
        code = mint(key, "code", now=time.time(), seconds=CODE_SECONDS)
        yield "http://{}:{}/login?code={}&next=status".format(*listener.getsockname(), code)
        loops[0].call_soon_threadsafe(stop.set)
        thread.join()


def streams() -> list[IOStream]:
    """Return the open connections of all servers in this process."""
    return [one for one in gc.get_objects() if isinstance(one, IOStream) and not one.closed()]


def is_fed(page: documents.OpenPage) -> bool:
    """Return whether a page has answered to some drawings."""
    return bool(page.drawn.source.data["seen"][0] > 2)


def test_a_page_that_stood_still_for_too_long_loads_itself_again(
    link: str, opened: list[documents.OpenPage], context_for: Callable[..., tuple[Any, Any]]
) -> None:
    context, complaints = context_for()
    page = context.new_page()
    page.goto(link)
    wait_until(lambda: opened and is_fed(opened[0]))
    page.evaluate(STAND_STILL, SECONDS + 2)
    page.wait_for_function("() => window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle")
    wait_until(lambda: len(opened) == 2 and is_fed(opened[1]))
    complaints.lines = [line for line in complaints.lines if HARMLESS not in line]


def test_nothing_is_drawn_for_a_page_that_nobody_sees(
    link: str, opened: list[documents.OpenPage], context_for: Callable[..., tuple[Any, Any]]
) -> None:
    context, _ = context_for()
    page = context.new_page()
    page.goto(link)
    wait_until(lambda: opened and is_fed(opened[0]))
    page.evaluate(BE_HIDDEN, True)
    wait_until(lambda: not opened[0].may_draw and not opened[0].drawn.is_behind)
    drawn = opened[0].drawn.source.tags
    page.wait_for_timeout(1000 * SECONDS + 1000)
    assert opened[0].drawn.source.tags == drawn
    page.evaluate(BE_HIDDEN, False)
    wait_until(lambda: opened[0].drawn.source.tags[0] > drawn[0] + 2)
    assert len(opened) == 1, "it was not given up"
