"""All pages of a dashboard over one source: what a server has to route."""

from __future__ import annotations

from functools import partial

from bokeh.application import Application

from himalia_widgets.dashboard.documents import SharedColumns, make_application
from himalia_widgets.dashboard.layout import INDIVIDUAL, PAGES
from himalia_widgets.dashboard.rest import ANSWERS, FILES, JsonHandler, PageHandler, Route
from himalia_widgets.view.followed import Followed


def applications(followed: Followed) -> dict[str, Application]:
    """Return the pages with plots by their paths."""
    shared = SharedColumns()
    return {page.path: make_application(page, followed, shared) for page in (*PAGES, *INDIVIDUAL) if page.plots}


def handlers(followed: Followed) -> list[Route]:
    """Return Tornado's routes of all other pages, of their data, and of scripts and styles."""
    plain = [(page.path, PageHandler, {"page": page, "source": followed.source}) for page in PAGES if not page.plots]
    answers = {name: partial(answer, followed) for name, answer in ANSWERS.items()}
    return [*plain, *((f"/{name}.json", JsonHandler, {"answer": answer}) for name, answer in answers.items()), *FILES]
