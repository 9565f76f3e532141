"""The task stream: which bars show the calls of a window of time, at a level of detail that a browser bears.

Calls that are wide enough are bars of their own, with what came before and after the computation.  Crowds of narrow
ones share a bar for each function: as wide as the crowd, and as high as the part of that time in which they ran, so
that area is time however far one is zoomed out.  ``bars.py`` draws both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from himalia_widgets.view.history import History, Move
from himalia_widgets.view.stream.activity import draw_moves, draw_running
from himalia_widgets.view.stream.bars import draw
from himalia_widgets.view.stream.lanes import Layout, arrange
from himalia_widgets.view.stream.marks import Columns, join
from himalia_widgets.view.stream.window import Window, whole

TICKS: Final = 2048
"""Finest division of a window: more than a plot has pixels shows nothing."""


class Stream(NamedTuple):
    """What a task stream shows."""

    layout: Layout
    window: Window
    calls: Columns
    """Bars: ``left``, ``right`` (epoch seconds), ``top``, ``bottom`` (rows count downwards from 0), ``color`` (number
    in ``colors.PALETTE``), ``name``, ``key``, ``time``, ``detail`` and ``where`` for the hover."""
    running: Columns
    """The same of calls that haven't ended."""


def show(
    history: History,
    window: Window | None = None,
    *,
    layout: Layout | None = None,
    indices: npt.NDArray[np.intp] | None = None,
    moves: Sequence[Move] | None = None,
    pixel: float | None = None,
    max_rows: int = 10_000,
    function: str | None = None,
) -> Stream:
    """Return the bars of a window of time.

    Parameters
    ----------
    window : Window, optional
        Everything if not given.
    layout : Layout, optional
        The rows, if they are known already.
    indices : array of int, optional
        Show only these of ``history.calls``.
    moves : sequence of Move, optional
        Show only these of ``history.moves``.
    pixel : float, optional
        Seconds below which a bar is too narrow; a two-thousandth of the window if not given.
    max_rows : int
        Bars at most, as long as there are fewer rows than that.
    function : str, optional
        Only calls of this group.
    """
    window = window or whole(history)
    layout = layout or arrange(history)
    calls = history.calls
    if indices is None:
        indices = calls.window(*window)
    # Before the first lane there is nothing to look a row up in.
    row = layout.row_of_lane[calls.columns["lane"][indices]] if len(layout.row_of_lane) else np.empty(0, np.int32)
    # What was refused before it began has no place in time.
    keep = (row >= 0) & (calls.columns["start"][indices] > 0.0)
    if function is not None:
        keep &= calls.columns["group"][indices] == (calls.groups.index(function) if function in calls.groups else -1)
    if not keep.all():
        indices, row = indices[keep], row[keep]
    bars = draw(history, layout, window, indices, row, pixel=pixel or window.length / TICKS, most=max_rows)
    # Beside the calls' bars and not counted with them: they are bounded by themselves.
    moved = draw_moves(history, layout, window, history.moves if moves is None else moves)
    return Stream(layout, window, join([bars, moved]), draw_running(history, layout, function))
