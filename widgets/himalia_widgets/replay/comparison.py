"""Two runs side by side: what each function took in one and in the other.

It takes histories and returns rows; how they look is decided in ``compare.js``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from himalia_widgets.view.history import History


class FunctionTimes(NamedTuple):
    """One function in one run; durations are seconds."""

    calls: int
    """Those that ended, each once (:class:`himalia.messages.telemetry.TaskCounts`); ``failed`` of them by an error."""
    failed: int
    compute: float
    """Sum."""
    median: float
    """Of what a call occupied its thread for; of the calls that are kept."""
    transfer: float
    nbytes: int


class FunctionChange(NamedTuple):
    """One function in both runs."""

    name: str
    first: FunctionTimes
    second: FunctionTimes


def compare(first: History, second: History) -> list[FunctionChange]:
    """Return a row for each function of either run, those that took the longest first."""
    one, other = runs(first), runs(second)
    nothing = FunctionTimes(0, 0, 0.0, 0.0, 0.0, 0)
    # A union of dicts, not of sets: the order is that of the first run, then of what only the other has.
    rows = [FunctionChange(name, one.get(name, nothing), other.get(name, nothing)) for name in one | other]
    # What the cluster called before both runs only: it isn't part of either.
    rows = [row for row in rows if (row.first, row.second) != (nothing, nothing)]
    return sorted(rows, key=lambda row: (-max(row.first.compute, row.second.compute), row.name))


def whole_run(history: History) -> FunctionTimes:
    """Return all functions of a run together."""
    parts = list(runs(history).values())
    spent = history.calls["end"] - history.calls["start"]
    return FunctionTimes(
        calls=history.counts.ended,
        failed=history.counts.failed,
        compute=sum(run.compute for run in parts),
        # Of all calls, not of the functions' medians: those count a rare function as much as a frequent one.
        median=float(np.median(spent)) if len(spent) else 0.0,
        transfer=sum(run.transfer for run in parts),
        nbytes=sum(run.nbytes for run in parts),
    )


def runs(history: History) -> dict[str, FunctionTimes]:
    """Return what each function did, by its name."""
    medians = median_durations(history)
    found: dict[str, FunctionTimes] = {}
    for (name, _), group in history.groups.items():
        # The median is of the function over all spans, so it is there from the first group on and is not added up.
        known = found.get(name, FunctionTimes(0, 0, 0.0, medians.get(name, 0.0), 0.0, 0))
        found[name] = known._replace(
            calls=known.calls + group.counts.ended,
            failed=known.failed + group.counts.failed,
            compute=known.compute + group.compute,
            transfer=known.transfer + group.transfer,
            nbytes=known.nbytes + group.nbytes,
        )
    return found


def median_durations(history: History) -> dict[str, float]:
    """Return the median time that a call of each function occupied its thread."""
    calls = history.calls
    # Of calls in the ring only; a function of which none is left has no median.
    spent, groups = calls["end"] - calls["start"], calls["group"]
    return {
        name: float(np.median(spent[groups == number]))
        for number, name in enumerate(calls.groups)
        if (groups == number).any()
    }
