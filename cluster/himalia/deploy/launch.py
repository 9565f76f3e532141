"""The processes, directories and files of one cluster on this host, from a start that may fail to an end that may not.

Decides the order of the start (scheduler and nanny at the same time) and of the end, and that whatever was made is gone
afterwards, also after a failure half-way.  It never talks to the scheduler about tasks and knows nothing of futures.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from typing import Any, Final

import msgspec

from himalia.comm.security import Credentials, ServerCertificate
from himalia.deploy import registry
from himalia.deploy.dashboard import Door, open_door
from himalia.deploy.layout import Layout
from himalia.deploy.processes import Child, stop
from himalia.deploy.runtime_directory import remove_directory, runtime_directory, scratch_directory
from himalia.errors import ClosedError, StartError

START_TIMEOUT: Final = 60.0
"""Seconds for all processes to be ready: a cold network file system has to bring Python's files."""
CLOSE_PATIENCE: Final = 4.0
"""Seconds for an orderly end; workers get 1 s of them to react to SIGTERM."""

CLOSE_LIMIT: Final = 10.0
"""Seconds that somebody waits for a close that another thread does; the steps of ``processes.stop`` take 7 at most."""
LIVE: Final[set[Launch]] = set()
"""Started by this process and not ended yet: what has to be ended when it exits."""


class Plan(msgspec.Struct, kw_only=True):
    """What to start."""

    name: str
    credentials: Credentials
    layout: Layout
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


class Launch:
    """One such start; :meth:`start` once, :meth:`close` as often as you like, from any thread."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.owner = os.getpid()
        self.lock = threading.Lock()
        self.children: list[Child] = []
        self.door: Door | None = None
        self.dashboard: Child | None = None
        """Not among the children: the cluster works without it."""
        self.directories: list[str] = []
        self.closed = False
        self.ended = threading.Event()

    def start(self) -> list[str]:
        """Start everything, and return the scheduler's addresses, the nearest first.

        Raises
        ------
        StartError
            If a process did not come up; nothing is left of the others.
        UsageError
            If the name is taken.
        """
        LIVE.add(self)
        try:
            return self.start_all(time.monotonic() + START_TIMEOUT)
        except BaseException:
            self.close()
            raise

    def start_all(self, deadline: float) -> list[str]:
        """See :meth:`start`."""
        plan = self.plan
        registry.check_free(plan.name)
        cluster_id = plan.credentials.cluster_id
        sockets = self.keep_directory(runtime_directory(cluster_id))
        scratch = self.keep_directory(scratch_directory(cluster_id, plan.local_directory))
        address = f"unix://{sockets}/scheduler.sock"
        self.door = open_door(plan.dashboard_address)
        told = scheduler_config(plan, address, self.directories, self.door)
        scheduler = self.spawn("himalia.deploy.scheduler_process", told, "scheduler")
        listen = plan.nanny_listen or f"unix://{sockets}/nanny.sock"
        nanny = self.spawn("himalia.nanny", nanny_config(plan, address, listen, scratch), "nanny")
        self.start_dashboard(address)
        answer = scheduler.wait_ready(deadline)
        nanny.wait_ready(deadline)
        return [str(text) for text in answer["addresses"]]

    def keep_directory(self, path: str) -> str:
        """Note a directory that has to go at the end."""
        self.directories.append(path)
        return path

    def spawn(self, module: str, config: dict[str, Any], title: str) -> Child:
        """Start a child, unless the cluster was closed meanwhile by another thread."""
        with self.lock:
            if self.closed:
                raise ClosedError("The cluster was closed while it started.")
            child = Child(module, config, title=title, forward=self.plan.forward_logs)
            self.children.append(child)
            return child

    def start_dashboard(self, scheduler: str) -> None:
        """Start what waits for visitors, if there is a door for them."""
        with self.lock:
            if self.door is not None and not self.closed:
                plan = self.plan
                self.dashboard = self.door.start(plan.name, plan.credentials, [scheduler], forward=plan.forward_logs)

    def find_door(self, scheduler: str) -> Door | None:
        """Return the way to the dashboard, which is started again if its process died; None if there is none.

        Parameters
        ----------
        scheduler : str
            Address that a dashboard follows.
        """
        with self.lock:
            if self.door is None or self.dashboard is None or self.dashboard.is_running() or self.closed:
                return self.door
            stop([self.dashboard], patience=0.0)  # which is dead: let go of what it leaves
            try:
                self.door.reopen()
            except OSError:
                return None  # another program listens there by now
        self.start_dashboard(scheduler)
        return self.door

    @property
    def processes(self) -> list[Child]:
        """All that was started."""
        return [*self.children, *([self.dashboard] if self.dashboard is not None else [])]

    def failure(self) -> str:
        """Return why the cluster can't work any more, or nothing while all its processes run."""
        for child in self.children:
            if not child.is_running():
                return f"its {child.title} ended with {child.exit_text()}"
        return ""

    def check(self) -> None:
        """Raise StartError, with its last lines, if a process ended that should be coming up."""
        for child in self.children:
            if not child.is_running():
                raise StartError(f"The {child.title} ended with {child.exit_text()}.{child.last_lines()}")

    def close(self) -> None:
        """End every process and remove every file; bounded in time, quiet, and a no-op in a fork of its owner."""
        if self.owner != os.getpid():
            return
        with self.lock:
            first, self.closed = not self.closed, True
        if not first:
            self.ended.wait(CLOSE_LIMIT)
            return
        try:
            if self.dashboard is not None:
                self.dashboard.end_leash()  # so that it ends while the others are waited for
            stop(self.processes, patience=CLOSE_PATIENCE)
        finally:
            for child in self.processes:
                child.end_leash()  # also if ctrl-C cut the waiting short
            if self.door is not None:
                self.door.close()
            registry.remove(self.plan.name, self.plan.credentials.cluster_id)  # unless its scheduler did
            for directory in self.directories:
                remove_directory(directory)
            LIVE.discard(self)
            self.ended.set()


def scheduler_config(plan: Plan, address: str, directories: list[str], door: Door | None) -> dict[str, Any]:
    """Return what the scheduler process is told."""
    scheduler = {
        "credentials": plan.credentials.to_config(),
        "listen": [address, *plan.listen],
        "certificate": plan.certificate.to_config() if plan.certificate else None,
        "name": plan.name,
    }
    return {
        "scheduler": scheduler,
        "kind": plan.kind,
        "directories": directories,
        "dashboard": door.dashboard if door is not None else "",
        "dashboard_key": door.dashboard_key if door is not None else "",
    }


def nanny_config(plan: Plan, scheduler: str, listen: str, local_directory: str) -> dict[str, Any]:
    """Return what the nanny process is told."""
    return {
        "scheduler": scheduler,
        "credentials": plan.credentials.to_config(),
        "name": plan.name,
        "nworkers": plan.layout.nworkers,
        "nthreads": plan.layout.nthreads,
        "memory_limit": plan.layout.memory_limit,
        "local_directory": local_directory,
        "resources": plan.resources,
        "env": plan.env,
        "sys_path": [os.path.abspath(path) for path in sys.path],
        "cwd": working_directory(),
        "listen": listen,
        "leash": True,
    }


def working_directory() -> str:
    """Return where the user's program is, so that the workers are there too."""
    try:
        return os.getcwd()
    except OSError:
        raise StartError("The current directory was removed; change into one that exists, then start again.") from None


def close_all() -> None:
    """End what still runs when this process exits; all of it at the same time."""
    mine = [launch for launch in LIVE if launch.owner == os.getpid()]
    for launch in mine:
        for child in launch.children[:1]:
            child.end_leash()
    for launch in mine:
        launch.close()


atexit.register(close_all)
