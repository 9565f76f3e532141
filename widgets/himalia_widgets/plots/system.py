"""How the scheduler and the nannies fare: small plots over time, one for each number."""

from __future__ import annotations

import math
from typing import ClassVar, Final

import numpy as np
from bokeh.layouts import column, row
from bokeh.models import LayoutDOM

from himalia_widgets.plots import theme
from himalia_widgets.plots.base import Plot
from himalia_widgets.plots.timeline import time_figure
from himalia_widgets.view import colors, system
from himalia_widgets.view.history import History
from himalia_widgets.view.stream.marks import Columns
from himalia_widgets.view.text import label

PARTS: Final = (
    ("cpu", "CPU of scheduler (thick) and nannies", "percent"), ("memory", "Memory", "bytes"), ("lag",
    "Lag of the event loop", "seconds"),
    ("fds", "File descriptors", ""), ("received", "Network, received", "bytes/s"),
    ("sent", "Network, sent", "bytes/s"),
)  # fmt: skip


class SystemPlot(Plot):
    """One source for each number; a row of it is a process: ``xs``, ``ys``, ``color``, ``width``, ``name``."""

    name: ClassVar[str] = "system"
    title: ClassVar[str] = "System"
    height: ClassVar[int] = 480

    def build(self) -> LayoutDOM:
        figures = []
        for field, title, unit in PARTS:
            fig = time_figure(self.theme, self.pixels // 3, title, unit, live=self.live)
            source = self.source(field, "xs ys color width name")
            drawn = fig.multi_line(
                source=source, xs="xs", ys="ys", line_color="color", line_width="width", line_alpha=0.9
            )
            fig.add_tools(theme.new_hover(self.theme, "<b>@name</b>", renderers=[drawn], line_policy="interp"))
            figures.append(fig)
        # Two abreast in three rows, hence a third of the height for each.
        pairs = [row(figures[at : at + 2], sizing_mode="stretch_width") for at in range(0, len(figures), 2)]
        return column(pairs, sizing_mode="stretch_width")

    def columns(self, history: History) -> dict[str, Columns]:
        return {field: as_columns(system.lines(history, field), self.theme, unit) for field, _, unit in PARTS}


def as_columns(lines: list[system.SystemLine], look: theme.Theme, unit: str) -> Columns:
    """A row for each process, the scheduler's thick; before them an invisible one for the ends of the scale.

    It begins at 0, and a scale of bytes ends at a tick above all lines.
    """
    highest = max([float(line.value.max()) for line in lines if len(line.value)], default=0.0)
    top = tick_above(highest) if unit.startswith("bytes") else 0.0
    # Those of functions: none of these is drawn here.
    shades = colors.PALETTE[colors.MIXED + 1 :]
    count = len(lines)
    # From the scheduler's first time to its last; a line of two points is enough.
    ground = lines[0].time[:: max(1, len(lines[0].time) - 1)] * 1000
    return {
        "xs": [ground, *(line.time * 1000 for line in lines)],
        "ys": [np.linspace(0.0, top, len(ground)), *(line.value for line in lines)],
        "color": ["#00000000", look.text, *(shades[at % len(shades)] for at in range(count - 1))],
        "width": [1.0, 2.0, *[1.2] * (count - 1)],
        "name": ["", *(label(line.name) for line in lines)],
    }


def tick_above(highest: float) -> float:
    """Return the first tick at or above a number of bytes: a scale of bytes has three or four steps of a power of 2."""
    if highest <= 0.0:
        return 0.0
    step = 2.0 ** (math.ceil(math.log2(highest)) - 2)
    return math.ceil(highest / step) * step
