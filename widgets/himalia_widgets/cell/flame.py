"""A flame graph that stands by itself: a figure, and a file that opens without a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bokeh.embed import file_html
from bokeh.models import LayoutDOM
from bokeh.resources import INLINE

from himalia_widgets.plots.profile import ProfilePlot
from himalia_widgets.view.history import History


def profile_figure(samples: Mapping[str, Iterable[tuple[float, str, int]]], filename: str | None) -> LayoutDOM:
    """Return a flame graph of the samples; with a ``filename`` also write it there."""
    plot = ProfilePlot(live=False, height=600)
    plot.samples = samples
    plot.update(History())
    if filename:
        with open(filename, "w", encoding="utf-8") as file:
            file.write(file_html(plot.root, INLINE, "himalia profile"))
    return plot.root
