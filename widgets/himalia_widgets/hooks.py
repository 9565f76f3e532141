"""What the runtime calls when a person looks (``himalia.views``): one function for each occasion.

Everything else of this package is imported in these functions, when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from himalia.client.client import Client
    from himalia.client.future import Future
    from himalia.client.reprs import Futures
    from himalia.deploy.cluster import Cluster
    from himalia_widgets.cell.recorder import Recorder


def cluster_mimebundle(cluster: Cluster) -> dict[str, Any]:
    """Return what shows a cluster live in a notebook's page."""
    from himalia_widgets.widget.model import show_cluster

    return show_cluster(cluster)


def profile_figure(samples: Mapping[str, Iterable[tuple[float, str, int]]], filename: str | None) -> Any:
    """Return a flame graph; write it to a file too, if one is named."""
    from himalia_widgets.cell.flame import profile_figure

    return profile_figure(samples, filename)


def show_future(future: Future[Any]) -> None:
    """Show a future live."""
    from himalia_widgets.cell import live

    live.show_future(future)


def show_futures(futures: Futures) -> None:
    """Show a list of futures live."""
    from himalia_widgets.cell import live

    live.show_futures(futures)


def show_client(client: Client) -> None:
    """Show a client live."""
    from himalia_widgets.cell import live

    live.show_client(client)


def show_progress(markup: str) -> Callable[[str], None]:
    """Show a text of HTML in the cell that runs, and return what replaces it."""
    from himalia_widgets.cell.display import show

    return show(markup)


def begin_report(client: Client) -> Recorder:
    """Begin to record what a client's cluster does."""
    from himalia_widgets.cell.recorder import Recorder

    recorder = Recorder(client)
    recorder.begin()
    return recorder


def end_report(recorder: Recorder, filename: str, problem: str) -> None:
    """Write what was recorded; ``problem`` says which error ended the block."""
    from himalia_widgets.cell.report import write

    recorder.end()
    write(recorder, filename, problem)
