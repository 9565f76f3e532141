"""A slim bar under a cell: what this cell has submitted, and what became of it.

Decides what is told, and when no more will change: the cell has ended, and so have its calls.  It listens to the
telemetry that is pushed anyway, and shows nothing under a cell that submits nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from html import escape
from typing import Any, Final, NamedTuple

from himalia.client.progress_html import DONE, FAILED, FAINT, GROUND
from himalia.deploy.control import Control
from himalia.deploy.thread_feed import ThreadFeed
from himalia.errors import HimaliaError
from himalia.messages import GroupSummary, Telemetry
from himalia_widgets.view.pace import Pace
from himalia_widgets.view.units import seconds, size, soon

PATIENCE: Final = 2.0
"""Seconds after a cell's end for which its first submission may still be on its way."""
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


class CellBar:
    """The bar of one cell; all that it takes in, it takes in in the feed's thread.

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
        self._span = span
        self._replace = replace
        self._groups: dict[str, GroupSummary] = {}
        self._peak = 0
        self._pace = Pace()
        self._shown = ""
        self._ended = 0.0
        """When the cell did."""
        self._is_over = False
        self._unsubscribe: Callable[[], None] = lambda: None
        self._feed = ThreadFeed.of(client)
        self._unsubscribe = self._feed.subscribe(self._take, on_end=self._lost)

    def end(self) -> None:
        """Take in that the cell has ended; its calls may go on."""
        self._ended = time.monotonic()
        try:
            self._feed.ask(self._look, ASK)
        except HimaliaError:
            pass  # the pushes will tell, or have told why there are none

    async def _look(self, control: Control) -> None:
        report = await control.telemetry(time.time())
        # a push that came right behind the answer may have been taken before it
        known = {name: group.finished + group.failed for name, group in self._groups.items()}
        self._update([group for group in report.groups if group.finished + group.failed >= known.get(group.name, 0)])

    def _take(self, telemetry: Telemetry) -> None:
        self._update(telemetry.groups)

    def _update(self, groups: Iterable[GroupSummary]) -> None:
        self._groups.update((group.name, group) for group in groups if group.span == self._span)
        if self._is_over:
            return
        totals = self._totals()
        is_settled = bool(self._ended) and totals.done == totals.total
        if totals.total:
            now = time.monotonic()
            self._pace.add(now, totals.done)
            self._show(totals, self._pace.rate(now), "")
        if is_settled and (totals.total or time.monotonic() - self._ended > PATIENCE):
            self._stop()

    def _lost(self, reason: str) -> None:
        totals = self._totals()
        if totals.total and not self._is_over:
            self._show(totals, 0.0, reason)
        self._stop()

    def _stop(self) -> None:
        self._is_over = True
        self._unsubscribe()

    def _totals(self) -> CellTotals:
        groups = self._groups.values()
        done = sum(group.finished + group.failed for group in groups)
        memory = sum(group.memory for group in groups)
        self._peak = max(self._peak, memory, *(group.peak for group in groups), 0)
        return CellTotals(
            done,
            done + sum(group.waiting + group.assigned for group in groups),
            sum(group.failed for group in groups),
            sum(group.compute for group in groups),
            self._peak,
            sum(group.moved for group in groups),
        )

    def _show(self, totals: CellTotals, rate: float, reason: str) -> None:
        markup = draw(totals, rate, reason)
        if markup != self._shown:
            self._shown = markup
            self._replace(markup, "himalia: " + ", ".join(facts(totals, rate, reason)))


def facts(totals: CellTotals, rate: float, reason: str = "") -> list[str]:
    """Say it in words.

    >>> facts(CellTotals(50, 100, 2, 12.3, 2048, 0), 10.0)
    ['50 of 100 tasks', '2 failed', '5 s left', '12.3 core-seconds', 'peak 2.00 KiB']
    """
    left = totals.total - totals.done
    told = [f"{totals.done:,} of {totals.total:,} tasks"]
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
    good, bad = (100 * part / totals.total for part in (totals.done - totals.failed, totals.failed))
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
