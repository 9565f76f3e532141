"""The cluster widget as ipywidgets knows it: one model for each cluster in this kernel, shared by all its displays."""

from __future__ import annotations

import json
import weakref
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets
from ipywidgets import widget_serialization

from himalia_widgets.widget.assets import script, style
from himalia_widgets.widget.board import ENDED, Board
from himalia_widgets.widget.bokehjs import BokehJS, bokehjs

if TYPE_CHECKING:
    from himalia_widgets.widget.cluster_object import ClusterObject


class ClusterWidget(anywidget.AnyWidget):
    """What a page needs to draw a cluster; everything that changes is sent by its board."""

    _esm = script()
    _css = style()
    library = traitlets.Instance(BokehJS).tag(sync=True, **widget_serialization)
    about = traitlets.Unicode().tag(sync=True)
    """Who the cluster is: what a page shows before the first push, and without a kernel."""
    plots = traitlets.Unicode().tag(sync=True)

    def __init__(self, cluster: ClusterObject) -> None:
        board = Board(cluster, self.send)
        about, plots = json.dumps(board.describe_name()), json.dumps(board.pushes.describe_plots())
        # All at once: each trait that is set later would be a message of its own.
        super().__init__(library=bokehjs(), about=about, plots=plots)
        self.board = board
        self.on_msg(lambda _, message, buffers: board.take(message))


# Values are held as long as their keys live, so a widget mustn't hold its cluster: the board does it weakly.
_widgets: weakref.WeakKeyDictionary[ClusterObject, ClusterWidget] = weakref.WeakKeyDictionary()


def show_cluster(cluster: ClusterObject) -> dict[str, Any]:
    """Return the MIME bundle of a new view; empty if there is nothing to see but that it has ended."""
    widget = _widgets.get(cluster)
    if widget is None:
        # One that was never shown has no last picture.
        if cluster.status in ENDED:
            return {}
        widget = _widgets[cluster] = ClusterWidget(cluster)
    bundle = widget._repr_mimebundle_()
    widget.board.promise()
    return dict(bundle[0] if isinstance(bundle, tuple) else bundle or {})
