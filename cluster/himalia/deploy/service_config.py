"""What the process of a scheduler is started with: the scheduler's own configuration, and where it is to be found."""

from __future__ import annotations

import msgspec

from himalia.scheduler.config import SchedulerConfig


class ServiceConfig(msgspec.Struct, kw_only=True):
    """A scheduler, and where it is to be found."""

    scheduler: SchedulerConfig
    kind: str = "Cluster"
    """Class that started it, for ``himalia ls``."""
    cluster_file: str = ""
    """A further file to write the entry to."""
    must_be_found: bool = False
    """Whether it is of no use without a cluster file: nobody else knows its secret."""
    directories: list[str] = []
    """Private directories to remove at the end."""
    dashboard: str = ""
    """For the cluster file, with the key: who started the scheduler starts the dashboard."""
    dashboard_key: str = ""
