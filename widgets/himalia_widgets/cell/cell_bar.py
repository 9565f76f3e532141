"""A slim bar under a cell: what this cell has submitted, and what became of it.

Decides what is told, and when no more will change: the cell has ended, and so have its calls, or the client is about to
close.  It asks the scheduler in a thread of its own: at the cell's end, and before that a few times a second if the
cell takes longer than a moment.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from html import escape
from typing import Final, NamedTuple, Protocol

from himalia.errors import HimaliaError, TimeoutError
from himalia.follow.source import Groups
from himalia.messages.answers import TelemetryReport
from himalia.messages.telemetry import GroupSummary, TaskCounts
from himalia.plural import plural
from himalia.show.bars import FAILED, FAINT, GROUND, parts
from himalia_widgets.view.left import WorkLeft
from himalia_widgets.view.units import seconds, size, soon

PATIENCE: Final = (0.15, 0.35, 0.5)
"""Seconds from a cell's first submission to the first looks, which show nothing: most cells have ended by then."""
INTERVAL: Final = 0.4
"""Seconds between two looks."""
ASK: Final = 1.0
"""Seconds that the end of a cell waits for the newest numbers, at most: what is saved with the cell should be true."""
ANSWER: Final = 60.0
"""Seconds that a look waits for them: a kernel that submits a million calls has no ear for anything else meanwhile."""


class CellTotals(NamedTuple):
    """What a cell's calls add up to."""

    counts: TaskCounts
    occupied: float = 0.0
    """Seconds of worker threads, those of calls that failed or were stopped included."""
    peak: int = 0
    """Bytes."""
    moved: int = 0
    elapsed: float = 0.0
    """Seconds from the first submission until nothing was left, or until now."""
    stopping: int = 0
    """Calls that were cancelled and that still run."""


class Asked(Protocol):
    """A source that a thread asks: a :class:`~himalia.follow.thread_feed.ThreadFeed`, or a client's own session."""

    def ask(
        self, question: Callable[[Groups], Coroutine[object, object, TelemetryReport]], timeout: float
    ) -> TelemetryReport:
        """Ask, and wait so many seconds at most; raises a HimaliaError if there is no answer."""
        ...


class CellBar:
    """The bar of one cell, which has begun to submit.

    Parameters
    ----------
    asked : Asked
        Where its calls are counted.
    span : str
        What the cell submits under.
    replace : callable
        Shows HTML and the text that stands for it, instead of what it showed before.
    """

    def __init__(self, asked: Asked, span: str, replace: Callable[[str, str], None]) -> None:
        self._asked = asked
        self._span = span
        self._replace = replace
        self._totals = CellTotals(TaskCounts())
        self._began = time.monotonic()
        self._left = WorkLeft()
        self._shown = ""
        self._lock = threading.Lock()
        """One look at a time."""
        self._has_ended = threading.Event()
        """Set when the cell has ended."""
        self._is_told = threading.Event()
        """Set by the first look after that, or when there will be none."""
        self._is_over = False
        """Whether nothing more will be told."""
        # A daemon: a kernel that ends waits for no bar.
        threading.Thread(target=self._run, name="himalia-cell-bar", daemon=True).start()

    def end(self, *, wait: bool = True) -> None:
        """Note that the cell has ended; its calls may go on.  Don't ``wait`` in the thread of the client's loop."""
        self._has_ended.set()
        if wait:
            # Bounded, since the next cell waits behind this.
            self._is_told.wait(ASK)

    def drop(self) -> None:
        """Tell no more."""
        # Before the event: the thread that it wakes looks at this first.
        self._is_over = True
        self._has_ended.set()

    def look_last(self) -> None:
        """Look once more, while there is somebody to ask: the client is about to close; not in its loop's thread."""
        if not self._is_over:
            # In a thread, so that it can be left: an answer may take a minute, and a close shouldn't.
            look = threading.Thread(target=self._look, name="himalia-cell-bar", daemon=True)
            look.start()
            look.join(ASK)

    def _run(self) -> None:
        for wait in PATIENCE:
            if not self._has_ended.wait(wait):
                # What isn't shown counts all the same: the first bar knows by it how fast the work goes.
                self._look(is_shown=False)
        while not self._is_over and not self._has_ended.is_set():
            self._look()
            self._has_ended.wait(INTERVAL)
        while not self._is_over:
            self._look()
            if self._is_told.is_set() and not self._totals.counts.left and not self._totals.stopping:
                self._is_over = True  # at the second look: a submission may have been under way before
            self._is_told.set()
            time.sleep(INTERVAL)
        # However it got here: the end of the cell may be waiting.
        self._is_told.set()

    def _look(self, *, is_shown: bool = True) -> None:
        """Ask what became of the cell's calls, and show it."""
        with self._lock:
            # Again, with the lock: the look that held it may have been the last.
            if self._is_over:
                return
            try:
                self._update(self._ask())
            # Before its base class: somebody is busy, which is no end. The next look tells.
            except TimeoutError:
                return
            except HimaliaError:
                self._is_over = True
                # Most often the client was closed; what was left then was let go of, and is not to come any more.
                reason = "closed before the rest ended" if self._totals.counts.left else ""
                self._show(None, reason)
                return
            if is_shown:
                self._show(self._left.seconds(time.monotonic()), "")

    def _ask(self) -> list[GroupSummary]:
        now = time.time()  # single calls aren't wanted
        return self._asked.ask(lambda source: source.telemetry(now, self._span), ANSWER).groups

    def _update(self, groups: list[GroupSummary]) -> None:
        now = time.monotonic()
        before = self._totals
        self._left.add(now, groups)
        totals = add_up(groups, before)
        # Once nothing is left, later looks don't make it longer.
        was_over = before.counts == totals.counts and not before.counts.left and before.counts.total
        self._totals = totals._replace(elapsed=before.elapsed if was_over else now - self._began)

    def _show(self, left: float | None, reason: str) -> None:
        # The scheduler hasn't heard of the submissions yet, or never will: no bar of nothing.
        if not self._totals.counts.total:
            return
        markup = draw(self._totals, left, reason)
        # Each replacement is a message to every page.
        if markup != self._shown:
            self._shown = markup
            self._replace(markup, "himalia: " + ", ".join(facts(self._totals, left, reason)))


def add_up(groups: Iterable[GroupSummary], before: CellTotals) -> CellTotals:
    """Return what a cell's groups add up to; ``before`` has what was told earlier, of which only a peak may last."""
    groups = list(groups)
    held = sum(group.memory for group in groups)
    return CellTotals(
        sum([group.counts for group in groups], TaskCounts()),
        sum(group.occupied for group in groups),
        # Not the sum of the peaks, which functions reach at different times: what was certainly held at once.
        max([before.peak, held, *(group.peak for group in groups)]),
        sum(group.moved for group in groups),
        before.elapsed,
        sum(group.stopping for group in groups),
    )


def facts(totals: CellTotals, left: float | None = None, reason: str = "") -> list[str]:
    """Say it in words; ``left`` are the seconds that the rest will take, if anybody knows.

    >>> facts(CellTotals(TaskCounts(40, 10, 48, 2), 12.3, 2048), 5.0)
    ['50 of 100 tasks', '2 failed', '5 s left', '12.3 thread-seconds', 'peak 2.00 KiB']
    >>> facts(CellTotals(TaskCounts(0, 0, 12, 0, 2), 7.4, elapsed=3.3))
    ['12 of 14 tasks', '2 cancelled', '3.3 s', '7.4 thread-seconds']
    """
    counts = totals.counts
    told = [f"{counts.ended:,} of {plural(counts.total, 'task')}"]
    if counts.cancelled:
        told.append(f"{counts.cancelled:,} cancelled")
    if counts.failed:
        told.append(f"{counts.failed:,} failed")
    if totals.stopping:
        told.append(f"{totals.stopping:,} still stopping")
    if reason:
        told.append(reason)
    elif counts.left and left is not None:
        told.append(f"{soon(left)} left")
    elif not counts.left:
        told.append(seconds(totals.elapsed))
    taken = totals.occupied
    # Less would be written as 0.0.
    told.append(f"{taken:,.1f} thread-seconds" if taken >= 0.05 else f"{seconds(taken)} of a thread")
    if totals.peak:
        told.append(f"peak {size(totals.peak)}")
    if totals.moved:
        told.append(f"{size(totals.moved)} moved")
    return told


def draw(totals: CellTotals, left: float | None = None, reason: str = "") -> str:
    """Return the bar as HTML."""
    counts = totals.counts
    words = " · ".join(
        f"<span style='color:{FAILED}'>{escape(fact)}</span>" if fact.endswith(" failed") else escape(fact)
        for fact in facts(totals, left, reason)
    )
    return (
        "<div style='display:flex;gap:10px;align-items:center;font-size:var(--jp-ui-font-size0,11px);"
        f"font-variant-numeric:tabular-nums;{FAINT}'>"
        f"<span style='display:flex;flex:0 0 120px;height:4px;border-radius:2px;overflow:hidden;background:{GROUND}'>"
        f"{parts(counts.done, counts.failed, counts.cancelled, counts.total)}</span><span>{words}</span></div>"
    )
