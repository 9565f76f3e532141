"""What a task stream shows beside the finished calls: those that run, and what stores moved to disk and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from himalia_widgets.view import colors, units
from himalia_widgets.view.history import History, Move
from himalia_widgets.view.stream.lanes import Layout
from himalia_widgets.view.stream.marks import Columns, bars
from himalia_widgets.view.stream.window import Window
from himalia_widgets.view.text import hover

MOVES: Final = 300
"""Moves drawn at most, the longest."""


def draw_running(history: History, layout: Layout, function: str | None = None) -> Columns:
    """Return open bars, up to now, of calls that have been running for a while.

    In a row of several threads each has its share of the height, from the top downwards.
    """
    found = []
    for host, metrics in history.hosts.items():
        skew = history.skew.get(host, 0.0)
        for call in metrics.running:
            # By name: its thread may not have finished anything yet, and has no lane.
            row = layout.row_of_thread(host, call.worker, call.thread)
            if row >= 0 and (function is None or call.group == function):
                found.append((row, call.started + skew, call))
    left = np.array([started for _, started, _ in found], np.float64)
    color = np.array([history.colors.number(call.group) for _, _, call in found], np.int32)
    texts = {
        "name": [hover(call.group) for _, _, call in found],
        "key": [hover(call.key) for _, _, call in found],
        "time": [f"running for {units.seconds(max(0.0, history.now - started))}" for _, started, _ in found],
        "detail": [""] * len(found),
        "where": [hover(f"{call.worker} · {call.thread}") for _, _, call in found],
    }
    rows = np.array([row for row, _, _ in found], np.int32)
    part = np.array([1.0 / layout.threads[row] for row, _, _ in found], np.float64)
    # By turn, not by the thread's number: a row may be of several workers.
    above = np.array(count_before([row for row, _, _ in found]), np.float64)
    high = np.clip(1.0 - above * part, part, 1.0)
    # A host's clock may be ahead of ours by less than is corrected: no bar ends before it begins.
    return bars(left, np.maximum(left, history.now), rows, color, texts, low=high - part, high=high)


def count_before(numbers: Sequence[int]) -> list[int]:
    """Return how often each number occurred before."""
    counts: dict[int, int] = {}
    found = []
    for number in numbers:
        found.append(counts.get(number, 0))
        counts[number] = found[-1] + 1
    return found


def draw_moves(history: History, layout: Layout, window: Window, moves: Iterable[Move]) -> Columns:
    """Return bars of what stores moved to disk and back."""
    found = [
        (layout.spill_row[host], move, host)
        for host, move in moves
        if host in layout.spill_row and move.start < window.end and move.start + move.seconds > window.start
    ]
    found = sorted(found, key=lambda one: one[1].seconds, reverse=True)[:MOVES]
    start = np.array([move.start for _, move, _ in found], np.float64)
    seconds = np.array([move.seconds for _, move, _ in found], np.float64)
    color = np.array([colors.SPILL if move.kind == "spill" else colors.UNSPILL for _, move, _ in found], np.int32)
    texts = {
        "name": ["spill to disk" if move.kind == "spill" else "read back from disk" for _, move, _ in found],
        "key": [""] * len(found),
        "time": [units.seconds(move.seconds) for _, move, _ in found],
        "detail": [units.size(move.nbytes) for _, move, _ in found],
        "where": [hover(history.host_name(host)) for _, _, host in found],
    }
    return bars(start, start + seconds, np.array([row for row, _, _ in found], np.int32), color, texts)
