"""What ``himalia scheduler`` and ``himalia worker`` run in their own process: the usual shells, with a person watching.

Options are parsed by :mod:`himalia.cli`; this module decides where the processes listen, whose secret they use and what
they print.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import sys

import msgspec

from himalia.child import Child, stop
from himalia.comm.addresses import is_loopback, parse
from himalia.comm.security import CLIENT_ROLES
from himalia.deploy.dashboard.process import open_door, why_none
from himalia.deploy.layout import WorkerLayout
from himalia.deploy.network import interface_host, listen_address, route_host, secure
from himalia.errors import UsageError
from himalia.messages.parts import HostInfo
from himalia.registry import clusters
from himalia.registry.cluster_file import ClusterEntry, worker_path
from himalia.registry.dashboard_link import plain_link
from himalia.registry.resolving import find_target
from himalia.registry.runtime_directory import hold, remove_directory, runtime_directory, scratch_directory
from himalia.run import run
from himalia.show.text import dashboard_text


class SchedulerOptions(msgspec.Struct, kw_only=True):
    """What ``himalia scheduler`` was told."""

    host: str = ""
    interface: str = ""
    port: int = 8786
    name: str = ""
    cluster_file: str = ""
    idle_timeout: float = 0.0
    dashboard_address: str | None = None


class WorkerOptions(msgspec.Struct, kw_only=True):
    """What ``himalia worker`` was told."""

    scheduler: str = ""
    """An address, a cluster's name, or nothing: what a file says, or the only one that runs."""
    cluster_file: str = ""
    layout: WorkerLayout
    name: str = ""
    local_directory: str = ""
    host: str = ""
    interface: str = ""
    resources: dict[str, float] = {}
    death_timeout: float = 30.0
    lifetime: float = 0.0


def run_scheduler(options: SchedulerOptions) -> int:
    """Run a scheduler until it is stopped, and return the exit code."""
    # Not above: `himalia worker` uses this file too, and needs no scheduler.
    from himalia.deploy.scheduler_process import serve_cluster
    from himalia.deploy.service_config import ServiceConfig
    from himalia.scheduler.config import SchedulerConfig

    address = listen_address(choose_host(options.host, options.interface) or "127.0.0.1", options.port)
    name = options.name or f"himalia-{secrets.token_hex(3)}"
    # Now, and again when the file is written: this one is for a person who waits at a terminal.
    clusters.check_free(name)
    credentials, certificate = secure([address])
    door = open_door(options.dashboard_address)
    directory = runtime_directory(credentials.cluster_id)
    config = ServiceConfig(
        scheduler=SchedulerConfig(
            credentials=credentials.to_config(),
            listen=[address, f"unix://{directory}/scheduler.sock"],
            certificate=certificate.to_config() if certificate else None,
            name=name,
            idle_timeout=options.idle_timeout,
            # A terminal's stdin, or /dev/null of a service, is nobody's leash.
            leash=False,
        ),
        kind="himalia scheduler",
        cluster_file=options.cluster_file,
        must_be_found=not options.cluster_file,  # its secret is in no other place
        directories=[directory],
        dashboard=door.dashboard if door is not None else "",
        dashboard_key=door.dashboard_key if door is not None else "",
    )

    show_warnings("scheduler")

    def announce(entry: ClusterEntry, me: str) -> None:
        announce_scheduler(entry, why_none(options.dashboard_address))

    async def main(stop: asyncio.Event) -> int:
        await serve_cluster(config, stop, announce)
        return 0

    dashboard: list[Child] = []
    try:
        if door is not None:
            # By the Unix socket, which is listed second; it connects when somebody looks, so it may start first.
            dashboard.append(door.start(name, credentials.only_for(CLIENT_ROLES), config.scheduler.listen[1:]))
        return run(main)
    finally:
        # It ends by itself with its cluster; this is for one that doesn't.
        stop(dashboard, patience=1.0)
        remove_directory(directory)


def announce_scheduler(entry: ClusterEntry, no_dashboard: str) -> None:
    """Tell the person where it is, and how to use it."""
    # As `dask scheduler` writes it.
    say(f"Scheduler at: {entry.addresses[-1]}")
    say(f"dashboard at: {dashboard_text(plain_link(entry), entry.name, no_dashboard)}")
    say(f"Cluster name: {entry.name}, for Client({entry.name!r}) and `himalia stop {entry.name}`")
    path = os.path.join(clusters.directory(), entry.name + ".json")
    say(f"Cluster file: {path} (for clients)")
    say(f"Worker file:  {worker_path(path)} (all that a node needs to run workers: himalia worker --cluster-file)")


def run_worker(options: WorkerOptions) -> int:
    """Run a nanny with its workers until it is stopped or its scheduler ends, and return the exit code."""
    # Not above: `himalia scheduler` uses this file too, and needs no nanny.
    from himalia.nanny.config import NannyConfig
    from himalia.nanny.shell import serve

    target = find_target(options.scheduler or None, options.cluster_file or None)
    assert target.entry is not None, "no cluster object was given"
    addresses, entry = target.addresses, clusters.for_workers(target.entry)
    # Before it is connected to: nobody may have named it, and then this is what to look at if nobody answers.
    say(f"Cluster name: {entry.name}")
    # Else all that is said would be, after the death timeout, that nobody answers.
    if addresses == entry.addresses and not entry.reachable:
        raise UsageError(f"The cluster {entry.name} listens only on its own host, {entry.hostname}.")
    # Several nannies of one cluster may run on this host.
    mine = f"{entry.id}-{os.getpid()}"
    directories = [runtime_directory(mine), scratch_directory(mine, options.local_directory or None)]
    # At once: without the mark it looks like one whose owner was killed while it started (prune()).
    held = [hold(directory) for directory in directories]
    config = NannyConfig(
        scheduler=addresses,
        credentials=entry.credentials.to_config(),
        listen=choose_data_listener(options, addresses, entry, directories[0]),
        name=options.name or f"{socket.gethostname()}-{secrets.token_hex(2)}",
        nworkers=options.layout.nworkers,
        nthreads=options.layout.nthreads,
        memory_limit=options.layout.memory_limit,
        local_directory=directories[1],
        resources=options.resources,
        sys_path=["", *sys.path[1:]],  # the folder of the command's own script is nobody's
        leash=False,
        timeout=options.death_timeout,
        lifetime=options.lifetime,
        forward_output=True,
    )

    show_warnings("worker")

    async def main(stop: asyncio.Event) -> int:
        return await serve(config, stop, ready=lambda info: announce_worker(info, addresses))

    try:
        return run(main)
    finally:
        for path, fd in zip(directories, held, strict=True):
            # While it is locked still: nobody else prunes it at the same moment.
            remove_directory(path)
            os.close(fd)


def announce_worker(info: HostInfo, addresses: list[str]) -> None:
    """Tell the person that the workers belong to a cluster now."""
    say(f"Start worker at: {info.address}")
    say(f"Registered to: {addresses[0]}")


def choose_host(host: str, interface: str) -> str:
    """Return the host to listen at, if one was named.

    Raises
    ------
    UsageError
        If both were, or the interface is unknown.
    """
    if host and interface:
        raise UsageError("--host and --interface say the same thing twice; give one of them.")
    return interface_host(interface) if interface else host


def choose_data_listener(options: WorkerOptions, addresses: list[str], entry: ClusterEntry, directory: str) -> str:
    """Return where a nanny offers results: a socket if the whole cluster is on this host, else by TLS."""
    host = choose_host(options.host, options.interface)
    if host:
        return listen_address(host, 0)
    # Whoever reads results is where the scheduler can be reached from; a socket will do if that is this host alone.
    if all(map(is_loopback, [*entry.addresses, *addresses])):
        return f"unix://{directory}/nanny.sock"
    beyond = next(address for address in [*addresses, *entry.addresses] if not is_loopback(address))
    return listen_address(route_host(parse(beyond).host), 0)


def show_warnings(command: str) -> None:
    """Let warnings and errors of the runtime reach the person at the terminal."""
    logging.basicConfig(format=f"himalia {command}: %(message)s", level=logging.WARNING)


def say(text: str) -> None:
    """Print a line at once; whoever reads it may be gone."""
    try:
        print(text, flush=True)
    except OSError:
        pass
