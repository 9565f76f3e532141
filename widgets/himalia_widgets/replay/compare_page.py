"""The page of two runs side by side: both task streams, as if they had started at the same time.

Its table of functions is filled by ``compare.js``.
"""

from __future__ import annotations

from typing import Final

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.models import ColumnDataSource, CustomJS, Range1d

from himalia.plural import plural
from himalia_widgets.dashboard.layout import TEMPLATE, Page, encodable, frame, read_arguments
from himalia_widgets.plots.task_stream import TaskStreamPlot
from himalia_widgets.replay.source import ReplaySource
from himalia_widgets.view.units import seconds

PAGE: Final = Page(
    "/compare", "Two runs", (("run-a", 12), ("run-b", 12)), script="compare", in_navigation=False, is_of_now=False
)
LEAST: Final = 0.001
"""Seconds that an axis shows at least; an empty recording has no length."""
# Setting one range calls back for the other: ``moving`` keeps them from answering each other.
MOVE: Final = """
if (moving.data.now[0]) return
moving.data.now[0] = true
other.setv({start: cb_obj.start + apart, end: cb_obj.end + apart})
moving.data.now[0] = false
"""


def compare_application(first: ReplaySource, second: ReplaySource) -> Application:
    """Return the application of this page; both runs are shown whole."""

    def fill(document: Document) -> None:
        dark = read_arguments(document).get("theme") == "dark"
        sources = {"run-a": first, "run-b": second}
        # New ones for each visitor: a model belongs to one document.
        plots = make_plots([first, second], dark=dark)
        headings = {}
        for (name, source), letter, plot in zip(sources.items(), "AB", plots, strict=True):
            plot.root.name = name
            headings[name] = heading(letter, source)
            document.add_root(plot.root)
        document.title = PAGE.title
        document.template = TEMPLATE
        of_both = {"headings": headings, "cluster": encodable(f"{first.title} and {second.title}")}
        document.template_variables.update(frame(PAGE, first, dark=dark) | of_both)

    return Application(FunctionHandler(fill))


def heading(letter: str, source: ReplaySource) -> str:
    """Return what stands above a run's calls."""
    return encodable(f"{letter}: {source.title}, {plural(source.calls, 'call')} in {seconds(source.length)}")


def make_plots(sources: list[ReplaySource], *, dark: bool = False) -> list[TaskStreamPlot]:
    """Return the task streams of two runs; they have the same scale, and move together."""
    # Of the longer run, so that a second is equally wide in both.
    length = max([*[source.length for source in sources], LEAST])
    plots = []
    for source in sources:
        plot = TaskStreamPlot(dark=dark, live=False, height=300)
        start = source.reel.started * 1000
        # In place of its own, which follows the data: the scale has to be the same in both.
        plot.fig.x_range = Range1d(start, start + length * 1000)
        plot.update(source.history)
        plots.append(plot)
    one, other = (plot.fig.x_range for plot in plots)
    moving = ColumnDataSource({"now": [False]})
    # Before anything moves the starts are as far apart as the runs began.
    for here, there in ((one, other), (other, one)):
        callback = CustomJS(args={"other": there, "apart": there.start - here.start, "moving": moving}, code=MOVE)
        here.js_on_change("start", callback)
        here.js_on_change("end", callback)
    return plots
