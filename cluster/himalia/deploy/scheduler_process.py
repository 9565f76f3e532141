"""The scheduler of a named cluster: found in the registry for as long as it listens, and without a trace afterwards.

``python -m himalia.deploy.scheduler_process`` is what :class:`LocalCluster` starts, ``himalia scheduler`` runs the
same in its own process.  It is the scheduler that writes and removes the cluster file and the private directories, not
whoever started it: that one may be killed at any moment.  Nothing here knows of tasks.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable

import msgspec

from himalia.comm.security import Credentials
from himalia.decoders import convert
from himalia.deploy.network import contact_addresses
from himalia.deploy.service_config import ServiceConfig
from himalia.errors import HimaliaError, StartError
from himalia.registry import clusters
from himalia.registry.cluster_file import ClusterEntry, describe, remove_file, worker_entry, worker_path, write_file
from himalia.registry.runtime_directory import hold, remove_directory
from himalia.run import answer, fail, read_config, run
from himalia.scheduler.shell import serve

logger = logging.getLogger("himalia.deploy")


async def serve_cluster(config: ServiceConfig, stop: asyncio.Event, ready: Callable[[ClusterEntry, str], None]) -> None:
    """Run the scheduler until it is closed or ``stop`` is set; ``ready`` is told once it can be found.

    Raises
    ------
    HimaliaError
        If it can't listen, or its name was taken meanwhile.
    """
    entry: ClusterEntry | None = None
    failure: HimaliaError | None = None

    def publish(addresses: list[str], me: str) -> None:
        # Not before it listens: the ports are known only then, and whoever finds the file may connect.
        nonlocal entry, failure
        credentials = Credentials.from_config(config.scheduler.credentials)
        contacts = [contact for address in addresses for contact in contact_addresses(address)]
        # Stable: what is nearest comes first, and within the network the order of the options stays.
        found = sorted(contacts, key=lambda address: not address.startswith("unix://"))
        entry = describe(config.scheduler.name, credentials, found, pid=os.getpid(), kind=config.kind)
        entry.dashboard, entry.dashboard_key = config.dashboard, config.dashboard_key
        try:
            # The user's own first: whoever waits for that file finds it even where the registry can't be written.
            if config.cluster_file:
                path = write_file(config.cluster_file, entry)
                write_file(worker_path(path), worker_entry(entry, credentials))
            clusters.write(entry, credentials)
        except OSError as error:
            why = f"{clusters.directory()} can't be written: {error.strerror}"
            # One that a LocalCluster started is told to clients by its object; it needs no file.
            if config.must_be_found:
                failure = StartError(f"{why}. Name another place by HIMALIA_HOME, or a file by --cluster-file.")
            else:
                logger.warning("the cluster works, but can't be found by its name: %s", why)
        # The name was taken since it was checked: two starts at once.
        except HimaliaError as error:
            failure = error
        if failure is not None:
            # Raised below, once the scheduler has ended in order.
            stop.set()
            return
        ready(entry, me)

    # By this process: whoever started it may be killed before the cluster has cleaned up.
    held = [hold(directory) for directory in config.directories]
    try:
        await serve(config.scheduler, stop, ready=publish)
    finally:
        if entry is not None:
            # First: a name that is found should lead to somebody who listens.
            clusters.remove(entry.name, entry.id)
            if config.cluster_file:
                remove_file(config.cluster_file, entry.id)
                remove_file(worker_path(config.cluster_file), entry.id)
        for directory, fd in zip(config.directories, held, strict=True):
            remove_directory(directory)
            os.close(fd)
    if failure is not None:
        raise failure


def main() -> int:
    """Read the configuration, serve, return the exit code."""
    try:
        config = convert(read_config(), ServiceConfig)
    except (ValueError, msgspec.ValidationError) as error:
        return fail(f"the scheduler's configuration can't be read: {error}")

    def tell(entry: ClusterEntry, me: str) -> None:
        answer(ok=True, addresses=entry.addresses, id=me)

    async def serve_until_stopped(stop: asyncio.Event) -> int:
        try:
            await serve_cluster(config, stop, tell)
        except HimaliaError as error:
            return fail(str(error))
        return 0

    return run(serve_until_stopped, leash=config.scheduler.leash)


if __name__ == "__main__":
    sys.exit(main())
