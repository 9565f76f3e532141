"""What a cluster on this host is to be, and what each of its processes is told of that.

Who is told which secret and address is said here alone (docs/notes/0013).  Nothing is started here.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from himalia.comm.security import WORKER_ROLES, Credentials, ServerCertificate, secret_stays
from himalia.deploy.layout import WorkerLayout
from himalia.deploy.service_config import ServiceConfig
from himalia.scheduler.config import SchedulerConfig
from himalia.settings import MIB

if TYPE_CHECKING:
    from himalia.deploy.dashboard.process import Door
    from himalia.nanny.config import NannyConfig

PRELOADED: Final = (
    "numpy", "pandas", "pyarrow", "scipy", "dask.array", "dask.dataframe", "dask.bag", "xarray", "zarr",
)  # fmt: skip
"""What workers import before their first call, if whoever starts the cluster has: each takes a tenth of a second and
more.  Only what bears a fork, so no package that starts threads when it is imported."""
PRELOAD_ROOM: Final = 1024 * MIB
"""Bytes that a worker may have at least: pandas and Dask take 130 MB, which count for each though they share them."""


class LaunchPlan(msgspec.Struct, kw_only=True):
    """What to start."""

    name: str
    credentials: Credentials
    layout: WorkerLayout
    listen: list[str]
    """Further addresses of the scheduler, beside its Unix socket."""
    certificate: ServerCertificate | None = None
    nanny_listen: str = ""
    """Where the nanny offers its data; empty: a Unix socket."""
    local_directory: str | None = None
    resources: dict[str, float] = {}
    env: dict[str, str] = {}
    kind: str = "LocalCluster"
    forward_logs: bool = False
    dashboard_address: str | int | None = None
    """Where a dashboard listens; ``None``: there is none."""

    def __repr__(self) -> str:
        return f"<Plan {self.name}>"  # the fields hold secrets

    def __reduce__(self) -> NoReturn:
        # A cluster object that slips into a call would take its secret to every worker.
        raise secret_stays("A cluster's plan")

    def preload(self) -> list[str]:
        """Return what workers import before their first call."""
        if 0 < self.layout.memory_limit < PRELOAD_ROOM:
            return []
        return [name for name in PRELOADED if name in sys.modules]

    def for_scheduler(self, address: str, directories: list[str], door: Door | None) -> ServiceConfig:
        """Return what the scheduler process is told.

        Parameters
        ----------
        address : str
            Of its Unix socket.
        directories : list of str
            What it removes at its end.
        door : Door or None
            Where the dashboard is.
        """
        return ServiceConfig(
            scheduler=SchedulerConfig(
                # All of it: the scheduler alone makes the roles' keys out of the secret.
                credentials=self.credentials.to_config(),
                listen=[address, *self.listen],
                certificate=self.certificate.to_config() if self.certificate else None,
                name=self.name,
            ),
            kind=self.kind,
            directories=directories,
            dashboard=door.dashboard if door is not None else "",
            dashboard_key=door.dashboard_key if door is not None else "",
        )

    def for_nanny(self, scheduler: str, *, nworkers: int, listen: str, scratch: str, cwd: str) -> NannyConfig:
        """Return what a nanny process is told.

        Parameters
        ----------
        scheduler : str
            Address of the scheduler's Unix socket.
        nworkers : int
            Workers to begin with: those of the layout, or what was asked for since.
        listen : str
            Where it offers its data.
        scratch : str
            Where it makes its directory.
        cwd : str
            Where the user's program is; empty: where the nanny is started.
        """
        from himalia.nanny.config import NannyConfig

        return NannyConfig(
            scheduler=[scheduler],
            # User code runs below the nanny and could read this: it is let in as a node, never as a client.
            credentials=self.credentials.only_for(WORKER_ROLES).to_config(),
            listen=listen,
            name=self.name,
            nworkers=nworkers,
            nthreads=self.layout.nthreads,
            memory_limit=self.layout.memory_limit,
            local_directory=scratch,
            resources=self.resources,
            env=self.env,
            sys_path=list(map(str, sys.path)),
            preload=self.preload(),
            cwd=cwd,
        )
