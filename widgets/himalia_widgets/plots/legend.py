"""The functions that a task stream's legend names, and their colours."""

from __future__ import annotations

from itertools import accumulate
from typing import Final

import numpy as np
import numpy.typing as npt

from himalia_widgets.view import colors
from himalia_widgets.view.history import History
from himalia_widgets.view.stream.marks import Columns
from himalia_widgets.view.text import label

Indices = npt.NDArray[np.intp]

RECENT: Final = 20_000
"""Calls that a live legend looks at."""
NAMED: Final = 8
"""Functions in the legend, at most."""
WIDTH: Final = 100
"""Characters that have room in it, in a notebook's cell."""


def recent(history: History, seconds: float) -> Indices:
    """Return calls of the last seconds, enough of them to know which functions there are."""
    calls = history.calls
    # Not of the whole ring, which may hold 100,000: this is done at every push.
    found = calls.since(calls.total - RECENT)
    return found[calls.columns["end"][found] > history.now - seconds]


def legend(history: History, found: Indices) -> Columns:
    """Return the functions that took most time of these calls, longest first, and those that run now.

    They are marks at the beginning of time, far out of the plot.
    """
    calls = history.calls
    group = calls.columns["group"][found]
    # Numbered as calls.groups, so one entry for each of these, whether or not it is among the calls.
    took = np.bincount(group, calls.columns["end"][found] - calls.columns["start"][found], len(calls.groups))
    # What took no time has no bar to be explained.
    first = [number for number in np.argsort(-took)[:NAMED].tolist() if took[number] > 0.0]
    # A function whose first call still runs has ended nothing, but has a bar.
    running = [call.group for metrics in history.hosts.values() for call in metrics.running]
    functions = list(dict.fromkeys([*(calls.groups[number] for number in first), *running]))[:NAMED]
    shown = [label(name, 24) for name in functions]
    names = shown[: sum(used <= WIDTH for used in accumulate(len(name) + 3 for name in shown))]
    color = [history.colors.number(name) for name in functions[: len(names)]]
    if calls.columns["failed"][found].any():
        # Whatever else fits: red is explained wherever there is any.
        names, color = [*names, "failed"], [*color, colors.ERROR]
    return {"x": [0.0] * len(names), "y": [0.0] * len(names), "name": names, "color": color}
