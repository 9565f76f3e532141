"""What the runtime calls when a person looks (``himalia.views``): one function for each occasion.

Everything else of this package is imported in these functions, when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bokeh.plotting import figure

    from himalia.client.client import Client
    from himalia.messages.answers import ClusterInfo, TelemetryReport
    from himalia.messages.client import CallOutput
    from himalia.notebook_cells import Cells
    from himalia.views import Look
    from himalia_widgets.cell.recorder import CellRecorder
    from himalia_widgets.widget.cluster_object import ClusterObject


def cluster_mimebundle(cluster: ClusterObject) -> dict[str, object]:
    """Return what shows a cluster live in a notebook's page."""
    from himalia_widgets.widget.model import show_cluster

    return show_cluster(cluster)


def profile_figure(samples: Mapping[str, Iterable[tuple[float, str, int]]], filename: str | None) -> figure:
    """Return a flame graph; write it to a file too, if one is named."""
    from himalia_widgets.cell.figures import profile_figure

    return profile_figure(samples, filename)


def show_live(look: Callable[[], Look], *, calm: bool = False) -> None:
    """Show something live that is looked at: a future, a list of them, a client."""
    from himalia_widgets.cell.live import show_live

    show_live(look, calm=calm)


def show_output(outputs: list[CallOutput], cells: Cells) -> None:
    """Show what calls wrote under the cells that submitted them."""
    from himalia_widgets.cell.output import show_output

    show_output(outputs, cells)


def show_progress(markup: str) -> Callable[[str], None]:
    """Show a text of HTML in the cell that runs, and return what replaces it."""
    from himalia_widgets.cell.display import show

    return show(markup)


def begin_report(client: Client) -> CellRecorder:
    """Begin to record what a client's cluster does."""
    from himalia_widgets.cell.recorder import CellRecorder

    # From here on: nobody keeps hosts' metrics, and nannies look closely at stacks only while somebody asks.
    recorder = CellRecorder(client)
    recorder.begin()
    return recorder


def end_report(recorder: CellRecorder, filename: str, problem: str) -> None:
    """Write what was recorded; ``problem`` says which error ended the block."""
    # Before anything is imported: what draws takes a third of a second to load, which the block did not take.
    recorder.end()
    from himalia_widgets.cell.report import write

    write(recorder, filename, problem)


def load_ipython_extension(shell: Any) -> None:
    """Register the magics."""
    from himalia_widgets.cell.magics import load

    load(shell)


def unload_ipython_extension() -> None:
    """Unregister the magics."""
    from himalia_widgets.cell.magics import unload

    unload()


def task_stream_figure(report: TelemetryReport, info: ClusterInfo, filename: str | None) -> figure:
    """Return a picture of calls; write it to a file too, if one is named."""
    from himalia_widgets.cell.figures import task_stream_figure

    return task_stream_figure(report, info, filename)


def memory_figure(samples: Mapping[str, Sequence[tuple[float, int]]], align: bool) -> figure:
    """Return a figure with a line for each label."""
    from himalia_widgets.cell.figures import memory_figure

    return memory_figure(samples, align)


def replay(paths: Sequence[str], *, port: int, browse: bool) -> int:
    """Show recordings until ctrl-C; return the exit code."""
    from himalia_widgets.replay.show import replay

    return replay(paths, port=port, browse=browse)
