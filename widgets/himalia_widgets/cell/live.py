"""Futures, lists of them and clients that change in their place in the notebook, until nothing more will change.

Decides how often they are looked at, and when that ends.  They are looked at, not listened to: a look costs little,
and nothing that is shown is kept alive or called back by what it shows.  One thread looks at all of them; it lives
from the first to the last.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from himalia.client.client import Client, known_info, summary_of
from himalia.client.engine.state import CANCELLED, PENDING, Record
from himalia.client.future import Future, hosts_of, record_of
from himalia.client.reprs import (
    Futures,
    client_html,
    client_text,
    count_statuses,
    future_html,
    future_text,
    futures_html,
    futures_text,
    info_task_words,
    is_released,
    task_words,
)
from himalia.follow.thread_feed import ThreadFeed
from himalia.messages.answers import ClusterInfo
from himalia.messages.client import Telemetry
from himalia.messages.telemetry import SchedulerStatus
from himalia_widgets.cell.display import show

logger = logging.getLogger("himalia.widgets")

INTERVAL: Final = 0.25
"""Seconds between two looks at what is live: faster than that nobody reads."""
CALM: Final = 1.0
"""Seconds between two looks at a client, whose numbers change all the time."""
SHARE: Final = 0.05
"""Of a core that looks may take: what takes long, like a million futures, is looked at more rarely."""


class Look(NamedTuple):
    """How something looks now."""

    markup: str
    text: str
    is_final: bool


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

    def update(self) -> None:
        """Look, and show what changed."""
        started = time.thread_time()
        seen = self._look()
        if seen.markup != self._shown.markup:
            self._replace(seen.markup, seen.text)
        self._shown = seen
        self.is_final = seen.is_final
        self.due = time.monotonic() + max(self._interval, (time.thread_time() - started) / SHARE)


class Looker:
    """The thread that looks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._views: list[View] = []
        self._thread: threading.Thread | None = None

    def add(self, view: View) -> None:
        """Look at one more, until it is final."""
        if view.is_final:
            return
        with self._lock:
            self._views.append(view)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="himalia-views", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(INTERVAL)
            with self._lock:
                views = self._views = [view for view in self._views if not view.is_final]
                if not views:
                    self._thread = None
                    return
            for view in views:
                if view.due <= time.monotonic():
                    try:
                        view.update()
                    except Exception:  # the kernel is ending, or the page is not a notebook's after all
                        logger.debug("a live view failed", exc_info=True)
                        view.is_final = True


_looker = Looker()


def show_future(future: Future[Any]) -> None:
    """Show a future until it has settled, or nobody holds it any more."""
    record, name, hosts = record_of(future), future.key, hosts_of(future)

    def look() -> Look:
        known = Record(record.key, CANCELLED, reason="it was released") if is_released(record) else record
        return Look(future_html(known, name, hosts), future_text(known, name), known.status is not PENDING)

    _looker.add(View(look))


def show_futures(futures: Futures) -> None:
    """Show a list of futures until all of them have settled."""

    def look() -> Look:
        counts = count_statuses(futures.records)
        return Look(futures_html(futures), futures_text(counts), not counts.get(PENDING))

    _looker.add(View(look))


def show_client(client: Client) -> None:
    """Show a client until it is closed, forgotten, or its scheduler is gone."""
    _looker.add(View(ClientLook(client), CALM))


class ClientLook:
    """How a client looks, told by the telemetry of its cluster."""

    def __init__(self, client: Client) -> None:
        self._client = weakref.ref(client)
        self._info = known_info(client)
        self._status: SchedulerStatus | None = None
        self._is_over = False
        self._leave = ThreadFeed.of(client).subscribe(self._take, self._take_info, self._end)
        self._last = self._draw(client)

    def __call__(self) -> Look:
        client = self._client()
        if client is not None:
            self._last = self._draw(client)
        if client is None or self._last.is_final:
            self._leave()
            return self._last._replace(is_final=True)
        return self._last

    def _draw(self, client: Client) -> Look:
        status = client.status
        counts = self._status.counts if self._status is not None else None
        tasks = task_words(counts) if counts is not None else info_task_words(self._info)
        summary = summary_of(client, self._info if status == "running" else None)
        kind = type(client).__name__
        return Look(
            client_html(kind, client.name, status, summary, tasks, taken=time.time() // 60 * 60),
            client_text(kind, status, summary),
            self._is_over or status != "running",
        )

    def _take(self, telemetry: Telemetry) -> None:
        self._status = telemetry.status

    def _take_info(self, info: ClusterInfo) -> None:
        self._info = info

    def _end(self, reason: str) -> None:
        self._is_over = True
