"""The pages with plots, as Bokeh applications: one document for each browser tab that has such a page open.

A document looks every half second whether the history changed, and only then draws.  What several tabs would compute
alike is computed once.

It draws nothing before the page said that it has what was drawn before: a browser that stands still (a laptop that
sleeps) costs one drawing, in whatever is between it and this process.  A proxy reads on for a browser that doesn't, so
what the socket took says nothing.  What is done about a page that doesn't answer is ``attendance.py``'s.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.models import ColumnDataSource, CustomJS

from himalia.errors import HimaliaError
from himalia.follow.source import Source
from himalia_widgets.dashboard.attendance import Drawn
from himalia_widgets.dashboard.layout import TEMPLATE, Page, encodable, frame, read_arguments
from himalia_widgets.plots import make_plot
from himalia_widgets.plots.base import Plot
from himalia_widgets.plots.profile import ProfilePlot
from himalia_widgets.plots.task_stream import TaskStreamPlot
from himalia_widgets.view.followed import Followed
from himalia_widgets.view.stream.marks import Columns

logger = logging.getLogger("himalia.dashboard")

LOOK: Final = 500
"""Milliseconds between two looks at the history."""
SAMPLE: Final = 2.0
"""Seconds between two questions for samples of stacks, which keep the sampling going while the page is open."""
LOW: Final = 200
"""Pixels of plots that stand side by side, so that they end at one line."""
KEPT: Final = 200_000
"""Samples that one page keeps."""
ASKING: Final = "this page asks as long as it is open, and shows what is seen from now on."
RECORDED: Final = "up to this moment of the recording nobody had seen any."
"""What it means for these pages that there are no samples."""


class SharedColumns:
    """What plots show of the newest version of a history, computed once for all documents."""

    def __init__(self) -> None:
        self._version: tuple[int, int] = (-1, -1)
        self._columns: dict[tuple[object, ...], dict[str, Columns]] = {}

    def update(self, plot: Plot, followed: Followed) -> None:
        """Bring a plot up to date."""
        # It has a state of its own, a zoom or samples: nobody else's columns fit.
        if not plot.follows_history_only:
            plot.update(followed.history)
            return
        version = followed.history.stamp
        if version != self._version:
            self._version = version
            # Older versions never come back: all documents look at the newest.
            self._columns.clear()
        # All that columns depend on; the theme, because some hold colours.
        key = (plot.name, plot.theme, plot.pixels, plot.live, plot.worker)
        if key not in self._columns:
            self._columns[key] = plot.columns(followed.history)
        plot.assign(self._columns[key])


class SampleReader:
    """The samples of stacks that one page got so far."""

    def __init__(self) -> None:
        self.rows: dict[str, list[tuple[float, str, int]]] = {}
        self.problems: dict[str, str] = {}
        """By nanny address: why its workers can't be looked at."""
        self._since = 0.0
        self._asked = float("-inf")

    async def ask(self, source: Source) -> bool:
        """Ask for what is new, if it is time to; return whether there is any, or another reason why there is none."""
        if time.monotonic() - self._asked < SAMPLE:
            return False
        # Before the answer: a question that fails isn't put again at each look either.
        self._asked = time.monotonic()
        try:
            found = await source.profile(self._since)
        except HimaliaError as error:
            logger.debug("no samples: %s", error)
            return False
        fresh, before, self.problems = found.samples, self.problems, dict(found.problems)
        for worker, rows in fresh.items():
            known = self.rows.setdefault(worker, [])
            # Whatever a source makes of ``since``, each sample is here once.
            last = known[-1][0] if known else float("-inf")
            known.extend(row for row in rows if row[0] > last)
            del known[: -KEPT // max(1, len(fresh))]
        newest = [row[0] for rows in fresh.values() for row in rows]
        self._since = max([self._since, *newest])
        return bool(newest) or self.problems != before


class OpenPage:
    """One document: the plots of a page, as the arguments of its address want them."""

    def __init__(self, page: Page, followed: Followed, shared: SharedColumns, document: Document) -> None:
        arguments = read_arguments(document)
        self.followed = followed
        self.shared = shared
        self.version: tuple[int, int] | None = None
        self.samples = SampleReader()
        dark = arguments.get("theme") == "dark"
        worker = arguments.get("name") if page.path == "/worker" else None
        self.plots = [
            make_plot(
                name, dark=dark, height=page.height or (LOW if width < 12 else None), live=page.live, worker=worker
            )
            for name, width in page.plots
        ]
        self.seconds = read_seconds(arguments.get("seconds", ""))
        for plot in self.plots:
            plot.root.name = plot.name
            if isinstance(plot, ProfilePlot | TaskStreamPlot):
                plot.function = arguments.get("function") or None
            if isinstance(plot, ProfilePlot):
                plot.advice = ASKING if followed.source.is_live else RECORDED
            # The template finds a root's heading and width by its name.
            document.add_root(plot.root)
        self.visible = ColumnDataSource({"visible": [True]}, name="himalia-visible")
        self.drawn = Drawn()
        self.plots[0].root.tags = [self.visible, self.drawn.source]  # a document's own callbacks don't make it ours
        document.js_on_event("document_ready", CustomJS(args={"visible": self.visible}, code=WATCH))
        # What was drawn before the page was there is answered now.
        document.js_on_event("document_ready", self.drawn.answer)
        document.js_on_event("connection_lost", CustomJS(code=LOST))
        document.config.reconnect_session = False  # to a document that is made anew, whose plots have no place there
        # The header of the page says so (``assets/page.js``).
        document.config.notify_connection_status = False
        document.title = f"{page.title}: {encodable(followed.source.title)}"
        document.template = TEMPLATE
        headings = {plot.name: plot.title for plot in self.plots if not has_title(plot)}
        document.template_variables.update(frame(page, followed.source, dark=dark) | {"headings": headings})

    def draw(self) -> None:
        """Show the history as it is now, if it changed and anybody looks."""
        version = self.followed.history.stamp
        if version == self.version or not self.may_draw:
            return
        self.version = version
        for plot in self.plots:
            self.shared.update(plot, self.followed)
        self.drawn.count()

    @property
    def may_draw(self) -> bool:
        """Whether anybody looks, and has what was drawn before."""
        return bool(self.visible.data["visible"][0]) and not self.drawn.is_behind

    async def sample(self) -> None:
        """Ask for samples and show them."""
        profiles = [plot for plot in self.plots if isinstance(plot, ProfilePlot)]
        # Asked only while somebody looks: each question keeps nannies sampling.
        if profiles and self.may_draw and await self.samples.ask(self.followed.source):
            for plot in profiles:
                plot.samples, plot.problems = self.samples.rows, self.samples.problems
                # By the source's time, which in a replay isn't now.
                plot.since = self.followed.history.now - self.seconds
                plot.update(self.followed.history)
            self.drawn.count()


WATCH: Final = """
const look = () => { visible.data = {visible: [document.visibilityState === "visible"]} }
document.addEventListener("visibilitychange", look)
"""
LOST: Final = 'dispatchEvent(new Event("himalia-lost"))'
"""What ``assets/page.js`` does about it."""


def read_seconds(text: str) -> float:
    """How many seconds to look back: everything, unless a number is given."""
    try:
        return max(1.0, float(text))
    except ValueError:
        return float("inf")


def has_title(plot: Plot) -> bool:
    """Whether a plot has a title of its own."""
    title = getattr(plot.root, "title", None)
    return bool(title.text) if title is not None else hasattr(plot.root, "children")


def make_application(page: Page, followed: Followed, shared: SharedColumns) -> Application:
    """Return what makes a document of this page for each visitor."""

    def fill(document: Document) -> None:
        opened = OpenPage(page, followed, shared, document)
        # At once, before the document is sent: the page comes with its plots filled.
        opened.draw()
        document.add_periodic_callback(opened.draw, LOOK)
        if any(isinstance(plot, ProfilePlot) for plot in opened.plots):
            callback: Callable[[], object] = opened.sample
            document.add_periodic_callback(callback, LOOK)

    return Application(FunctionHandler(fill))
