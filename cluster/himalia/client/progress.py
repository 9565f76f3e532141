"""Progress of futures, as one line of text.

Decides what the line says.  A bar that lives in the notebook's page is the widgets' business.
"""

from __future__ import annotations

import sys
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TextIO

from himalia.client.futures_in import futures_of
from himalia.client.gathering import clock, wait_here, wait_in_loop
from himalia.client.state import FINISHED, PENDING, Record
from himalia.errors import TimeoutError

INTERVAL: Final = 0.1
"""Seconds between two looks.  Faster than the eye reads, slow enough to cost nothing."""
WIDTH: Final = 40
"""Characters of the bar."""


def progress(*futures: Any, notebook: bool | None = None, file: TextIO | None = None, **kwargs: Any) -> Any:
    """Show how many futures are done, until all are.

    Parameters
    ----------
    *futures : futures, Dask collections, or containers of these
    notebook : bool, optional
        Without meaning in this version: it is text everywhere.
    file : text file, optional
        Where to; standard output, if left out.
    """
    found = futures_of(list(futures))
    out = sys.stdout if file is None else file
    if not found:
        return None
    client = found[0].client
    records = list({id(future._record): future._record for future in found}.values())
    if client.asynchronous:
        return _show_in_loop(client._shell, records, out)
    started = clock()
    while True:
        _write(out, line(records, clock() - started))
        try:
            wait_here(client._shell, records, INTERVAL)
        except TimeoutError:
            continue
        _write(out, line(records, clock() - started) + "\n")
        return None


def _show_in_loop(shell: Any, records: Sequence[Record], out: TextIO) -> Coroutine[Any, Any, None]:
    async def show() -> None:
        started = clock()
        while True:
            _write(out, line(records, clock() - started))
            try:
                await wait_in_loop(shell, records, INTERVAL)
            except TimeoutError:
                continue
            _write(out, line(records, clock() - started) + "\n")
            return

    return show()


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


def _write(out: TextIO, text: str) -> None:
    out.write("\r" + text)
    out.flush()
