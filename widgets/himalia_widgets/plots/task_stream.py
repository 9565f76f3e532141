"""The task stream: what each thread of each worker did and does.

There are two ways to feed it.  ``columns`` says everything in the window that is looked at, at the level of detail
that this allows; ``fresh`` says only what ended since it was last asked, for who appends to a source elsewhere.  In a
Bokeh server the plot notices that somebody zooms and shows that window finer, until the view is reset.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from bokeh.events import RangesUpdate, Reset
from bokeh.models import LayoutDOM, Legend, LegendItem

from himalia_widgets.plots import theme
from himalia_widgets.plots.base import Plot
from himalia_widgets.plots.stream_columns import LIVE, ROLLOVER, Cursor, StreamColumns, live_window
from himalia_widgets.view.history import History
from himalia_widgets.view.stream.marks import Columns
from himalia_widgets.view.stream.window import Window, whole

__all__ = ["ROLLOVER", "Cursor", "TaskStreamPlot"]

REDRAW: Final = 2.0
"""Seconds after which a picture that isn't appended to is drawn again: it may cost 60 ms, and is about the past."""
BARS: Final = "left right top bottom color name key time detail where"
HOVER: Final = ("<b>@name</b> &nbsp;@time", "@key", "@detail", "@where")


class TaskStreamPlot(Plot):
    """Bars of calls.

    Sources: ``calls``, ``running`` (open bars), ``rows`` (ground and label of each), ``span`` (one row: the time and
    the rows that are shown, unless somebody zooms) and ``legend``.
    """

    name: ClassVar[str] = "task_stream"
    title: ClassVar[str] = "Task stream"
    height: ClassVar[int] = 320
    follows_history_only: ClassVar[bool] = False

    def __init__(self, **options: Any) -> None:
        self._zoom: Window | None = None
        self._cursor: Cursor | None = None
        self._drawn: tuple[object, ...] = ()
        self._history: History | None = None
        self._serving = False
        super().__init__(**options)
        # After the base class, which knows how high it is.
        self._said = StreamColumns(self.pixels, self.worker)

    def build(self) -> LayoutDOM:
        fig = self.fig = theme.new_figure(
            self.theme, height=self.pixels, tools="xpan,xwheel_zoom,xbox_zoom,reset", x_axis_location="below",
            y_axis_location="left", y_range=theme.row_range(),
            x_range=theme.padded_range(last=LIVE if self.live else None),
        )  # fmt: skip
        # A wheel over the plot scrolls the page, until somebody chooses to zoom.
        fig.toolbar.active_scroll = None
        fig.toolbar.logo = None
        fig.toolbar.autohide = True
        fig.toolbar_location = "right"
        theme.clock_axis(fig, ticks=6)
        rows = self.source("rows", "top bottom label")
        fig.hstrip(source=rows, y0="top", y1="bottom", fill_color=self.theme.track, line_color=None)
        theme.name_rows(fig, rows)
        fill = {"field": "color", "transform": theme.data_colors()}
        edges = {"left": "left", "right": "right", "top": "top", "bottom": "bottom"}
        done = fig.quad(source=self.source("calls", BARS), **edges, fill_color=fill, line_color=None)
        going = fig.quad(
            source=self.source("running", BARS),
            **edges,
            fill_color=fill,
            fill_alpha=0.55,
            line_color=fill,
            line_width=1.5,
        )
        fig.add_tools(theme.new_hover(self.theme, *HOVER, renderers=[done, going], point_policy="follow_mouse"))
        named = fig.scatter(
            source=self.source("legend", "x y name color"), x="x", y="y", marker="square", size=9, color=fill
        )
        span = self.source("span", "left right top bottom")
        # Without colour: it keeps the ranges at the window where no bar reaches the edges.
        shown = fig.quad(source=span, **edges, fill_color=None, line_color=None)
        # Not the marks of the legend: they lie at the beginning of time, and the ranges would follow them there.
        fig.x_range.renderers = fig.y_range.renderers = [shown, done, going]
        names = Legend(items=[LegendItem(label={"field": "name"}, renderers=[named])])
        fig.add_layout(theme.style_legend(self.theme, names), "above")
        return fig

    @property
    def function(self) -> str | None:
        """Show only calls of this function."""
        return self._said.function

    @function.setter
    def function(self, name: str | None) -> None:
        self._said.function = name

    def columns(self, history: History) -> dict[str, Columns]:
        window = self._zoom or (live_window(history) if self.live else whole(history))
        return self._said.between(history, window)

    def fresh(self, history: History, cursor: Cursor | None = None) -> tuple[dict[str, Columns], Cursor]:
        """Return what is new since the cursor; see :meth:`StreamColumns.fresh`."""
        return self._said.fresh(history, cursor)

    def update(self, history: History) -> None:
        """Show the history as it is now: live, by appending what is new."""
        self._history = history
        self._listen()
        if not self.live or self._zoom is not None:
            # After the zoom all has to be said again: the source holds another picture now.
            self._cursor = None
            # Steps of the clock, not of pushes: there are four of those a second, and the past hardly changes.
            drawn = (history.number, self.function, self._zoom, int(history.now / REDRAW))
            if drawn != self._drawn:
                self._drawn = drawn
                super().update(history)
            return
        # So that the next zoom is drawn, even into the same window at the same moment.
        self._drawn = ()
        data, self._cursor = self.fresh(history, self._cursor)
        calls = data.pop("calls")
        if self._cursor.full:
            self.sources["calls"].data = calls
        elif len(calls["left"]):
            # Without a rollover: fresh() says all anew before there are too many.
            self.sources["calls"].stream(calls)
        self.assign(data)

    def _listen(self) -> None:
        """In a Bokeh server, hear of zooms; elsewhere nobody could tell."""
        document = self.root.document
        if not self._serving and document is not None and document.session_context is not None:
            self._serving = True
            for event, react in ((RangesUpdate, self._zoomed), (Reset, self._reset)):
                self.fig.on_event(event, react)
                document.callbacks.subscribe(event.event_name, self.fig)  # which on_event() does only before add_root()

    def _zoomed(self, event: RangesUpdate) -> None:
        if event.x0 is not None and event.x1 is not None:
            self._look(Window(event.x0 / 1000, event.x1 / 1000))

    def _reset(self, event: Reset) -> None:
        self._look(None)

    def _look(self, window: Window | None) -> None:
        """Show another window, at once: there may be no news that would bring the next update."""
        self._zoom = window
        if self._history is not None:
            self.update(self._history)
