"""What changes in its place in the notebook until nothing more will change: futures, lists of them, clients.

Decides how often they are looked at, and when that ends.  They are looked at, not listened to: a look costs little,
and nothing that is shown is kept alive or called back by what it shows.  One thread looks at all of them; it lives
from the first to the last.

What runs a notebook without a page (nbclient, on which papermill and nbconvert stand) takes no output between two
cells: what was shown then is shown once more when the next one begins, or "pending" would be saved for ever.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from himalia.views import Look, find_shell
from himalia_widgets.cell.display import show

logger = logging.getLogger("himalia.widgets")

INTERVAL: Final = 0.25
"""Seconds between two looks at what is live: faster than that nobody reads."""
CALM: Final = 1.0
"""Seconds between two looks at what changes all the time, like the numbers of a client."""
SHARE: Final = 0.05
"""Of a core that looks may take: what takes long, like a million futures, is looked at more rarely."""


class View:
    """Something that is shown, and looked at again.

    Parameters
    ----------
    look : callable
        Returns how it looks.
    interval : float
        Seconds between two looks, at least.
    """

    def __init__(self, look: Callable[[], Look], interval: float = INTERVAL) -> None:
        self._look = look
        self._interval = interval
        self._shown = look()
        self._replace = show(self._shown.markup, self._shown.text)
        self.due = time.monotonic() + interval
        self.is_final = self._shown.is_final

    def update(self) -> bool:
        """Look, and show what changed; return whether anything did."""
        # CPU time of this thread: what the GIL gave to others meanwhile is no cost of the look.
        started = time.thread_time()
        before, self._shown = self._shown, self._look()
        self.is_final = self._shown.is_final
        if has_changed := self._shown.markup != before.markup:
            self.show_again()
        self.due = time.monotonic() + max(self._interval, (time.thread_time() - started) / SHARE)
        return has_changed

    def show_again(self) -> None:
        """Show it as it was seen last."""
        self._replace(self._shown.markup, self._shown.text)


class Looker:
    """The thread that looks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._views: list[View] = []
        self._thread: threading.Thread | None = None
        self._shell: Any = None
        self._in_cell = True
        self._missed: set[View] = set()
        """What changed since the last cell ended."""

    def add(self, view: View) -> None:
        """Look at one more, until it is final."""
        if view.is_final:
            return
        with self._lock:
            self._views.append(view)
            self._listen()
            # After a fork the object is here, and its thread isn't.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="himalia-views", daemon=True)
                self._thread.start()

    def _listen(self) -> None:
        shell: Any = find_shell()
        # A test, or an embedded IPython, may make another shell in this process.
        if shell is not None and shell is not self._shell:
            self._shell = shell
            shell.events.register("pre_run_cell", self._begin_cell)
            shell.events.register("post_run_cell", self._end_cell)

    def _begin_cell(self, info: object) -> None:
        with self._lock:
            self._in_cell = True
            missed, self._missed = self._missed, set()
        for view in missed:
            view.show_again()

    def _end_cell(self, result: object) -> None:
        with self._lock:
            self._in_cell = False

    def _run(self) -> None:
        while True:
            time.sleep(INTERVAL)
            with self._lock:
                views = self._views = [view for view in self._views if not view.is_final]
                if not views:
                    # With the lock, as add() looks: else what comes now would count on a thread that is about to end.
                    self._thread = None
                    return
            # Without the lock: a look may take long, and a cell that shows something shouldn't wait for it.
            for view in views:
                if view.due <= time.monotonic():
                    try:
                        self._update(view)
                    except Exception:  # the kernel is ending, or the page is not a notebook's after all
                        logger.debug("a live view failed", exc_info=True)
                        view.is_final = True

    def _update(self, view: View) -> None:
        was_in_cell = self._in_cell
        if not view.update():
            return
        with self._lock:
            if not self._in_cell:
                self._missed.add(view)
                return
        # The cell that runs now began after the change was sent, perhaps.
        if not was_in_cell:
            view.show_again()


_looker = Looker()


def show_live(look: Callable[[], Look], *, calm: bool = False) -> None:
    """Show something, and look at it again until it is final; ``calm`` is for what changes all the time."""
    _looker.add(View(look, CALM if calm else INTERVAL))
