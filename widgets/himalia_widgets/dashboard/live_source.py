"""A living cluster as a source of pages: its telemetry goes into one history, questions go to its scheduler."""

from __future__ import annotations

import time
from collections.abc import Callable

from himalia.follow.feed import Feed
from himalia.messages.answers import ProcessLogs, ProfileSamples, TaskView
from himalia.messages.client import Telemetry
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

    async def describe_task(self, key: str) -> TaskView:
        """Return all that is known of a task."""
        return await self._control.describe_task(key)

    async def logs(self) -> ProcessLogs:
        """Return the lines of all processes."""
        return await self._control.logs()

    async def profile(self, since: float = 0.0) -> ProfileSamples:
        """Return the samples of all workers that can be looked at."""
        return await self._control.profile(since)

    def _take(self, telemetry: Telemetry) -> None:
        self.history.take(telemetry, now=time.time())
