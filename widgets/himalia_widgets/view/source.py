"""Where a view gets its data: a live cluster, or a recording of one."""

from __future__ import annotations

from typing import Protocol

from himalia.messages.answers import ProcessLogs, ProfileSamples, TaskView
from himalia_widgets.view.history import History


class Source(Protocol):
    """What pages are drawn from; all of it in one event loop."""

    is_live: bool
    """Whether there is a cluster that can answer; a recording has only what was recorded."""
    title: str
    """Name of the cluster or the recording."""

    @property
    def history(self) -> History:
        """What is known; of a recording another one after its time was moved.  Its ``version`` tells of changes."""
        ...

    async def describe_task(self, key: str) -> TaskView: ...

    async def logs(self) -> ProcessLogs: ...

    async def profile(self, since: float = 0.0) -> ProfileSamples: ...
