"""All pages of a dashboard over one source: what a server has to route."""

from __future__ import annotations

from typing import Any

from bokeh.application import Application

from himalia_widgets.dashboard.documents import SharedColumns, make_application
from himalia_widgets.dashboard.layout import INDIVIDUAL, PAGES
from himalia_widgets.dashboard.rest import ANSWERS, FILES, JsonHandler, PageHandler
from himalia_widgets.view.source import Source


def applications(source: Source) -> dict[str, Application]:
    """Return the pages with plots by their paths."""
    shared = SharedColumns()
    return {page.path: make_application(page, source, shared) for page in (*PAGES, *INDIVIDUAL) if page.plots}


def handlers(source: Source) -> list[Any]:
    """Return Tornado's routes of all other pages, of their data, and of scripts and styles."""
    plain = [(page.path, PageHandler, {"page": page, "source": source}) for page in PAGES if not page.plots]
    answers = [(f"/{name}.json", JsonHandler, {"answer": answer, "source": source}) for name, answer in ANSWERS.items()]
    return [*plain, *answers, *FILES]
