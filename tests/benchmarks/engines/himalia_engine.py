"""himalia, through its public interface only."""

from __future__ import annotations

import psutil

from tests.benchmarks.engines.base import WORKERS
from tests.benchmarks.engines.client_engine import ClientEngine


class HimaliaEngine(ClientEngine):
    """A LocalCluster and its client."""

    name = "himalia"
    package = "himalia"
    beginning = "from himalia import Client, LocalCluster"
    offers = ClientEngine.offers | {"memory"}

    def start(self) -> None:
        """Start a cluster and connect to it."""
        from himalia import Client, LocalCluster  # part of what a start costs

        self.cluster = LocalCluster(n_workers=WORKERS, threads_per_worker=1)
        self.client = Client(self.cluster)

    def cluster_name(self) -> str:
        """Return by what name other processes find the cluster."""
        return str(self.cluster.name)

    def scheduler_pid(self) -> int:
        """Return the process whose command line says that it is the scheduler."""
        for process in psutil.Process().children(recursive=True):
            if any(word.startswith("himalia.") and "scheduler" in word for word in process.cmdline()):
                return int(process.pid)
        raise LookupError("no child process is a scheduler")
