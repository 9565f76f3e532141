"""The pages without plots, and the JSON that they ask for, as Tornado handlers; nothing here changes the cluster."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

from tornado.web import RequestHandler, StaticFileHandler

from himalia.errors import HimaliaError
from himalia.follow.source import Source
from himalia.show.plain import plain_task
from himalia_widgets.dashboard import tables
from himalia_widgets.dashboard.layout import ASSETS, HERE, TEMPLATE, Page, frame
from himalia_widgets.view.followed import Followed

Argument = Callable[[str], str]
"""From the name of an argument to what a page gave it; empty: nothing."""
Answer: TypeAlias = Mapping[str, object]
"""What a page gets as JSON."""
Route: TypeAlias = tuple[str, type[RequestHandler]] | tuple[str, type[RequestHandler], dict[str, Any]]
"""Of Tornado: a pattern of paths, what answers there, and what that is told."""


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

    def initialize(self, answer: Callable[[Argument], Awaitable[Answer]]) -> None:
        """Take what answers."""
        self.answer = answer

    async def get(self) -> None:
        """Answer."""
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        try:
            # Not stripped: names are a user's, blanks included.
            found = await self.answer(lambda name: self.get_query_argument(name, "", strip=False))
        except HimaliaError as error:
            # With status 200: the cluster can't answer, which is no failure of this server.
            found = {"error": str(error)}
        self.finish(json.dumps(found))  # ASCII, whatever a user called things


async def summary(followed: Followed, argument: Argument) -> Answer:
    """Answer with the numbers of the header."""
    return tables.describe_summary(followed.history)


async def workers(followed: Followed, argument: Argument) -> Answer:
    """Answer with all workers."""
    return tables.describe_workers(followed.history)


async def worker(followed: Followed, argument: Argument) -> Answer:
    """Answer with one worker, ``name``."""
    return tables.describe_worker(followed.history, argument("name"))


async def groups(followed: Followed, argument: Argument) -> Answer:
    """Answer with all functions."""
    return tables.describe_groups(followed.history)


async def errors(followed: Followed, argument: Argument) -> Answer:
    """Answer with the causes of failures."""
    return tables.describe_errors(followed.history)


async def logs(followed: Followed, argument: Argument) -> Answer:
    """Answer with the newest log lines."""
    return tables.describe_logs(await followed.source.logs(), time.time())


async def task(followed: Followed, argument: Argument) -> Answer:
    """Answer with all that is known of the task ``key``, and the ``calls`` that computed it."""
    key = argument("key")
    found = plain_task(await followed.source.describe_task(key))
    return found | {"calls": tables.describe_calls(followed.history, key)}


async def events(followed: Followed, argument: Argument) -> Answer:
    """Answer with what happened lately."""
    return {"events": tables.describe_events(followed.history)}


async def functions(followed: Followed, argument: Argument) -> Answer:
    """Answer with the functions that a page can be filtered by."""
    # Only for the profile's page: asking is what makes nannies sample.
    samples = (await followed.source.profile()).samples if argument("sampled") else {}
    return tables.describe_functions(followed.history, samples)


async def plots(followed: Followed, argument: Argument) -> Answer:
    """Answer with the plots that have pages of their own."""
    return tables.describe_plots()


ANSWERS: Final[dict[str, Callable[[Followed, Argument], Awaitable[Answer]]]] = {
    "summary": summary, "workers": workers, "worker": worker, "groups": groups, "errors": errors, "logs": logs,
    "task": task, "events": events, "functions": functions, "individual-plots": plots,
}  # fmt: skip
"""By the name of the file that they seem to be."""
FILES: Final[tuple[Route, ...]] = (
    # Scripts of the pages import some of the widget's.
    (r"/assets/widget/(\w+\.js)", StaticFileHandler, {"path": str(HERE.parent / "widget" / "js")}),
    (r"/assets/(\w+\.\w+)", StaticFileHandler, {"path": str(ASSETS)}),
)
