"""What pages there are, which plots each shows, and the frame around all of them.

Decides the order of the navigation and what a page loads; how a plot is fed is ``documents.py``, what the other pages
say is ``tables.py``.  All addresses are relative, and all pages are at one level, so that any proxy's prefix works.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from bokeh.document import Document
from jinja2 import Environment, FileSystemLoader, Template

from himalia.follow.source import Source
from himalia_widgets.plots import PLOTS

HERE: Final = Path(__file__).parent
ASSETS: Final = HERE / "assets"


class Page(NamedTuple):
    """One page."""

    path: str
    title: str
    plots: tuple[tuple[str, int], ...] = ()
    """Names, and how many of the twelve columns of the page each is wide."""
    script: str = ""
    """Module in ``assets/`` that fills what isn't a plot."""
    live: bool = True
    """Whether its plots follow the present; else they show all there is."""
    height: int | None = None
    """Of its plots, if that isn't their own."""
    in_navigation: bool = True
    is_of_now: bool = True
    """Whether it shows the cluster as it is, or as it was at the moment that a replay is at."""


PAGES: Final = (
    Page("/status", "Status", (
        ("memory", 6), ("memory_by_worker", 6), ("processing", 4), ("cpu", 4), ("transfers", 4), ("task_stream", 12),
        ("progress", 12),
    )),
    Page("/workers", "Workers", script="workers"),
    Page("/tasks", "Tasks", (("task_stream", 12),), script="filters", live=False, height=680),
    Page("/groups", "Groups", (("groups", 12), ("progress", 12)), script="groups"),
    Page("/system", "System", (("system", 12), ("cpu_time", 6), ("rate", 6))),
    Page("/memory", "Memory", (
        ("memory", 12), ("memory_by_group", 6), ("memory_by_worker", 6), ("memory_by_host", 6), ("spilled", 6),
    )),
    Page("/transfers", "Transfers", (("transfers", 12), ("transfer_matrix", 12))),
    Page("/profile", "Profile", (("profile", 12),), script="filters", height=640),
    Page("/errors", "Errors", script="errors"),
    Page("/logs", "Logs", script="logs"),
    Page("/info", "Info", script="info"),
    Page("/worker", "Worker", (("cpu_time", 6), ("memory", 6), ("task_stream", 12), ("profile", 12)), script="worker",
         in_navigation=False),
)  # fmt: skip
INDIVIDUAL: Final = tuple(
    # With the addresses that dask.distributed gives its plots.
    Page(f"/individual-{name.replace('_', '-')}", plot.title or name, ((name, 12),), in_navigation=False)
    for name, plot in PLOTS.items()
)
"""Each plot alone, for embedding: without header."""


def load_template() -> Template:
    """Return the frame of all pages; it escapes whatever it isn't told to trust."""
    loader = FileSystemLoader(HERE / "templates")
    return Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True).get_template("page.html")


TEMPLATE: Final = load_template()


def frame(page: Page, source: Source, *, dark: bool = False) -> dict[str, object]:
    """Return what the template needs to know of a page, besides its plots."""
    return {
        "page": page,
        "pages": [one for one in PAGES if one.in_navigation],
        "alone": page in INDIVIDUAL,
        "widths": dict(page.plots),
        "cluster": encodable(source.title),
        "is_live": source.is_live,
        "theme": "dark" if dark else "light",
        "headings": {},
    }


def read_arguments(document: Document) -> dict[str, str]:
    """Return what the address of a document asks for: the last value of each argument."""
    # A document that no server made has no session.
    request = document.session_context.request if document.session_context else None
    given = dict(request.arguments) if request is not None else {}
    return {name: values[-1].decode("utf-8", "replace") for name, values in given.items() if values}


def encodable(text: str) -> str:
    """A text that UTF-8 can carry: what can't be encoded is replaced."""
    # The name of a recording may be a path that isn't UTF-8, which Python carries as lone surrogates.
    return text.encode("utf-8", "replace").decode()
