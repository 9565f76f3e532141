"""Shows how far something is until it has ended: lines in a terminal, or bars in a notebook that go on by themselves.

This module decides how often one looks, and when that ends.  What is counted, and by whom, is a :class:`Progressing`:
a client counts its futures (``client/progress.py``).  What bars look like is decided in ``show/bars.py``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Protocol, TextIO

from himalia.follow.rewritten import rewrite, rewriting
from himalia.show.bars import Bar, draw, last_lines, line, total

INTERVAL: Final = 0.1
"""Seconds between two looks.  Faster than the eye reads, slow enough to cost nothing."""
NOTEBOOK_INTERVAL: Final = 0.25
"""The same for a notebook, where each look that shows something new is a message to the page."""
SHARE: Final = 0.02
"""Part of a CPU that looking at very many things may cost."""


class Progressing(Protocol):
    """What can be shown as bars."""

    def look(self) -> list[Bar]:
        """Return how far each group is now; the same groups each time."""
        ...

    def wait(self, seconds: float) -> None:
        """Wait so long, or until the last has ended."""
        ...


def show_lines(progress: Progressing, out: TextIO, interval: float = INTERVAL) -> None:
    """Write how far all is, over and over in one line, until all has ended; then a line for each group."""
    with rewriting(out):
        while any(bar.left for bar in write_line(progress, out)):
            progress.wait(interval)
        write_last_lines(progress, out)


def write_line(progress: Progressing, out: TextIO) -> list[Bar]:
    """Write how far all is over what was written before, and return the groups."""
    bars = progress.look()
    rewrite(out, line(total(bars)))
    return bars


def write_last_lines(progress: Progressing, out: TextIO) -> None:
    """Write a line for each group."""
    rewrite(out, last_lines(progress.look()))


def show_bars(
    progress: Progressing,
    show: Callable[[str], Callable[[str], None]],
    *,
    complete: bool,
    interval: float = NOTEBOOK_INTERVAL,
) -> threading.Thread:
    """Show bars, and follow them in a thread of their own until all has ended.

    Parameters
    ----------
    progress : Progressing
    show : callable
        Shows markup, and returns what replaces it.
    complete : bool
        Whether bars of what has ended stay while others go on.
    interval : float
        Seconds between two looks, at least.
    """
    started = time.monotonic()
    # In the caller's thread, which knows under which cell this belongs.
    replace = show(draw(progress.look(), 0.0))

    def follow() -> None:
        shown = ""
        while True:
            # CPU time of this thread: on a busy machine a look takes longer, and costs no more.
            began = time.thread_time()
            bars = progress.look()
            is_over = not any(bar.left for bar in bars)
            visible = bars if complete or is_over else [bar for bar in bars if bar.left]
            markup = draw(visible, time.monotonic() - started)
            # A page needn't be told what it shows; with a slow call that is nearly always so.
            if markup != shown:
                shown = markup
                replace(markup)
            # After the last drawing, which says how long all took.
            if is_over:
                return
            # Looks may be a second apart where there is much to look at, but the last one isn't late: it says how long
            # all took.
            progress.wait(max(interval, (time.thread_time() - began) / SHARE))

    thread = threading.Thread(target=follow, name="himalia-progress", daemon=True)
    thread.start()
    return thread
