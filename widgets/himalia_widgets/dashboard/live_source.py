"""A living cluster as a source of pages: its telemetry goes into one history, questions go to its scheduler."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from himalia.deploy.feed import Feed
from himalia.messages import LogLine, Telemetry
from himalia_widgets.view.history import History

logger = logging.getLogger("himalia.dashboard")


class LiveSource:
    """See :class:`himalia_widgets.view.source.Source`; belongs to the loop of its feed.

    Parameters
    ----------
    feed : Feed
        An open one.
    title : str
        Name of the cluster.
    on_end : callable
        Called once, when the cluster has ended.
    """

    is_live = True

    def __init__(self, feed: Feed, title: str, on_end: Callable[[], object]) -> None:
        self.history = History()
        if feed.past is not None:
            self.history.take_past(feed.past.records, feed.past.total)
        self.title = title
        self._control = feed.control
        self._callbacks: dict[int, Callable[[], object]] = {}
        self._count = 0
        feed.subscribe(self._take, self._take_info, lambda reason: on_end())

    def on_change(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call back after the history changed; call what is returned to have that end."""
        self._count = number = self._count + 1
        self._callbacks[number] = callback

        def leave() -> None:
            self._callbacks.pop(number, None)

        return leave

    async def info(self) -> dict[str, Any]:
        """Return what the scheduler says of itself, its hosts and workers."""
        return await self._control.info()

    async def describe_task(self, key: str) -> dict[str, Any]:
        """Return all that is known of a task."""
        return await self._control.describe_task(key)

    async def logs(self, since: float = 0.0) -> dict[str, list[LogLine]]:
        """Return the lines of all processes; of one that can't tell, why."""
        found = await self._control.logs(since)
        return {
            name: [LogLine(time.time(), "ERROR", lines)] if isinstance(lines, str) else lines
            for name, lines in found.items()
        }

    async def profile(self, since: float = 0.0) -> dict[str, list[tuple[float, str, int]]]:
        """Return the samples of all workers that can be looked at."""
        found = await self._control.profile(since)
        return {
            worker: [(float(at), str(stack), int(count)) for at, stack, count in samples]
            for worker, samples in found.items()
            if not isinstance(samples, str)
        }

    def _take(self, telemetry: Telemetry) -> None:
        self.history.take(telemetry, now=time.time())
        self._changed()

    def _take_info(self, info: dict[str, Any]) -> None:
        self.history.take_info(info)
        self._changed()

    def _changed(self) -> None:
        for callback in list(self._callbacks.values()):
            try:
                callback()
            except Exception:
                logger.exception("a page failed to follow")
