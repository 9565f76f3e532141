"""The dashboard's process: ``python -m himalia_widgets.dashboard``, told on standard input whom to follow and where.

It ends with its cluster, with its leash (standard input), or by a signal.
"""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import sys
import time
from typing import Final

import msgspec

from himalia.comm.security import Credentials
from himalia.decoders import convert
from himalia.errors import HimaliaError
from himalia.follow.control import ignore
from himalia.follow.feed import Feed
from himalia.run import fail, read_config, run
from himalia.system import give_way
from himalia_widgets.dashboard.guard import Guard
from himalia_widgets.dashboard.server import serve
from himalia_widgets.view.followed import Followed

PATIENCE: Final = 60.0
"""Seconds for a scheduler to come up: the first visitor may be faster than the start of the cluster."""
RETRY: Final = 0.2
NICE: Final = 10
"""Calls come first on a full machine."""
NICE_VARIABLE: Final = "HIMALIA_DASHBOARD_NICE"
"""Environment variable that says otherwise: 0 where pages shall be as quick as calls."""


class DashboardConfig(msgspec.Struct, kw_only=True):
    """Whom to follow, and where to show it."""

    name: str
    credentials: dict[str, str | dict[str, str]]
    addresses: list[str]
    key: str
    listener: int
    """Descriptor of a listening socket."""
    since: float
    """Links that are older, epoch seconds, may have been used."""

    def __repr__(self) -> str:
        return f"<DashboardConfig {self.name}>"  # the fields hold secrets


async def show_cluster(config: DashboardConfig, stop: asyncio.Event) -> int:
    """Serve the dashboard of a cluster until that ends or ``stop`` is set."""
    # The first push has the calls of before, and a full feed tells them only once: nothing is awaited until Followed
    # listens.
    feed = await follow(config)
    # Opened by who started this process: visitors wait in its queue meanwhile.
    with socket.socket(fileno=config.listener) as listener:
        followed = Followed(feed)
        feed.subscribe(ignore, on_end=lambda reason: stop.set())
        try:
            await serve(followed, listener, Guard(config.key, config.name, config.since), stop)
        finally:
            await feed.close()
    return 0


async def follow(config: DashboardConfig) -> Feed:
    """Return an open feed.

    Raises
    ------
    ConnectError
        If no scheduler came up in time.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        # A feed that has ended stays so, hence a new one each time. Full: pages zoom in as far as single calls.
        feed = Feed(Credentials.from_config(config.credentials), config.addresses, title=config.name, full=True)
        try:
            await feed.open()
        except HimaliaError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(RETRY)
        else:
            return feed


def main() -> int:
    """Read the configuration, serve, return the exit code."""
    try:
        give_way(int(os.environ.get(NICE_VARIABLE, NICE)))
    except ValueError:
        return fail(f"{NICE_VARIABLE}={os.environ[NICE_VARIABLE]!r} is no whole number, as nice(1) takes it")
    try:
        config = convert(read_config(), DashboardConfig)
        return run(functools.partial(show_cluster, config), leash=True)
    except (ValueError, msgspec.ValidationError) as error:
        return fail(f"the dashboard's configuration can't be read: {error}")
    except HimaliaError as error:
        return fail(f"the dashboard has no cluster to show: {error}")


if __name__ == "__main__":
    sys.exit(main())
