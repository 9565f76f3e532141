"""How a future, a list of futures or a client looks now, for whoever looks again until nothing more changes.

Decides when that is.  Nothing that is looked at is kept alive by it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from himalia.client.engine.state import CANCELLED, PENDING, Record
from himalia.client.engine.timing import wall_clock
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
    threads_of,
)
from himalia.follow.thread_feed import ThreadFeed
from himalia.messages.answers import ClusterInfo
from himalia.messages.client import Telemetry
from himalia.messages.parts import HostInfo
from himalia.messages.telemetry import SchedulerStatus
from himalia.names import HostId
from himalia.show.summary import ClusterSummary
from himalia.views import Look

if TYPE_CHECKING:
    from himalia.client.client import Client


def look_at_future(record: Record, name: object, hosts: Mapping[HostId, HostInfo]) -> Callable[[], Look]:
    """Return what looks at a future until it has settled, or nobody holds it any more."""

    def look() -> Look:
        # The record itself stays pending: nobody here hears of its key any more.
        known = Record(record.key, CANCELLED, reason="it was released") if is_released(record) else record
        return Look(future_html(known, name, hosts), future_text(known, name), known.status is not PENDING)

    return look


def look_at_futures(futures: Futures) -> Callable[[], Look]:
    """Return what looks at a list of futures until all of them have settled."""

    def look() -> Look:
        counts = count_statuses(futures.records)
        return Look(futures_html(futures), futures_text(counts), not counts.get(PENDING))

    return look


class ClientLook:
    """Looks at a client until it is closed, forgotten, or its scheduler is gone; told by the telemetry of its cluster.

    Parameters
    ----------
    client : Client
    info : ClusterInfo or None
        What is known of its cluster.
    summarize : callable
        Returns what is shown of a client whose cluster was described so.
    """

    def __init__(
        self,
        client: Client,
        info: ClusterInfo | None,
        summarize: Callable[[Client, ClusterInfo | None], ClusterSummary],
    ) -> None:
        self._client = weakref.ref(client)
        self._info = info
        self._summarize = summarize
        self._status: SchedulerStatus | None = None
        self._is_over = False
        self._leave = ThreadFeed.of(client).subscribe(self._take, self._take_info, self._end)
        self._last = self._draw(client)

    def __call__(self) -> Look:
        client = self._client()
        # Of one that is gone what was seen last stands for good.
        if client is not None:
            self._last = self._draw(client)
        if client is None or self._last.is_final:
            self._leave()
            return self._last._replace(is_final=True)
        return self._last

    def _draw(self, client: Client) -> Look:
        status = client.status
        counts = self._status.counts if self._status is not None else None
        tasks = task_words(counts, threads_of(self._info)) if counts is not None else info_task_words(self._info)
        summary = self._summarize(client, self._info if status == "running" else None)
        kind = type(client).__name__
        return Look(
            # To the minute, or each look would be another card.
            client_html(kind, client.name, status, summary, tasks, taken=wall_clock() // 60 * 60, is_live=True),
            client_text(kind, status, summary),
            self._is_over or status != "running",
        )

    def _take(self, telemetry: Telemetry) -> None:
        self._status = telemetry.status

    def _take_info(self, info: ClusterInfo) -> None:
        self._info = info

    def _end(self, reason: str) -> None:
        self._is_over = True
