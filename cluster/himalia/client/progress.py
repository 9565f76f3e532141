"""Progress of futures: what :func:`progress` shows of them, and when it waits.

Decides what is counted: this client's own records, so the numbers are exact, where a cluster's telemetry comes four
times a second.  How it is shown until the end says ``follow/progress.py``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

from himalia.client.engine.engine import Engine
from himalia.client.engine.gathering import wait_in_loop
from himalia.client.engine.state import CANCELLED, ERROR, LOST, PENDING, Record
from himalia.client.engine.timing import clock
from himalia.client.engine.watchers import Countdown, Sleeper
from himalia.client.future import AnyFuture, engine_of, record_of
from himalia.client.futures_in import futures_of
from himalia.client.reprs import RELEASED, count_statuses, ended
from himalia.errors import TimeoutError
from himalia.follow.progress import INTERVAL, show_bars, show_lines, write_last_lines, write_line
from himalia.follow.rewritten import rewriting
from himalia.show.bars import Bar
from himalia.telemetry.group_names import group_name
from himalia.views import find_views, in_notebook


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
    counted = RecordsProgress(engine, groups)
    if views is not None:
        show_bars(counted, views.show_progress, complete=complete)
        return None
    out = sys.stdout if file is None else file
    return _show_in_loop(counted, out) if engine.asynchronous else show_lines(counted, out)


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


async def _show_in_loop(counted: RecordsProgress, out: TextIO) -> None:
    """Do what :func:`show_lines` does, for a client that never blocks."""
    with rewriting(out):
        while any(bar.left for bar in write_line(counted, out)):
            try:
                await wait_in_loop(counted.engine, counted.records, INTERVAL)
            except TimeoutError:
                pass
        write_last_lines(counted, out)


class RecordsProgress:
    """Counts the records of a client; a :class:`himalia.follow.progress.Progressing`.

    Parameters
    ----------
    engine : Engine
    groups : mapping of str to list of Record
        By the name of their bar.
    """

    def __init__(self, engine: Engine, groups: Mapping[str, list[Record]]) -> None:
        self.engine = engine
        self.records = [record for members in groups.values() for record in members]
        self._counters = [Counter(name, members) for name, members in groups.items()]
        self._sleeper = Sleeper()
        self._countdown = Countdown(self._sleeper.wake)
        self._is_watching = False
        self._was_woken = False

    def look(self) -> list[Bar]:
        """Count each group."""
        bars = [counter.look() for counter in self._counters]
        if self._is_watching and not any(bar.left for bar in bars):
            self._is_watching = False
            if not self._was_woken:  # what was released never settles
                self.engine.shell.unwatch(self.records, self._countdown)
        return bars

    def wait(self, seconds: float) -> None:
        """Sleep so long, or until the last record settles."""
        if not self._is_watching:  # once for all looks: to watch a million records takes its time
            self._is_watching = True
            self.engine.shell.watch(self.records, self._countdown, self._countdown.begin)
        if self._was_woken:  # and yet one is to come: it is retried
            time.sleep(seconds)
        else:
            self._was_woken = self._sleeper.sleep(seconds)


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
        # 0: held by name, and nobody here knows since when it runs.
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
