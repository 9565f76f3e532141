"""A slim bar under a cell: what this cell has submitted, and what became of it.

Decides what is told, and when no more will change: the cell has ended, and so have its calls.  It asks the scheduler in
a thread of its own: at the cell's end, and before that a few times a second if the cell takes longer than a moment.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from html import escape
from typing import Any, Final, NamedTuple

from himalia.client.progress_html import DONE, FAILED, FAINT, GROUND
from himalia.errors import HimaliaError
from himalia.messages import GroupSummary
from himalia_widgets.view.pace import Pace
from himalia_widgets.view.units import seconds, size, soon

PATIENCE: Final = 1.0
"""Seconds from a cell's first submission to the first look: most cells have ended by then."""
INTERVAL: Final = 0.4
"""Seconds between two looks."""
ASK: Final = 1.0
"""Seconds that the end of a cell waits for the newest numbers, at most: what is saved with the cell should be true."""


class CellTotals(NamedTuple):
    """What a cell's calls add up to."""

    done: int
    """Calls that ended, also by an error; each attempt counts."""
    total: int
    failed: int
    compute: float
    peak: int
    moved: int
    cancelled: int = 0
    """Calls that were to be done and aren't any more."""


class CellBar:
    """The bar of one cell, which has begun to submit.

    Parameters
    ----------
    client : Client
        Whose calls are counted.
    span : str
        What the cell submits under.
    replace : callable
        Shows HTML and the text that stands for it, instead of what it showed before.
    """

    def __init__(self, client: Any, span: str, replace: Callable[[str, str], None]) -> None:
        self._client = client
        self._span = span
        self._replace = replace
        self._totals = CellTotals(0, 0, 0, 0.0, 0, 0)
        self._peak = 0
        self._most = 0
        """Calls that there ever were."""
        self._pace = Pace()
        self._shown = ""
        self._has_ended = threading.Event()
        """The cell has."""
        self._is_told = threading.Event()
        """So that was seen."""
        self._is_over = False
        """Nothing more is to be told."""
        threading.Thread(target=self._run, name="himalia-cell-bar", daemon=True).start()

    def end(self) -> None:
        """Take in that the cell has ended; its calls may go on."""
        self._has_ended.set()
        if not self._client.asynchronous:  # whose loop may run in this very thread
            self._is_told.wait(ASK)

    def drop(self) -> None:
        """Tell no more."""
        self._is_over = True
        self._has_ended.set()

    def _run(self) -> None:
        self._has_ended.wait(PATIENCE)
        while not self._is_over and not self._has_ended.is_set():
            self._look()
            self._has_ended.wait(INTERVAL)
        while not self._is_over:
            self._look()
            if self._is_told.is_set() and self._totals.done == self._totals.total:
                self._is_over = True  # at the second look: a submission may have been under way before
            self._is_told.set()
            time.sleep(INTERVAL)
        self._is_told.set()

    def _look(self) -> None:
        """Ask what became of the cell's calls, and show it."""
        try:
            self._update(self._ask())
        except HimaliaError as error:
            if self._totals.done < self._totals.total:
                self._show(0.0, str(error))
            self._is_over = True

    def _ask(self) -> list[GroupSummary]:
        report = self._client.telemetry(since=time.time(), span=self._span)
        if self._client.asynchronous:
            report = asyncio.run_coroutine_threadsafe(report, self._client.loop).result()
        groups: list[GroupSummary] = report.groups
        return groups

    def _update(self, groups: list[GroupSummary]) -> None:
        done = sum(group.finished + group.failed for group in groups)
        total = done + sum(group.waiting + group.assigned for group in groups)
        self._most = max(self._most, total)
        self._peak = max(self._peak, sum(group.memory for group in groups), *(group.peak for group in groups), 0)
        self._totals = CellTotals(
            done,
            total,
            sum(group.failed for group in groups),
            sum(group.compute for group in groups),
            self._peak,
            sum(group.moved for group in groups),
            self._most - total,
        )
        if self._most:
            now = time.monotonic()
            self._pace.add(now, done)
            self._show(self._pace.rate(now), "")

    def _show(self, rate: float, reason: str) -> None:
        markup = draw(self._totals, rate, reason)
        if markup != self._shown:
            self._shown = markup
            self._replace(markup, "himalia: " + ", ".join(facts(self._totals, rate, reason)))


def facts(totals: CellTotals, rate: float, reason: str = "") -> list[str]:
    """Say it in words.

    >>> facts(CellTotals(50, 100, 2, 12.3, 2048, 0), 10.0)
    ['50 of 100 tasks', '2 failed', '5 s left', '12.3 core-seconds', 'peak 2.00 KiB']
    """
    left = totals.total - totals.done
    told = [f"{totals.done:,} of {totals.total + totals.cancelled:,} tasks"]
    if totals.cancelled:
        told.append(f"{totals.cancelled:,} cancelled")
    if totals.failed:
        told.append(f"{totals.failed:,} failed")
    if reason:
        told.append(reason)
    elif left and rate > 0:
        told.append(f"{soon(left / rate)} left")
    cores = totals.compute
    told.append(f"{cores:,.1f} core-seconds" if cores >= 0.05 else f"{seconds(cores)} of a core")
    if totals.peak:
        told.append(f"peak {size(totals.peak)}")
    if totals.moved:
        told.append(f"{size(totals.moved)} moved")
    return told


def draw(totals: CellTotals, rate: float, reason: str = "") -> str:
    """Return the bar as HTML."""
    good, bad = (
        100 * part / (totals.total + totals.cancelled) for part in (totals.done - totals.failed, totals.failed)
    )
    words = " · ".join(
        f"<span style='color:{FAILED}'>{escape(fact)}</span>" if fact.endswith(" failed") else escape(fact)
        for fact in facts(totals, rate, reason)
    )
    return (
        "<div style='display:flex;gap:10px;align-items:center;font-size:var(--jp-ui-font-size0,11px);"
        f"font-variant-numeric:tabular-nums;{FAINT}'>"
        f"<span style='display:flex;flex:0 0 120px;height:4px;border-radius:2px;overflow:hidden;background:{GROUND}'>"
        f"<span style='width:{good:.1f}%;background:{DONE}'></span>"
        f"<span style='width:{bad:.1f}%;background:{FAILED}'></span></span><span>{words}</span></div>"
    )
