"""The Bokeh figures of a cluster, the same in widget, dashboard and report; data come from ``himalia_widgets.view``."""

from __future__ import annotations

from himalia_widgets.plots.base import Plot
from himalia_widgets.plots.by_function import GroupMemoryPlot, GroupsPlot
from himalia_widgets.plots.by_worker import CpuPlot, HostMemoryPlot, ProcessingPlot, SpilledPlot, WorkerMemoryPlot
from himalia_widgets.plots.matrix import MatrixPlot
from himalia_widgets.plots.profile import ProfilePlot
from himalia_widgets.plots.progress import ProgressPlot
from himalia_widgets.plots.system import SystemPlot
from himalia_widgets.plots.task_stream import TaskStreamPlot
from himalia_widgets.plots.timeline import CpuTimePlot, MemoryPlot, RatePlot, TransfersPlot

# In this order pages of single plots are listed.
ALL: tuple[type[Plot], ...] = (
    TaskStreamPlot, ProgressPlot, MemoryPlot, WorkerMemoryPlot, HostMemoryPlot, GroupMemoryPlot, SpilledPlot,
    ProcessingPlot, CpuPlot, CpuTimePlot, RatePlot, TransfersPlot, MatrixPlot, GroupsPlot, SystemPlot, ProfilePlot,
)  # fmt: skip
PLOTS: dict[str, type[Plot]] = {plot.name: plot for plot in ALL}
"""By name."""


def make_plot(
    name: str, *, dark: bool = False, height: int | None = None, live: bool = True, worker: str | None = None
) -> Plot:
    """Return a new plot.

    Parameters
    ----------
    name : str
        One of :data:`PLOTS`.
    dark : bool
        Whether it will stand on a dark ground.
    height : int, optional
        In pixels; each plot has one that suits it.
    live : bool
        Whether it follows the present; else it shows all there is.
    worker : str, optional
        Show this worker only, where that makes sense.
    """
    return PLOTS[name](dark=dark, height=height, live=live, worker=worker)
