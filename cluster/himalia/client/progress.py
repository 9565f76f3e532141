"""Progress of futures: lines of text in a terminal, bars in a notebook that go on while other cells run.

Decides what is counted (this client's own records, so the numbers are exact) and how often it is looked at.  What the
bars look like is ``progress_html.py``'s business.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TextIO

from himalia.client.engine.engine import Engine
from himalia.client.engine.gathering import wait_here, wait_in_loop
from himalia.client.engine.state import CANCELLED, ERROR, LOST, PENDING, Record
from himalia.client.engine.timing import clock
from himalia.client.engine.watchers import Countdown, Sleeper
from himalia.client.future import AnyFuture, engine_of, record_of
from himalia.client.futures_in import futures_of
from himalia.client.reprs import RELEASED, count_statuses, ended
from himalia.errors import TimeoutError
from himalia.show.bars import Bar, draw
from himalia.telemetry.group_names import group_name
from himalia.views import find_views, in_notebook

INTERVAL: Final = 0.1
"""Seconds between two looks.  Faster than the eye reads, slow enough to cost nothing."""
NOTEBOOK_INTERVAL: Final = 0.25
"""The same for a notebook, where each look that shows something new is a message to the page."""
SHARE: Final = 0.02
"""Part of a CPU that looking at very many records may cost."""
WIDTH: Final = 40
"""Characters of the bar."""


def progress(
    *futures: object,
    notebook: bool | None = None,
    multi: bool = True,
    complete: bool = True,
    group_by: Callable[[AnyFuture], str] | None = None,
    file: TextIO | None = None,
) -> Any:
    """Show how many futures are done, until all are.

    In a notebook this returns at once, and the bars go on under the cell while it and others run.  Elsewhere it waits.

    Parameters
    ----------
    *futures : futures, Dask collections, or containers of these
    notebook : bool, optional
        Whether to show bars in a notebook's page; if left out, whether this is one (and ``himalia[jupyter]`` is there).
    multi : bool
        Whether each function gets a bar of its own.
    complete : bool
        Whether bars of functions that are done stay.
    group_by : callable, optional
        From a future to the name of its bar; the name of its function, if left out.
    file : text file, optional
        Where text goes to; standard output, if left out.
    """
    found = futures_of(list(futures))
    if not found:
        return None
    engine = engine_of(found[0])
    groups = group_records(found, group_by, multi)
    if notebook is None:
        notebook = file is None and not engine.asynchronous and in_notebook()
    views = find_views() if notebook else None
    if views is not None:
        show_bars(groups, views.show_progress, engine.shell, complete=complete)
        return None
    out = sys.stdout if file is None else file
    counters = [Counter(name, records) for name, records in groups.items()]
    if engine.asynchronous:
        return _show_in_loop(engine, counters, out)
    records = [record for members in groups.values() for record in members]
    while True:
        _write(out, line(look_at(counters)))
        try:
            wait_here(engine, records, INTERVAL)
        except TimeoutError:
            continue
        _finish(out, counters)
        return None


def group_records(
    futures: Sequence[AnyFuture], group_by: Callable[[AnyFuture], str] | None, multi: bool
) -> dict[str, list[Record]]:
    """Return the records of futures, each once, by the name of their bar."""
    groups: dict[str, dict[int, Record]] = {}
    for future in futures:
        record = record_of(future)
        name = str(group_by(future)) if group_by else group_name(record.key) if multi else "all"
        groups.setdefault(name, {})[id(record)] = record
    return {name: list(members.values()) for name, members in groups.items()}


async def _show_in_loop(engine: Engine, counters: Sequence[Counter], out: TextIO) -> None:
    records = [record for counter in counters for record in counter.records]
    while True:
        _write(out, line(look_at(counters)))
        try:
            await wait_in_loop(engine, records, INTERVAL)
        except TimeoutError:
            continue
        _finish(out, counters)
        return


def show_bars(
    groups: dict[str, list[Record]],
    show: Callable[[str], Callable[[str], None]],
    shell: Any,
    *,
    complete: bool,
    interval: float = NOTEBOOK_INTERVAL,
) -> threading.Thread:
    """Show bars, and follow the records in a thread of its own until all have settled or were released.

    The last of them wakes it, since how long all took is told: the looks may be a second apart on a busy machine.
    """
    counters = [Counter(name, records) for name, records in groups.items()]
    everything = [record for records in groups.values() for record in records]
    started = clock()
    replace = show(draw([counter.look() for counter in counters], 0.0))

    def follow() -> None:
        shown = ""
        sleeper, is_woken = Sleeper(), False
        countdown = Countdown(sleeper.wake)
        shell.watch(everything, countdown, countdown.begin)
        while True:
            began = time.thread_time()
            bars = [counter.look() for counter in counters]
            is_over = not any(bar.left for bar in bars)
            visible = bars if complete or is_over else [bar for bar in bars if bar.left]
            markup = draw(visible, clock() - started)
            if markup != shown:
                shown = markup
                replace(markup)
            if is_over:
                if not is_woken:
                    shell.unwatch(everything, countdown)
                return
            pause = max(interval, (time.thread_time() - began) / SHARE)
            if is_woken:  # and yet one is to come: it is retried
                time.sleep(pause)
            else:
                is_woken = sleeper.sleep(pause)

    thread = threading.Thread(target=follow, name="himalia-progress", daemon=True)
    thread.start()
    return thread


class Counter:
    """Counts where the records of one bar are.

    Parameters
    ----------
    name : str
        Of the bar.
    records : list of Record
        Each once.
    now : callable
        The clock by which they were submitted, seconds.
    """

    def __init__(self, name: str, records: list[Record], now: Callable[[], float] = clock) -> None:
        self.name = name
        self.records = records
        self._now = now
        counts = count_statuses(records)
        self._before = ended(counts)
        pending = [record.submitted for record in records if record.status is PENDING and record.submitted]
        self._since = min(pending) if pending else now() if counts.get(PENDING) else 0.0
        self._waited = 0.0
        self._ended, self._moved = self._before, self._since
        self._is_over = not counts.get(PENDING)

    def look(self) -> Bar:
        """Count them."""
        counts = count_statuses(self.records)
        settled = ended(counts)
        quiet = 0.0
        if not self._is_over:
            now = self._now()
            self._waited = max(0.0, now - self._since)
            if settled != self._ended:
                self._ended, self._moved = settled, now
            quiet = now - self._moved
        self._is_over = not counts.get(PENDING)
        failed = counts.get(ERROR, 0) + counts.get(LOST, 0)
        return Bar(
            self.name,
            settled,
            len(self.records),
            failed,
            counts.get(CANCELLED, 0),
            counts.get(RELEASED, 0),
            self._before,
            self._waited,
            quiet,
        )


def look_at(counters: Sequence[Counter]) -> Bar:
    """Look at all of them, and return their sum."""
    bars = [counter.look() for counter in counters]
    return Bar(
        "all",
        sum(bar.ended for bar in bars),
        sum(bar.total for bar in bars),
        sum(bar.failed for bar in bars),
        sum(bar.cancelled for bar in bars),
        sum(bar.released for bar in bars),
        sum(bar.before for bar in bars),
        max((bar.waited for bar in bars), default=0.0),
    )


def line(bar: Bar) -> str:
    """Return a bar as a line.

    >>> line(Bar("inc", 54, 100, 1, 46, waited=1.6))
    '[#####################                   ] 54 of 100 |  54% |   1.6s | 1 failed | 46 cancelled'
    """
    share = bar.ended / bar.total if bar.total else 0.0
    drawn = ("#" * int(share * WIDTH)).ljust(WIDTH)
    told = [f"[{drawn}] {bar.ended} of {bar.total}", f"{share:4.0%}", f"{bar.waited:5.1f}s"]
    told += [f"{bar.failed} failed"] if bar.failed else []
    told += [f"{bar.cancelled} cancelled"] if bar.cancelled else []
    told += [f"{bar.released} released"] if bar.released else []
    return " | ".join(told)


def _finish(out: TextIO, counters: Sequence[Counter]) -> None:
    """Write the last state: a line for each group."""
    width = max(len(counter.name) for counter in counters)
    lines = [line(counter.look()) for counter in counters]
    if len(lines) > 1:
        lines = [f"{counter.name.ljust(width)} {text}" for counter, text in zip(counters, lines, strict=True)]
    _write(out, "\n".join(lines) + "\n")


def _write(out: TextIO, text: str) -> None:
    out.write("\r" + text)
    out.flush()
