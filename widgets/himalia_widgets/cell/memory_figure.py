"""Memory over time, a line for each label, as a figure that stands by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bokeh.models import BasicTicker, CustomJSTickFormatter, Legend, LegendItem

from himalia_widgets.plots import theme
from himalia_widgets.plots.timeline import time_figure
from himalia_widgets.view.colors import Colors


def memory_figure(samples: Mapping[str, Sequence[tuple[float, int]]], align: bool) -> Any:
    """Return a figure of these samples; with ``align`` times are seconds since something, else since the epoch."""
    look = theme.LIGHT
    fig = time_figure(look, 300, "Memory", "bytes", live=False)
    if align:
        fig.xaxis.ticker = BasicTicker(desired_num_ticks=6)
        fig.xaxis.formatter = CustomJSTickFormatter(code=theme.SCALES["seconds"])
    colors = Colors()
    items = []
    for label, found in samples.items():
        times = [time if align else time * 1000 for time, _ in found]
        line = fig.line(times, [nbytes for _, nbytes in found], line_color=colors.color(label), line_width=2)
        items.append(LegendItem(label=theme.text(label), renderers=[line]))
    fig.add_layout(theme.style_legend(look, Legend(items=items)), "above")
    return fig
