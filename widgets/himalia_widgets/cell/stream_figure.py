"""The task stream of some calls: a figure, and a file that opens without a network."""

from __future__ import annotations

import time
from typing import Any

from bokeh.embed import file_html
from bokeh.models import LayoutDOM
from bokeh.resources import INLINE

from himalia.client.telemetry import TelemetryReport
from himalia.messages import Telemetry
from himalia_widgets.plots import make_plot
from himalia_widgets.view.history import History


def task_stream_figure(report: TelemetryReport, info: dict[str, Any], filename: str | None) -> LayoutDOM:
    """Return a picture of a report's calls; with a ``filename`` also write it there."""
    history = History(records=max(1, len(report.records)))
    history.take_info(info)
    now = time.time()
    history.take(Telemetry(now, report.groups, report.records, 0, {}), now=now)
    plot = make_plot("task_stream", live=False)
    plot.update(history)
    if filename:
        with open(filename, "w", encoding="utf-8") as file:
            file.write(file_html(plot.root, INLINE, "himalia task stream"))
    return plot.root
