"""What every plot has: a figure, the sources that it draws, and new data for them from the history.

A plot never changes but in its sources (and, in a Bokeh server, in what its own tools need), so that it can live in a
widget that only pushes columns as well as in a server's document.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from bokeh.models import ColumnDataSource, LayoutDOM

from himalia_widgets.plots import theme
from himalia_widgets.view.history import History
from himalia_widgets.view.stream.marks import Columns


class Plot:
    """One plot.

    Attributes
    ----------
    root : LayoutDOM
        What is shown.
    sources : dict of str to ColumnDataSource
        By short name; the name of each model is ``himalia-<plot>-<source>``.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    height: ClassVar[int] = 260
    nothing: ClassVar[str] = ""
    """What is said in its place while there is nothing to show (``theme.add_note``), where that may be for long."""
    follows_history_only: ClassVar[bool] = True
    """Whether two such plots with the same options always show the same of a history."""
    root: LayoutDOM

    def __init__(
        self, *, dark: bool = False, height: int | None = None, live: bool = True, worker: str | None = None
    ) -> None:
        self.theme = theme.DARK if dark else theme.LIGHT
        self.pixels = height or type(self).height
        self.live = live
        self.worker = worker
        # Before build(), which fills it.
        self.sources: dict[str, ColumnDataSource] = {}
        self.root = self.build()

    def build(self) -> LayoutDOM:
        """Make the figure over new sources."""
        raise NotImplementedError

    def columns(self, history: History) -> dict[str, Columns]:
        """Return the data of each source; all columns of a source are equally long."""
        raise NotImplementedError

    def update(self, history: History) -> None:
        """Show the history as it is now.  Where the plot is in a document, call it in that document's turn."""
        self.assign(self.columns(history))

    def assign(self, data: dict[str, Columns]) -> None:
        """Give sources new data, where they differ."""
        for name, columns in data.items():
            source = self.sources[name]
            # A source that is given data sends all of it.
            if not same(source.data, columns):
                source.data = columns

    def source(self, name: str, columns: str) -> ColumnDataSource:
        """Return a new empty source with these columns, separated by blanks."""
        empty: Columns = {column: [] for column in columns.split()}
        # A page that draws a copy finds its sources by these names (widget/js/plot.js).
        self.sources[name] = ColumnDataSource(empty, name=f"himalia-{self.name}-{name}")
        return self.sources[name]


def same(old: Columns, new: Columns) -> bool:
    """Whether two sets of columns are equal, so that nothing need be sent."""
    if old.keys() != new.keys():
        return False
    return all(equal(old[name], new[name]) for name in new)


def equal(old: Any, new: Any) -> bool:
    """Whether two columns are equal; one may hold an array in each row."""
    if len(old) != len(new):
        return False
    # Rows that are arrays may differ in length, which numpy can't compare as one.
    if len(new) and isinstance(new[0], np.ndarray):
        return all(map(np.array_equal, old, new))
    return bool(np.array_equal(old, new))
