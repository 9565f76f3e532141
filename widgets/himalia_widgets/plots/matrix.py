"""What moved from host to host, as a matrix: rows receive from columns."""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np
from bokeh.models import CustomJSTickFormatter, LayoutDOM, LinearColorMapper, SingleIntervalTicker

from himalia_widgets.plots import theme
from himalia_widgets.plots.base import Plot
from himalia_widgets.view import transfers, units
from himalia_widgets.view.history import History
from himalia_widgets.view.stream.marks import Columns
from himalia_widgets.view.text import label

ABREAST: Final = 12
"""Names that fit side by side."""


class MatrixPlot(Plot):
    """Sources ``cells`` and ``rows`` (the hosts)."""

    name: ClassVar[str] = "transfer_matrix"
    title: ClassVar[str] = "Transfers, host to host"
    height: ClassVar[int] = 320
    nothing: ClassVar[str] = "Nothing has moved between hosts yet."

    def build(self) -> LayoutDOM:
        fig = theme.new_figure(
            self.theme, height=self.pixels, title=self.title, x_axis_location="above", y_axis_location="left",
            x_range=theme.padded_range(), y_range=theme.row_range(),
        )  # fmt: skip
        rows = self.source("rows", "row label head top bottom right")
        theme.name_rows(fig, rows)
        fig.xaxis.ticker = SingleIntervalTicker(interval=1, num_minor_ticks=0)
        fig.xaxis.formatter = CustomJSTickFormatter(args={"rows": rows}, code="return rows.data.head[tick] ?? ''")
        fig.xaxis.axis_label, fig.yaxis.axis_label = "from", "to"
        fig.quad(
            source=rows, left=-0.5, right="right", top="top", bottom="bottom", color=self.theme.track, line_color=None
        )
        shades = LinearColorMapper(palette=theme.shades(self.theme), low=0.0, high=1.0)
        cells = self.source("cells", "source target share text pair detail")
        drawn = fig.rect(
            source=cells, x="source", y="target", width=0.94, height=0.94, line_color=None,
            fill_color={"field": "share", "transform": shades},
        )  # fmt: skip
        fig.text(
            source=cells, x="source", y="target", text="text", text_align="center", text_baseline="middle",
            text_font=theme.FONT_VALUE, text_font_size=theme.SMALL, text_color=self.theme.text,
        )  # fmt: skip
        fig.add_tools(theme.new_hover(self.theme, "<b>@pair</b>", "@detail", renderers=[drawn]))
        theme.add_note(self.theme, fig, self.source("note", "x y text"))
        return fig

    def columns(self, history: History) -> dict[str, Columns]:
        hosts, cells = transfers.matrix(history)
        names = [label(host, 20) for host in hosts]
        # Never 0: shares are divided by it.
        most = max([cell.nbytes for cell in cells], default=0) or 1
        row = np.arange(len(hosts))
        # Names of every so many rows, 14 pixels each, and columns; all hosts keep their cells.
        high, wide = -(-len(hosts) * 14 // (self.pixels - 70)), -(-len(hosts) // ABREAST)
        # A size fits into a cell as long as names fit side by side.
        legible = len(hosts) <= 12
        return {
            "rows": {
                "row": row,
                "label": [name if at % high == 0 else "" for at, name in enumerate(names)],
                "head": [name if at % wide == 0 else "" for at, name in enumerate(names)],
                "top": row - 0.5,
                "bottom": row + 0.5,
                # Each row's ground reaches to the last column, whatever moved.
                "right": np.full(len(row), len(row) - 0.5),
            },
            "cells": {
                "source": [cell.source for cell in cells],
                "target": [cell.target for cell in cells],
                "share": [cell.nbytes / most for cell in cells],
                "text": [units.size(cell.nbytes) if legible else "" for cell in cells],
                "pair": [f"{names[cell.source]} → {names[cell.target]}" for cell in cells],
                "detail": [describe(cell) for cell in cells],
            },
            "note": theme.note_columns("" if cells else self.nothing, self.pixels),
        }


def describe(cell: transfers.Cell) -> str:
    """Return what a hover says of a cell."""
    times = "once" if cell.count == 1 else f"in {units.count(cell.count)} transfers"
    return f"{units.size(cell.nbytes)} {times}, {units.size(cell.bandwidth)}/s each"
