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

from himalia.client.future import Future
from himalia.client.futures_in import futures_of
from himalia.client.gathering import clock, wait_here, wait_in_loop
from himalia.client.grouping import group_name
from himalia.client.progress_html import Bar, draw
from himalia.client.state import FINISHED, PENDING, Record
from himalia.errors import TimeoutError
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
    *futures: Any,
    notebook: bool | None = None,
    multi: bool = True,
    complete: bool = True,
    group_by: Callable[[Future[Any]], str] | None = None,
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
    client = found[0].client
    groups = group_records(found, group_by, multi)
    if notebook is None:
        notebook = file is None and not client.asynchronous and in_notebook()
    views = find_views() if notebook else None
    if views is not None:
        show_bars(groups, views.show_progress, complete=complete)
        return None
    out = sys.stdout if file is None else file
    if client.asynchronous:
        return _show_in_loop(client._shell, groups, out)
    records = [record for members in groups.values() for record in members]
    started = clock()
    while True:
        _write(out, line(records, clock() - started))
        try:
            wait_here(client._shell, records, INTERVAL)
        except TimeoutError:
            continue
        _finish(out, groups, clock() - started)
        return None


def group_records(
    futures: Sequence[Future[Any]], group_by: Callable[[Future[Any]], str] | None, multi: bool
) -> dict[str, list[Record]]:
    """Return the records of futures, each once, by the name of their bar."""
    groups: dict[str, dict[int, Record]] = {}
    for future in futures:
        name = str(group_by(future)) if group_by else group_name(future._record.key) if multi else "all"
        groups.setdefault(name, {})[id(future._record)] = future._record
    return {name: list(members.values()) for name, members in groups.items()}


async def _show_in_loop(shell: Any, groups: dict[str, list[Record]], out: TextIO) -> None:
    records = [record for members in groups.values() for record in members]
    started = clock()
    while True:
        _write(out, line(records, clock() - started))
        try:
            await wait_in_loop(shell, records, INTERVAL)
        except TimeoutError:
            continue
        _finish(out, groups, clock() - started)
        return


def show_bars(
    groups: dict[str, list[Record]], show: Callable[[str], Callable[[str], None]], *, complete: bool
) -> threading.Thread:
    """Show bars, and follow the records in a thread of its own until all have settled or were released."""
    counters = [Counter(name, records) for name, records in groups.items()]
    started = clock()
    replace = show(draw([counter.bar() for counter in counters], 0.0))

    def follow() -> None:
        shown = ""
        while True:
            began = clock()
            bars = [counter.look() for counter in counters]
            is_done = all(bar.done == bar.total for bar in bars)
            elapsed = clock() - started
            visible = bars if complete or is_done else [bar for bar in bars if bar.done < bar.total]
            markup = draw(visible, elapsed)
            if markup != shown:
                shown = markup
                replace(markup)
            if is_done:
                return
            time.sleep(max(NOTEBOOK_INTERVAL, (clock() - began) / SHARE))

    thread = threading.Thread(target=follow, name="himalia-progress", daemon=True)
    thread.start()
    return thread


class Counter:
    """Counts the records of one bar; a record that settled, or that nobody holds any more, is not looked at again."""

    def __init__(self, name: str, records: list[Record]) -> None:
        self.name = name
        self.total = len(records)
        self.failed = 0
        self._pending = records
        self._before = sum(record.status != PENDING for record in records)
        """Done before anybody looked: they say nothing about the speed."""

    def look(self) -> Bar:
        """Count what has changed since the last look."""
        still = []
        for record in self._pending:
            if record.status == PENDING and record.refs:
                still.append(record)
            elif record.status != FINISHED:
                self.failed += record.status != PENDING
        self._pending = still
        return self.bar()

    def bar(self) -> Bar:
        """Return the counts as they are known."""
        return Bar(self.name, self.total - len(self._pending), self.total, self.failed, self._before)


def line(records: Sequence[Record], elapsed: float) -> str:
    """Return the line for these records, ``elapsed`` seconds after the start.

    >>> line([], 1.0)
    '[                                        ] 0 of 0 |   0% |   1.0s'
    """
    total = len(records)
    done = sum(record.status != PENDING for record in records)
    failed = sum(record.status not in (PENDING, FINISHED) for record in records)
    share = done / total if total else 0.0
    bar = ("#" * int(share * WIDTH)).ljust(WIDTH)
    return f"[{bar}] {done} of {total} | {share:4.0%} | {elapsed:5.1f}s" + (f" | {failed} failed" if failed else "")


def _finish(out: TextIO, groups: dict[str, list[Record]], elapsed: float) -> None:
    """Write the last state: a line for each group."""
    width = max(map(len, groups))
    lines = [line(records, elapsed) for records in groups.values()]
    if len(groups) > 1:
        lines = [f"{name.ljust(width)} {text}" for name, text in zip(groups, lines, strict=True)]
    _write(out, "\n".join(lines) + "\n")


def _write(out: TextIO, text: str) -> None:
    out.write("\r" + text)
    out.flush()
