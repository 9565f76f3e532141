"""The pages without plots, and the JSON that they ask for, as Tornado handlers; nothing here changes the cluster."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tornado.web import RequestHandler, StaticFileHandler

from himalia.errors import HimaliaError
from himalia.show.plain import plain_task
from himalia_widgets.dashboard import tables
from himalia_widgets.dashboard.layout import ASSETS, HERE, TEMPLATE, Page, frame
from himalia_widgets.view.source import Source

Answer = Callable[[Source, Callable[[str], str]], Awaitable[dict[str, Any]]]


class PageHandler(RequestHandler):
    """A page that its script fills."""

    def initialize(self, page: Page, source: Source) -> None:
        """Take what to show."""
        self.page = page
        self.source = source

    def get(self) -> None:
        """Answer with the frame."""
        self.set_header("Cache-Control", "no-store")
        dark = self.get_query_argument("theme", "") == "dark"
        self.finish(TEMPLATE.render(frame(self.page, self.source, dark=dark) | {"title": self.page.title, "roots": []}))


class JsonHandler(RequestHandler):
    """One answer as JSON; if the cluster can't give it, ``error`` says why."""

    def initialize(self, answer: Answer, source: Source) -> None:
        """Take what answers."""
        self.answer = answer
        self.source = source

    async def get(self) -> None:
        """Answer."""
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        try:
            found = await self.answer(self.source, lambda name: self.get_query_argument(name, "", strip=False))
        except HimaliaError as error:
            found = {"error": str(error)}
        self.finish(json.dumps(found))  # ASCII, whatever a user called things


async def summary(source: Source, argument: Callable[[str], str]) -> dict[str, Any]:
    """Answer with the numbers of the header."""
    return tables.describe_summary(source.history)


async def workers(source: Source, argument: Callable[[str], str]) -> dict[str, Any]:
    """Answer with all workers."""
    return tables.describe_workers(source.history)


async def worker(source: Source, argument: Callable[[str], str]) -> dict[str, Any]:
    """Answer with one worker, ``name``."""
    return tables.describe_worker(source.history, argument("name"))


async def groups(source: Source, argument: Callable[[str], str]) -> dict[str, Any]:
    """Answer with all functions."""
    return tables.describe_groups(source.history)


async def errors(source: Source, argument: Callable[[str], str]) -> dict[str, Any]:
    """Answer with the causes of failures."""
    return tables.describe_errors(source.history)


async def logs(source: Source, argument: Callable[[str], str]) -> dict[str, Any]:
    """Answer with the newest log lines."""
    return tables.describe_logs(await source.logs(), time.time())


async def task(source: Source, argument: Callable[[str], str]) -> dict[str, Any]:
    """Answer with all that is known of the task ``key``, and the ``calls`` that computed it."""
    key = argument("key")
    return plain_task(await source.describe_task(key)) | {"calls": tables.describe_calls(source.history, key)}


async def events(source: Source, argument: Callable[[str], str]) -> dict[str, Any]:
    """Answer with what happened lately."""
    return {"events": tables.describe_events(source.history)}


async def functions(source: Source, argument: Callable[[str], str]) -> dict[str, Any]:
    """Answer with the functions that a page can be filtered by."""
    return tables.describe_functions(source.history, (await source.profile()).samples if argument("sampled") else {})


async def plots(source: Source, argument: Callable[[str], str]) -> dict[str, Any]:
    """Answer with the plots that have pages of their own."""
    return tables.describe_plots()


ANSWERS: Final[dict[str, Answer]] = {
    "summary": summary, "workers": workers, "worker": worker, "groups": groups, "errors": errors, "logs": logs,
    "task": task, "events": events, "functions": functions, "individual-plots": plots,
}  # fmt: skip
"""By the name of the file that they seem to be."""
FILES: Final = (
    (r"/assets/widget/(\w+\.js)", StaticFileHandler, {"path": str(HERE.parent / "widget" / "js")}),
    (r"/assets/(\w+\.\w+)", StaticFileHandler, {"path": str(ASSETS)}),
)
