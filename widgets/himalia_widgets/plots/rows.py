"""Bars in named rows: the common form of what there is one of for each worker, host or function.

Names stand at the left, numbers at the right.  Where there are more rows than can be named, they are sorted, so that
their ends make a curve that shows how values are spread; of very many, only some are drawn, evenly chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, Generic, NamedTuple, TypeVar

import numpy as np
from bokeh.models import CustomJSTickFormatter, LayoutDOM, LinearAxis, SingleIntervalTicker

from himalia_widgets.plots import theme
from himalia_widgets.plots.base import Plot
from himalia_widgets.view.history import History
from himalia_widgets.view.stream.marks import Columns

T = TypeVar("T")
"""What there is a row for."""

NAME: Final = 28
"""Characters of a row's name."""
ROW: Final = 22
"""Pixels of a row that has a name."""
TIGHT: Final = 14
"""The same where there is less room."""
WIDE: Final = 56
"""The same where there are few rows, which else would leave most of the plot empty."""
THICK: Final = 22.0
"""Pixels of a bar at most."""
HEAD: Final = 34
"""Pixels that the title takes, about."""
SHORTEST: Final = 0.005
"""Part of a full bar below which one could not be seen: two pixels of a narrow plot."""
MOST: Final = 150
"""Rows drawn: with more, none would be a pixel high."""


class Entry(NamedTuple):
    """One row."""

    name: str
    """Fit for a plot (``view/text.py``), as are all its texts."""
    parts: Sequence[tuple[float, str]]
    """Length and colour of each piece of the bar, from the left."""
    full: float
    """Length of a full bar; 0 if there is no such thing."""
    text: str
    detail: str

    @property
    def length(self) -> float:
        return sum([value for value, _ in self.parts])


class RowsPlot(Plot, Generic[T]):
    """Sources ``rows`` (names, numbers, grounds), ``bars``, ``span`` and ``note``; subclasses say what the rows are.

    The span is one invisible row from top to bottom: the range follows it.
    """

    height: ClassVar[int] = 240

    def rows(self, history: History) -> Sequence[T]:
        """Return what there is a row for, from top to bottom."""
        raise NotImplementedError

    def length(self, row: T) -> float:
        """Return how long the bar of a row is."""
        raise NotImplementedError

    def entry(self, history: History, row: T) -> Entry:
        """Return how a row is drawn."""
        raise NotImplementedError

    def build(self) -> LayoutDOM:
        fig = theme.new_figure(
            self.theme, height=self.pixels, title=self.title, x_range=theme.unit_range(), y_range=theme.row_range(),
            y_axis_location="left",
        )  # fmt: skip
        span = self.source("span", "top bottom")
        fig.quad(source=span, left=0, right=1, top="top", bottom="bottom", fill_color=None, line_color=None)
        rows = self.source("rows", "top bottom label text name detail")
        ground = fig.quad(
            source=rows, left=0, right=1, top="top", bottom="bottom", color=self.theme.track, line_color=None
        )
        theme.name_rows(fig, rows)
        numbers = LinearAxis(
            ticker=SingleIntervalTicker(interval=1, num_minor_ticks=0),
            formatter=CustomJSTickFormatter(args={"rows": rows}, code="return rows.data.text[tick] ?? ''"),
        )
        fig.add_layout(numbers, "right")
        theme.style_axis(self.theme, numbers)
        bars = self.source("bars", "left right top bottom color")
        fig.quad(source=bars, left="left", right="right", top="top", bottom="bottom", color="color", line_color=None)
        fig.add_tools(theme.new_hover(self.theme, "<b>@name</b>", "@detail", renderers=[ground]))
        theme.add_note(self.theme, fig, self.source("note", "x y text"))
        return fig

    def columns(self, history: History) -> dict[str, Columns]:
        rows = self.rows(history)
        room = self.pixels - HEAD
        slots = max(1, room // ROW)
        # Names move closer before some of them go.
        crowded = len(rows) > max(1, room // TIGHT)
        if crowded:
            ordered = sorted(rows, key=self.length, reverse=True)
            # Every so many, not the longest ones: the curve has to show how the values are spread.
            rows = ordered[:: -(-len(rows) // MOST)]
        entries = [self.entry(history, row) for row in rows]
        # Few rows stand wide apart, and leave room for others that may come: else one would stand in the middle.
        count = max(1, room // WIDE, len(entries))
        # As many names as there is room for.
        every = -(-count // slots) if crowded else 1
        row = np.arange(len(entries))
        # Rows that touch make a curve; few bars aren't as thick as there is room.
        thick = 0.5 if crowded else min(0.36, THICK / 2 * count / max(1, room))
        # One scale for all rows, so that they can be compared; 1 where there is nothing to divide.
        full = max([max(entry.full, entry.length) for entry in entries], default=0.0) or 1.0
        return {
            "rows": {
                "top": row - thick, "bottom": row + thick,
                "label": [entry.name if at % every == 0 else "" for at, entry in enumerate(entries)],
                "text": [entry.text if at % every == 0 else "" for at, entry in enumerate(entries)],
                "name": [entry.name for entry in entries],
                "detail": [entry.detail for entry in entries],
            },
            "bars": pieces(entries, thick, full),
            "span": {"top": [-0.5], "bottom": [count - 0.5]},
            "note": theme.note_columns("" if entries else self.nothing, self.pixels),
        }  # fmt: skip


def pieces(entries: Sequence[Entry], thick: float, full: float) -> Columns:
    """Return the pieces of all bars, as parts of ``full``."""
    columns: Columns = {"left": [], "right": [], "top": [], "bottom": [], "color": []}
    for row, entry in enumerate(entries):
        left = 0.0
        for value, color in entry.parts:
            if value > 0:
                columns["left"].append(left / full)
                # What is there is seen, and never beyond the ground.
                columns["right"].append(min(1.0, max(left / full + SHORTEST, (left + value) / full)))
                columns["top"].append(row - thick)
                columns["bottom"].append(row + thick)
                columns["color"].append(color)
                left += value
    return columns
