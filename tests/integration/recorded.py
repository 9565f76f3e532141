"""What tests of recordings have in common."""

from __future__ import annotations

from typing import Any

from himalia.follow.thread_feed import ThreadFeed
from himalia.messages.answers import ClusterInfo
from himalia.messages.client import Telemetry
from tests.waiting import wait_until


def wait_until_told(target: Any, total: int) -> None:
    """Return once recorders that began before this were told of so many calls that ended, and of the workers."""
    pushes: list[Telemetry] = []
    infos: list[ClusterInfo] = []
    leave = ThreadFeed.of(target, full=True).subscribe(pushes.append, infos.append)
    wait_until(lambda: infos and pushes and pushes[-1].status.total >= total)
    leave()
