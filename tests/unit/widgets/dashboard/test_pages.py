from __future__ import annotations

import asyncio
import json
from html.parser import HTMLParser
from typing import Any

import pytest
from bokeh.document import Document
from tornado.httpserver import HTTPServer
from tornado.httputil import url_concat
from tornado.simple_httpclient import SimpleAsyncHTTPClient
from tornado.testing import bind_unused_port
from tornado.web import Application

from himalia.errors import ClosedError
from himalia.messages.answers import ProcessLogs, ProfileSamples, TaskView
from himalia.messages.client import Telemetry
from himalia.messages.parts import Frame, TaskError
from himalia.messages.telemetry import ErrorSummary, LogLine
from himalia.names import Key
from himalia.show.unseen import no_samples
from himalia_widgets.dashboard.documents import ASKING, RECORDED, OpenPage, SharedColumns
from himalia_widgets.dashboard.layout import INDIVIDUAL, PAGES, TEMPLATE, Page, frame
from himalia_widgets.dashboard.pages import applications, handlers
from himalia_widgets.plots import PLOTS
from himalia_widgets.view.followed import Followed
from himalia_widgets.view.history import History
from tests.unit.widgets import synthetic
from tests.unit.widgets.corpus import MARKUP
from tests.unit.widgets.foreign import ForeignSource

NASTY = [text for text in MARKUP if text.isprintable() or "<" in text]


class Told(ForeignSource):
    """A source that has told everything already, under names that nobody should choose."""

    profiled = 0

    async def describe_task(self, key: str) -> TaskView:
        if key == "gone":
            raise ClosedError("The cluster has ended.")
        return TaskView(Key(key), why=key)

    async def logs(self, since: float = 0.0) -> ProcessLogs:
        return ProcessLogs({text: [LogLine(2.0 - number, "stderr", text, text)] for number, text in enumerate(NASTY)})

    async def profile(self, since: float = 0.0) -> ProfileSamples:
        self.profiled += 1
        return ProfileSamples({"w": [(self.time, "main (a.py:1);inner (b.py:2)", 3)]})


def told(history: History | None = None, source: Told | None = None) -> Followed:
    followed = Followed(source or Told())
    followed.history = history if history is not None else synthetic.history(10)
    return followed


def get(followed: Followed, *paths: str) -> list[str]:
    """Return what a server with these pages answers."""

    async def ask() -> list[str]:
        listener, port = bind_unused_port()
        server = HTTPServer(Application(handlers(followed)))
        server.add_sockets([listener])
        client = SimpleAsyncHTTPClient(force_instance=True)
        try:
            return [(await client.fetch(f"http://127.0.0.1:{port}{path}")).body.decode() for path in paths]
        finally:
            client.close()
            server.stop()

    return asyncio.run(ask())


class Tags(HTMLParser):
    """Collects the tags of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(sorted(name for name, _ in attrs))))


DRAWN = [page.path for page in (*PAGES, *INDIVIDUAL) if page.plots]


def test_every_page_with_plots_has_an_application() -> None:
    assert set(applications(told(History()))) == set(DRAWN)


@pytest.mark.parametrize("path", DRAWN)
@pytest.mark.parametrize("history", [History(), synthetic.history(10)], ids=["empty", "full"])
def test_every_application_makes_a_document(history: History, path: str) -> None:
    document = applications(told(history))[path].create_document()
    assert document.roots
    assert Document.from_json(document.to_json()).roots


def test_each_plot_has_a_page_of_its_own_that_the_list_names() -> None:
    (listed,) = get(told(), "/individual-plots.json")
    assert set(json.loads(listed)) == {page.path[1:] for page in INDIVIDUAL}
    assert len(INDIVIDUAL) == len(PLOTS)


def test_a_document_draws_only_what_changed_and_only_while_somebody_looks() -> None:
    followed, page = told(), next(page for page in PAGES if page.path == "/status")
    opened = OpenPage(page, followed, SharedColumns(), Document())
    opened.draw()
    answer(opened)
    drawn = opened.version
    followed.history.take(Telemetry(1.0, [], [], 0, {}), now=followed.history.now + 1)
    opened.visible.data = {"visible": [False]}
    opened.draw()
    assert opened.version == drawn
    opened.visible.data = {"visible": [True]}
    opened.draw()
    assert opened.version != drawn


def answer(opened: OpenPage) -> None:
    """Say, as the page would, that it has what was drawn."""
    opened.drawn.source.data = {"seen": list(opened.drawn.source.tags)}


def test_a_document_draws_nothing_more_before_its_page_has_what_was_drawn() -> None:
    followed, page = told(), next(page for page in PAGES if page.path == "/status")
    opened = OpenPage(page, followed, SharedColumns(), Document())
    opened.draw()
    drawn = opened.version
    for _ in range(3):
        followed.history.take(Telemetry(1.0, [], [], 0, {}), now=followed.history.now + 1)
        opened.draw()
        assert opened.version == drawn
    answer(opened)
    opened.draw()
    assert opened.version == followed.history.stamp, "what came meanwhile is in one drawing"


def test_what_a_page_says_belongs_to_its_document() -> None:
    document = applications(told())["/status"].create_document()
    assert {"himalia-visible", "himalia-drawn"} <= {model.name for model in document.models}


def test_two_documents_of_one_page_compute_a_plot_once(monkeypatch: pytest.MonkeyPatch) -> None:
    followed, shared = told(), SharedColumns()
    page = Page("/one", "One", (("processing", 12),))
    plot, computed = PLOTS["processing"], []
    columns = plot.columns

    def counted(self: Any, history: History) -> Any:
        computed.append(self)
        return columns(self, history)

    monkeypatch.setattr(plot, "columns", counted)
    pages = [OpenPage(page, followed, shared, Document()) for _ in range(2)]
    for opened in pages:
        opened.draw()
    assert len(computed) == 1
    first, second = [opened.plots[0].sources["rows"].data for opened in pages]
    assert list(first["name"]) == list(second["name"]) != []


def test_a_profile_page_shows_the_samples_that_it_asks_for() -> None:
    source = Told()
    opened = OpenPage(Page("/p", "P", (("profile", 12),)), told(source=source), SharedColumns(), Document())
    asyncio.run(opened.sample())
    answer(opened)
    asyncio.run(opened.sample())
    assert source.profiled == 1
    assert list(opened.plots[0].sources["frames"].data["name"]) == ["main", "inner"]


class Unprofiled(Told):
    """A source whose calls nobody has looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: dict[str, str] = {}

    async def profile(self, since: float = 0.0) -> ProfileSamples:
        return ProfileSamples({}, self.problems)


def says(opened: OpenPage) -> str:
    return " ".join(opened.plots[0].sources["note"].data["text"])


@pytest.mark.parametrize(("is_live", "then"), [(True, ASKING), (False, RECORDED)])
def test_a_profile_page_without_samples_says_why(is_live: bool, then: str) -> None:
    source = Unprofiled()
    source.is_live = is_live
    page = Page("/p", "P", (("profile", 12),))
    opened = OpenPage(page, told(source=source), SharedColumns(), Document())
    opened.draw()
    assert says(opened) == no_samples(then)
    source.problems = {"tcp://host:1": "py-spy may not look"}
    answer(opened)
    asyncio.run(opened.sample())
    assert says(opened) == "tcp://host:1: py-spy may not look"


def test_a_profile_page_says_nothing_beside_its_samples() -> None:
    opened = OpenPage(Page("/p", "P", (("profile", 12),)), told(), SharedColumns(), Document())
    opened.draw()
    answer(opened)
    asyncio.run(opened.sample())
    assert says(opened) == ""


def test_pages_say_the_title_of_a_cluster_as_text() -> None:
    expected = Tags(get(told(), "/workers")[0]).found
    for title in NASTY:
        page = get(told(source=Told(title)), "/workers")[0]
        assert Tags(page).found == expected, title


def test_data_come_as_ascii_json_whatever_things_are_called() -> None:
    followed = told()
    for number, text in enumerate(NASTY):
        error = TaskError("exception", Key(text), text, frames=(Frame(text, 1, text),), worker=text)
        summary = ErrorSummary(str(number), error, text, 1, (Key(text),), (text,), 1.0)
        followed.history.take(Telemetry(1.0, [], [], 0, {}, errors=[summary]), now=followed.history.now)
    errors, logs = [json.loads(body) for body in get(followed, "/errors.json", "/logs.json")]
    assert set(NASTY) <= {row["text"] for row in errors["errors"]}
    assert {line["text"] for line in logs["lines"]} == set(NASTY)
    assert [line["time"] for line in logs["lines"]] == sorted(line["time"] for line in logs["lines"])


def test_a_worker_and_a_task_are_found_by_any_name() -> None:
    paths = [url_concat("/task.json", {"key": text}) for text in NASTY if text.strip() and text.isprintable()]
    for body, text in zip(get(told(), *paths), [t for t in NASTY if t.strip() and t.isprintable()], strict=True):
        assert json.loads(body)["key"] == text
    (worker,) = get(told(), "/worker.json?name=lab-0-0")
    assert json.loads(worker)["worker"]["name"] == "lab-0-0"


def test_a_cluster_that_cannot_answer_is_an_answer() -> None:
    assert json.loads(get(told(), "/task.json?key=gone")[0]) == {"error": "The cluster has ended."}


def test_all_addresses_in_the_frame_are_relative() -> None:
    for page in PAGES:
        text = TEMPLATE.render(frame(page, Told()) | {"title": "", "roots": []})
        assert 'href="/' not in text
        assert 'src="/' not in text
        assert "://" not in text


def test_scripts_and_styles_that_pages_name_are_there() -> None:
    names = {page.script for page in PAGES if page.script} | {"page", "poll", "table"}
    paths = [f"/assets/{name}.js" for name in sorted(names)]
    assert all(get(told(), *paths, "/assets/dashboard.css", "/assets/theme.js", "/assets/widget/dom.js"))
