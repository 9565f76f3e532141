"""The bars of finished calls: which are drawn one by one and which as crowds, and where each begins and ends.

A call is one bar for its computation, and a thinner one for each of transfer,
deserialization and serialization that is wide enough to be seen; otherwise these belong to the computation's bar
(transfer, which happens before the thread is occupied, is then left out).  Calls that the scheduler didn't send, since
they were too many (``himalia/telemetry/finished_calls.py``), are no bars, and in no crowd.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from himalia.plural import plural
from himalia_widgets.view import colors, units
from himalia_widgets.view.history import History
from himalia_widgets.view.stream.crowds import CrowdedCalls, Crowds, Floats, Ints, crowd
from himalia_widgets.view.stream.hovers import call_texts
from himalia_widgets.view.stream.lanes import Layout
from himalia_widgets.view.stream.marks import Columns, bars, join
from himalia_widgets.view.stream.window import Window
from himalia_widgets.view.text import hover

Bools = npt.NDArray[np.bool_]

THIN: Final = 0.45
"""Height of transfer and (de)serialization, of that of a bar."""
FLOOR: Final = 0.08
"""Least height of a crowd, of that of a bar: what ran at all is to be seen."""
PHASE: Final = 1 / 500
"""Part of the window that a phase must fill to be a bar of its own: about two pixels."""
SEEN: Final = 4
"""Pixels that a failed call is wide at least."""

PHASES: Final = (("transfer", colors.TRANSFER), ("deserialize", colors.DESERIALIZE), ("serialize", colors.SERIALIZE))


def draw(
    history: History,
    layout: Layout,
    window: Window,
    indices: npt.NDArray[np.intp],
    row: Ints,
    *,
    pixel: float,
    most: int,
) -> Columns:
    """Return the bars of these calls (``indices`` of ``history.calls``, each with its row).

    Parameters
    ----------
    pixel : float
        Seconds from which a call is a bar of its own, if there are more calls than half the bars.
    most : int
        Bars at most.
    """
    table = history.calls.columns
    # Crowds are summed in the window only; bars of single calls keep their own times.
    start = np.maximum(table["start"][indices], window.start)
    end = np.maximum(np.minimum(table["end"][indices], window.end), start)
    # Where a row shows several threads, calls overlap: they are always a crowd.
    single = np.array(layout.threads, np.int32)[row] == 1 if len(row) else np.empty(0, np.bool_)
    own = single if len(indices) <= most // 2 else choose(single, end - start, table["failed"][indices], pixel, most)
    others, alone = np.flatnonzero(~own), np.flatnonzero(own)
    budget = most // 2 if len(alone) else most
    pieces = []
    if len(others):
        color = color_of_calls(history, indices[others])
        calls = CrowdedCalls(start[others], end[others], row[others], color)
        # A power of two, since crowd() halves it; no more than a screen has pixels.
        columns = 1 << max(0, min(11, int(window.length / pixel).bit_length() - 1))
        parts = crowd(calls, len(layout.names), window.start, window.length, columns=columns, budget=budget)
        pieces.append(draw_crowds(history, layout, parts, names_of_colors(history, indices[others], color)))
    room = most - len(alone) - (budget if len(others) else 0)
    # Failed ones last: what is drawn later lies above.
    alone = alone[np.argsort(table["failed"][indices[alone]], kind="stable")]
    least = max(window.length * PHASE, 2 * pixel)
    pieces.append(draw_calls(history, indices[alone], row[alone], pixel=pixel, least=least, room=room))
    return join(pieces)


def choose(single: Bools, length: Floats, failed: Bools, pixel: float, most: int) -> Bools:
    """Return which calls are bars of their own: those that are wide enough, the widest of them, and failed ones."""
    own = single & (length >= pixel)
    few = most // 4
    if np.count_nonzero(own) > few:
        # More than the limit, not as much: of a thousand calls of one length all would be chosen.
        own &= length > np.partition(length[own], -few)[-few]
    failed = single & failed
    # So many failures are a crowd, and can be seen as one.
    return own | failed if np.count_nonzero(failed) <= most // 8 else own


def draw_calls(
    history: History, indices: npt.NDArray[np.intp], row: Ints, *, pixel: float, least: float, room: int
) -> Columns:
    """Return bars of single calls, with at most ``room`` bars of phases around them that took ``least`` seconds.

    Failed ones are drawn wide enough to be seen.
    """
    table = history.calls.columns
    start, end = table["start"][indices], table["end"][indices]
    transfer = table["transfer"][indices].astype(np.float64)
    deserialize = table["deserialize"][indices].astype(np.float64)
    serialize = table["serialize"][indices].astype(np.float64)
    lengths = np.concatenate([transfer, deserialize, serialize])
    if np.count_nonzero(lengths >= least) > room:
        # A little more than the longest that has no room: all that equal it are left out, too.
        least = float(np.partition(lengths, -room - 1)[-room - 1]) * (1 + 1e-9) + 1e-9
    # Decided once for bars and for edges, so that no time is shown twice.
    has = [length >= least for length in (transfer, deserialize, serialize)]
    texts = call_texts(history, indices)
    left = start + np.where(has[1], deserialize, 0.0)
    right = end - np.where(has[2], serialize, 0.0)
    # To the right only: the beginning of a call is where it was.
    seen = left + np.where(table["failed"][indices], SEEN * pixel, 0.0)
    pieces = [bars(left, np.maximum(right, seen), row, color_of_calls(history, indices), texts)]
    edges = ((start - transfer, start), (start, left), (right, end))
    for (phase, color), there, (begin, stop) in zip(PHASES, has, edges, strict=True):
        at = np.flatnonzero(there)
        if len(at):
            named = {name: [values[i] for i in at] for name, values in texts.items()}
            named["time"] = [f"{phase} {units.seconds(value)}" for value in (stop - begin)[at].tolist()]
            shade = np.full(len(at), color, np.int32)
            pieces.append(bars(begin[at], stop[at], row[at], shade, named, low=(1 - THIN) / 2, high=(1 + THIN) / 2))
    return join(pieces)


def draw_crowds(history: History, layout: Layout, parts: Crowds, names: dict[int, str]) -> Columns:
    """Return one bar for each crowd, those of one cell on top of each other."""
    room = parts.width * np.array(layout.threads, np.float64)[parts.row]
    share = parts.busy / room
    low = np.minimum(parts.below / room, 1.0)
    high = np.minimum(low + np.maximum(share, FLOOR), 1.0)
    texts = {
        "name": [
            f"{names[color]} and others" if mixed else names[color]
            for color, mixed in zip(parts.color.tolist(), parts.mixed.tolist(), strict=True)
        ],
        "key": [plural(number, "call") for number in parts.count.tolist()],
        "time": [f"{units.seconds(busy)}" for busy in parts.busy.tolist()],
        "detail": [f"{units.percent(value)} of {units.seconds(parts.width)}" for value in share.tolist()],
        "where": [layout.titles[row] for row in parts.row.tolist()],
    }
    return bars(parts.start, parts.start + parts.width, parts.row, parts.color, texts, low=low, high=high)


def color_of_calls(history: History, indices: npt.NDArray[np.intp]) -> Ints:
    """Return the number of each call's colour: its function's, or that of errors."""
    calls = history.calls
    of_group = np.array([history.colors.number(name) for name in calls.groups], np.int32)
    color = of_group[calls.columns["group"][indices]] if len(of_group) else np.empty(0, np.int32)
    # Red means failed and nothing else (``colors.py``).
    color[calls.columns["failed"][indices]] = colors.ERROR
    return color


def names_of_colors(history: History, indices: npt.NDArray[np.intp], color: Ints) -> dict[int, str]:
    """The name of each colour's calls: their function's, or that there are several."""
    group = history.calls.columns["group"][indices]
    names: dict[int, str] = {}
    # Counted, not sorted: pairs are few, and calls may be a hundred thousand.
    for pair in np.flatnonzero(np.bincount(color * len(history.calls.groups) + group)).tolist():
        number, which = divmod(pair, len(history.calls.groups))
        names[number] = hover(history.calls.groups[which]) if number not in names else "several functions"
    if colors.ERROR in names:
        names[colors.ERROR] = f"{names[colors.ERROR]} (failed)"
    return names
