"""A living cluster as a source of pages: its telemetry goes into one history, questions go to its scheduler."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from himalia.follow.feed import Feed
from himalia.messages.client import Telemetry
from himalia.messages.telemetry import LogLine
from himalia_widgets.view.history import History


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
        self.title = title
        self._control = feed.control
        feed.subscribe(self._take, self.history.take_info, lambda reason: on_end())

    async def describe_task(self, key: str) -> dict[str, Any]:
        """Return all that is known of a task."""
        return await self._control.describe_task(key)

    async def logs(self) -> dict[str, list[LogLine]]:
        """Return the lines of all processes; of one that can't tell, why."""
        found = await self._control.logs()
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
