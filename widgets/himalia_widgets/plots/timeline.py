"""Numbers over time: areas on top of each other, and lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

import numpy as np
from bokeh.models import DataRange1d, LayoutDOM, Legend, LegendItem

from himalia_widgets.plots import theme
from himalia_widgets.plots.base import Plot
from himalia_widgets.view import transfers
from himalia_widgets.view.history import History
from himalia_widgets.view.series import Floats, Series
from himalia_widgets.view.stream.marks import Columns

if TYPE_CHECKING:
    from bokeh.plotting import figure

Lines: TypeAlias = dict[str, Floats]
"""Columns of equal length by name, with ``time`` in epoch seconds."""

AXIS: Final = 60
"""Pixels that title and clock take, about."""
SPAN: Final = 300.0
"""Seconds that a live plot shows."""


class TimelinePlot(Plot):
    """Sources ``series``, ``time`` (epoch milliseconds) and one column for each area and line, and ``note``."""

    height: ClassVar[int] = 200
    unit: ClassVar[str] = ""
    """See :func:`theme.scale_axis`."""
    areas: ClassVar[tuple[tuple[str, str, str], ...]] = ()
    """Column, what it is called and its colour, the lowest first."""
    lines: ClassVar[tuple[tuple[str, str, str], ...]] = ()

    def series(self, history: History) -> Lines:
        """Return ``time`` in epoch seconds and each column."""
        raise NotImplementedError

    def build(self) -> LayoutDOM:
        fig = time_figure(self.theme, self.pixels, self.title, self.unit, live=self.live)
        names = [column for column, _, _ in (*self.areas, *self.lines)]
        source = self.source("series", " ".join(["time", *names]))
        items = []
        if self.areas:
            stacked = [column for column, _, _ in self.areas]
            shades = [color for _, _, color in self.areas]
            for renderer, (_, title, _) in zip(
                fig.varea_stack(stacked, x="time", source=source, color=shades, fill_alpha=0.75),
                self.areas, strict=True,
            ):  # fmt: skip
                items.append(LegendItem(label=theme.text(title), renderers=[renderer]))
        for column, title, color in self.lines:
            dash = "dashed" if column == "limit" else "solid"
            color = self.theme.limit if column == "limit" else color
            line = fig.line(x="time", y=column, source=source, line_color=color, line_width=1.8, line_dash=dash)
            items.append(LegendItem(label=theme.text(title), renderers=[line]))
        theme.add_note(self.theme, fig, self.source("note", "x y text"))
        # One alone is what the title says.
        if len(items) > 1:
            fig.add_layout(theme.style_legend(self.theme, Legend(items=items)), "above")
        return fig

    def columns(self, history: History) -> dict[str, Columns]:
        data = self.series(history)
        # Bokeh's clock axes are in milliseconds.
        series = {name: np.asarray(values) for name, values in data.items()} | {"time": data["time"] * 1000}
        is_flat = not any(values.any() for name, values in series.items() if name != "time")
        return {"series": series, "note": theme.note_columns(self.nothing if is_flat else "", self.pixels - AXIS)}


def time_figure(look: theme.Theme, height: int, title: str, unit: str, *, live: bool) -> figure:
    """Return a figure with clock time below and a scale of this unit at the left."""
    fig = theme.new_figure(
        look, height=height, title=title, x_axis_location="below", y_axis_location="left",
        x_range=theme.padded_range(last=SPAN if live else None),
        # Of bytes at least a KiB: a scale of nothing would have ticks of fractions of a byte.
        y_range=DataRange1d(start=0, range_padding=0.2, min_interval=1024 if unit.startswith("bytes") else None),
    )  # fmt: skip
    theme.clock_axis(fig, ticks=4)
    # The same for all units, so that plots under each other have their times under each other.
    fig.min_border_left = 64
    theme.scale_axis(fig, unit)
    fig.ygrid.grid_line_color = look.line
    return fig


def columns_of(series: Series, *columns: str) -> Lines:
    """Return these columns of a series, and its times."""
    return {name: series.column(name) for name in ("time", *columns)}


def of_worker(history: History, worker: str, column: str) -> Lines:
    """Return a column of a worker's series, and its times; nothing of a worker that isn't known."""
    series = history.trends.workers.get(worker)
    return columns_of(series, column) if series is not None else {"time": np.empty(0), column: np.empty(0)}


class MemoryPlot(TimelinePlot):
    """Memory of the whole cluster, or of one worker."""

    name: ClassVar[str] = "memory"
    title: ClassVar[str] = "Memory"
    unit: ClassVar[str] = "bytes"
    areas: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("store", "results", theme.STORE), ("workers_memory", "worker processes", theme.PROCESS),
    )  # fmt: skip
    lines: ClassVar[tuple[tuple[str, str, str], ...]] = (("spilled", "on disk", theme.SPILLED),)

    def series(self, history: History) -> Lines:
        if self.worker is None:
            return columns_of(history.trends.cluster, "store", "workers_memory", "spilled")
        own = of_worker(history, self.worker, "memory")
        # Results are the host's, not the worker's: the plot has these areas, and here they are empty.
        nothing = np.zeros(len(own["time"]))
        return {"time": own["time"], "store": nothing, "workers_memory": own["memory"], "spilled": nothing}


class CpuTimePlot(TimelinePlot):
    """CPU of all workers, or of one, over time."""

    name: ClassVar[str] = "cpu_time"
    title: ClassVar[str] = "CPU over time"
    unit: ClassVar[str] = "percent"
    areas: ClassVar[tuple[tuple[str, str, str], ...]] = (("cpu", "workers", theme.CPU),)

    def series(self, history: History) -> Lines:
        if self.worker is None:
            return columns_of(history.trends.cluster, "cpu")
        return of_worker(history, self.worker, "cpu")


class RatePlot(TimelinePlot):
    """Calls that end a second."""

    name: ClassVar[str] = "rate"
    title: ClassVar[str] = "Calls per second"
    areas: ClassVar[tuple[tuple[str, str, str], ...]] = (("rate", "calls/s", theme.DONE),)

    def series(self, history: History) -> Lines:
        return columns_of(history.trends.rate, "rate")


class TransfersPlot(TimelinePlot):
    """Bytes a second that hosts received from each other."""

    name: ClassVar[str] = "transfers"
    title: ClassVar[str] = "Transfers between hosts"
    unit: ClassVar[str] = "bytes/s"
    nothing: ClassVar[str] = "Nothing has moved between hosts lately."
    areas: ClassVar[tuple[tuple[str, str, str], ...]] = (("received", "received", "#c98f86"),)

    def series(self, history: History) -> Lines:
        # Not from before the first push: there is nothing to know of that.
        time, received = transfers.over_time(history, max(history.started, history.now - SPAN))
        return {"time": time, "received": received}
