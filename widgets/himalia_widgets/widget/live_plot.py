"""A Bokeh plot of which the page draws a copy: sent once as JSON, and from then on only what changes in its sources."""

from __future__ import annotations

from dataclasses import astuple
from typing import NamedTuple

from bokeh.embed import json_item
from bokeh.models import GlyphRenderer, LayoutDOM, TapTool
from bokeh.models import Plot as BokehPlot

from himalia.show.plain import Plain
from himalia_widgets.plots import make_plot, theme
from himalia_widgets.plots.base import same
from himalia_widgets.plots.task_stream import ROLLOVER, Cursor, TaskStreamPlot
from himalia_widgets.view.history import History
from himalia_widgets.view.stream.marks import Columns

NAMES = ("task_stream", "progress")


class Change(NamedTuple):
    """New data of a source.  With ``rollover`` they are appended and so many kept, else they replace all."""

    columns: Columns
    rollover: int = 0


class LivePlot:
    """One plot, and what a page knows of its data."""

    def __init__(self, name: str) -> None:
        self.plot = make_plot(name)
        let_click(self.plot.root)
        self._cursor: Cursor | None = None
        self._told: dict[str, Columns] = {}

    def describe(self) -> Plain:
        """Return what a page needs to draw it: the figure, its sources, and the colours of each theme.

        The figure has those of the light one; a dark page replaces them one by one.
        """
        return {
            "item": json_item(self.plot.root),
            "sources": [source.name for source in self.plot.sources.values()],
            "light": astuple(theme.LIGHT),
            "dark": astuple(theme.DARK),
        }

    def forget(self) -> None:
        """Tell everything again next time."""
        self._cursor = None
        self._told.clear()

    def changes(self, history: History) -> dict[str, Change]:
        """Return what is new since the last time, by the names of sources."""
        found: dict[str, Change] = {}
        if isinstance(self.plot, TaskStreamPlot):
            # Calls are many and never change: they are appended. All else is small, and compared.
            data, self._cursor = self.plot.fresh(history, self._cursor)
            calls = data.pop("calls")
            if self._cursor.full:
                found["calls"] = Change(calls)
            elif len(calls["left"]):
                found["calls"] = Change(calls, ROLLOVER)
        else:
            data = self.plot.columns(history)
        for name, columns in data.items():
            if name not in self._told or not same(self._told[name], columns):
                self._told[name] = columns
                found[name] = Change(columns)
        return {str(self.plot.sources[name].name): change for name, change in found.items()}


def let_click(root: LayoutDOM) -> None:
    """Let bars be clicked, without fading the others."""
    for figure in root.select({"type": BokehPlot}):
        figure.add_tools(TapTool())
    for renderer in root.select({"type": GlyphRenderer}):
        # Bokeh draws what isn't selected faint; here a click asks for details and selects nothing.
        renderer.nonselection_glyph = renderer.selection_glyph = None
