"""Bars of how far each function's calls are."""

from __future__ import annotations

from typing import ClassVar, Final

from bokeh.models import LayoutDOM

from himalia_widgets.plots import theme
from himalia_widgets.plots.base import Plot
from himalia_widgets.view import units
from himalia_widgets.view.history import History
from himalia_widgets.view.stream.marks import Columns
from himalia_widgets.view.tables.progress import Progress, progress

ROW: Final = 36
"""Pixels of a row: a line of text, and the bar under it."""
SEGMENTS: Final = (
    ("in_memory", theme.DONE), ("released", theme.RELEASED), ("running", theme.RUNNING), ("failed", theme.FAILED),
    ("cancelled", theme.CANCELLED),
)  # fmt: skip


class ProgressPlot(Plot):
    """One row for each function; sources ``rows``, ``bars`` and ``note``."""

    name: ClassVar[str] = "progress"
    title: ClassVar[str] = "Progress"
    height: ClassVar[int] = 300
    nothing: ClassVar[str] = "No calls yet."

    def build(self) -> LayoutDOM:
        # Rows of a fixed height: one function alone mustn't fill the plot.
        fig = theme.new_figure(
            self.theme, height=self.pixels, x_range=theme.unit_range(), y_range=theme.fixed_rows(self.slots)
        )
        rows = self.source("rows", "row low high name detail numbers")
        ground = fig.quad(
            source=rows, left=0, right=1, top="low", bottom="high", color=self.theme.track, line_color=None
        )
        bars = self.source("bars", "left right low high color")
        fig.quad(source=bars, left="left", right="right", top="low", bottom="high", color="color", line_color=None)
        text = {
            "y": "row",
            "source": rows,
            "text_font": theme.FONT_VALUE,
            "text_font_size": theme.TEXT,
            "text_baseline": "middle",
        }
        fig.text(x=0, text="name", text_color=self.theme.text, **text)
        fig.text(x=1, text="numbers", text_color=self.theme.faint, text_align="right", **text)
        fig.add_tools(theme.new_hover(self.theme, "<b>@name</b>", "@detail", renderers=[ground]))
        theme.add_note(self.theme, fig, self.source("note", "x y text"))
        return fig

    @property
    def slots(self) -> int:
        """Rows that there is room for."""
        # At least one, however low: the last row sums up all others.
        return max(1, (self.pixels - 8) // ROW)

    def columns(self, history: History) -> dict[str, Columns]:
        rows = progress(history, most=self.slots)
        note = theme.note_columns("" if rows else self.nothing, self.pixels)
        return {"rows": texts(rows), "bars": segments(rows), "note": note}


def texts(rows: list[Progress]) -> Columns:
    """Return what is written, and the ground of each bar."""
    count = len(rows)
    return {
        "row": [at + 0.3 for at in range(count)],
        "low": [at + 0.58 for at in range(count)],
        "high": [at + 0.84 for at in range(count)],
        "name": [row.label for row in rows],
        "detail": [describe(row) for row in rows],
        "numbers": [numbers(row) for row in rows],
    }


def segments(rows: list[Progress]) -> Columns:
    """Return the parts of the bars."""
    columns: Columns = {"left": [], "right": [], "low": [], "high": [], "color": []}
    for at, row in enumerate(rows):
        left = 0
        for name, color in SEGMENTS:
            count = getattr(row, name)
            if count:
                # Never 0: a function without tasks has no row.
                columns["left"].append(left / row.total)
                columns["right"].append((left + count) / row.total)
                columns["low"].append(at + 0.58)
                columns["high"].append(at + 0.84)
                columns["color"].append(color)
                left += count
    return columns


def numbers(row: Progress) -> str:
    """Return what stands at the right: ``412 / 1,000 · 35/s · 12 s left``."""
    parts = [f"{units.count(row.ended)} / {units.count(row.total)}"]
    if row.cancelled:
        parts.insert(0, f"{units.count(row.cancelled)} cancelled")
    if row.failed:
        parts.insert(0, f"{units.count(row.failed)} failed")
    # A rate of what is over, or stands still, tells nothing about what comes.
    if row.left and row.rate > 0.0:
        parts.append(units.rate(row.rate))
        if row.eta is not None:
            parts.append(f"{units.soon(row.eta)} left")
    return "  ·  ".join(parts)


def describe(row: Progress) -> str:
    """Return all numbers of a row."""
    kinds = (
        ("in memory", row.in_memory), ("released", row.released), ("running", row.running), ("waiting", row.waiting),
        ("failed", row.failed), ("cancelled", row.cancelled),
    )  # fmt: skip
    parts = [f"{units.count(count)} {kind}" for kind, count in kinds if count]
    if row.done:
        parts.append(f"{units.seconds(row.compute / row.done)} each")
    return " · ".join(parts)
