"""Figures that stand by themselves: what the client returns, or writes to a file that needs no network."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from bokeh.embed import file_html
from bokeh.models import BasicTicker, CustomJSTickFormatter, LayoutDOM, Legend, LegendItem
from bokeh.resources import INLINE

from himalia.messages.answers import ClusterInfo, TelemetryReport
from himalia.messages.client import Telemetry
from himalia.named_file import write_text
from himalia_widgets.plots import theme
from himalia_widgets.plots.profile import ProfilePlot
from himalia_widgets.plots.task_stream import TaskStreamPlot
from himalia_widgets.plots.timeline import time_figure
from himalia_widgets.view.colors import Colors
from himalia_widgets.view.history import History
from himalia_widgets.view.text import label


def profile_figure(samples: Mapping[str, Iterable[tuple[float, str, int]]], filename: str | None) -> LayoutDOM:
    """Return a flame graph of the samples; with a ``filename`` also write it there."""
    plot = ProfilePlot(live=False, height=600)
    plot.samples = samples
    # It draws samples only, but every plot is updated from a history.
    plot.update(History())
    write(plot.root, filename, "himalia profile")
    return plot.root


def task_stream_figure(report: TelemetryReport, info: ClusterInfo, filename: str | None) -> LayoutDOM:
    """Return a picture of a report's calls; with a ``filename`` also write it there."""
    # At least one: the ring finds its rows modulo this.
    history = History(records=max(1, len(report.records)))
    history.take_info(info)
    now = time.time()
    history.take(Telemetry(now, report.groups, report.records, 0, {}), now=now)
    plot = TaskStreamPlot(live=False)
    plot.update(history)
    write(plot.root, filename, "himalia task stream")
    return plot.root


def memory_figure(samples: Mapping[str, Sequence[tuple[float, int]]], align: bool) -> LayoutDOM:
    """Return memory over time, a line for each label.

    Parameters
    ----------
    align : bool
        Whether times are seconds since something; else they are seconds since the epoch.
    """
    look = theme.LIGHT
    fig = time_figure(look, 300, "Memory", "bytes", live=False)
    if align:
        # The clock of the usual axis would write seconds since a beginning as times of day in 1970.
        fig.xaxis.ticker = BasicTicker(desired_num_ticks=6)
        fig.xaxis.formatter = CustomJSTickFormatter(code=theme.SCALES["seconds"])
    colors = Colors()
    items = []
    for name, found in samples.items():
        # Only clock time is in milliseconds, as Bokeh's axes have it.
        times = [at if align else at * 1000 for at, _ in found]
        line = fig.line(times, [nbytes for _, nbytes in found], line_color=colors.color(name), line_width=2)
        items.append(LegendItem(label=theme.text(label(name)), renderers=[line]))
    fig.add_layout(theme.style_legend(look, Legend(items=items)), "above")
    return fig


def write(root: LayoutDOM, filename: str | None, title: str) -> None:
    """Write a figure to a file, if one is named."""
    if filename:
        write_text(filename, file_html(root, INLINE, title))
