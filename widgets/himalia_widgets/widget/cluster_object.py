"""What a widget is shown for: an object of this kernel that stands for a cluster, before, while and after it runs."""

from __future__ import annotations

from typing import Protocol

from himalia.follow.source import Followable


class ClusterObject(Followable, Protocol):
    """What a board asks of a cluster object without asking the cluster; any thread, and nothing that blocks."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def status(self) -> str:
        """``created``, ``starting``, ``running``, ``closing``, ``closed`` or ``failed``."""
        ...

    @property
    def scheduler_address(self) -> str:
        """Where clients connect to; empty: nowhere."""
        ...

    @property
    def dashboard_link(self) -> str | None:
        """A link that opens the dashboard; another one at each look."""
        ...

    @property
    def expected(self) -> int | None:
        """Workers that were asked for; None: nobody knows."""
        ...

    def expect(self, workers: int) -> None:
        """Note that a page asked for so many workers."""
        ...

    def own_logs(self) -> dict[str, str]:
        """Return the last output of the processes that this object started."""
        ...
