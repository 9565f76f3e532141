"""dask.distributed, as its documentation starts it."""

from __future__ import annotations

from tests.benchmarks.engines.base import WORKERS
from tests.benchmarks.engines.client_engine import ClientEngine


class DistributedEngine(ClientEngine):
    """A LocalCluster of worker processes, without the dashboard."""

    name = "distributed"
    package = "distributed"
    beginning = "from distributed import Client, LocalCluster"

    def start(self) -> None:
        """Start a cluster and connect to it."""
        from distributed import Client, LocalCluster  # part of what a start costs

        self.cluster = LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None, processes=True)
        self.client = Client(self.cluster)
