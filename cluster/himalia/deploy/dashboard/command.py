"""``himalia dashboard [NAME]``: a fresh link to a cluster's dashboard, which is started here if there is none."""

from __future__ import annotations

import os
import socket
import sys
import webbrowser
from typing import Final
from urllib.parse import urlsplit

from himalia.child import stop
from himalia.deploy.dashboard.process import DEFAULT_ADDRESS, open_door
from himalia.errors import StartError
from himalia.registry import clusters
from himalia.registry.cluster_file import ClusterEntry, token_path, write_token
from himalia.registry.dashboard_link import HasDashboard, login_link
from himalia.registry.resolving import find_target
from himalia.views import has_views, missing

POLL: Final = 3600.0
"""Seconds of one wait for the end of a dashboard, after which the next one begins."""


def show_dashboard(name: str, page: str, *, browser: bool) -> int:
    """Print a link that opens a page once, and open it in a browser if there is one; return the exit code.

    Without a name it is that of the cluster which :func:`find_target` takes then.
    """
    entry = find_cluster(name)
    if not entry.dashboard:
        return serve_here(entry, page, browser=browser)
    say_tunnel(entry)
    show(entry, page, browser=browser)
    return 0


def show_metrics(name: str) -> int:
    """Print where a scraper finds the numbers of a cluster, and the file with the token that it has to send.

    The token itself is printed nowhere: it would stay in a terminal's history, or in a command line.
    """
    entry = find_cluster(name)
    if not entry.dashboard:
        advice = "start it with one" if has_views() else missing()
        raise StartError(f"The cluster {entry.name} has no dashboard, and so no /metrics: {advice}")
    say_tunnel(entry)
    token = token_path(entry.path)
    # It was written by the cluster's scheduler, but not beside a copy of its file.
    if not os.path.exists(token):
        write_token(entry.path, entry)
    print(f"Metrics:    {entry.dashboard}/metrics")
    print(f"Token file: {token} (prometheus.yml: authorization: credentials_file)")
    return 0


def find_cluster(name: str) -> ClusterEntry:
    """Return the cluster of that name; the one that is meant without a name, which is said."""
    if name:
        return clusters.read(name)
    entry = find_target(None, None).entry
    assert entry is not None, "no cluster object was given"
    print(f"Cluster name: {entry.name}", flush=True)
    return entry


def say_tunnel(entry: ClusterEntry) -> None:
    """Say what has to run for a dashboard of another host: it listens on that host's loopback."""
    if entry.hostname != socket.gethostname():
        port = urlsplit(entry.dashboard).port
        print(
            f"The dashboard is on {entry.hostname}; have this run here: ssh -L {port}:127.0.0.1:{port} {entry.hostname}"
        )


def serve_here(entry: ClusterEntry, page: str, *, browser: bool) -> int:
    """Run a dashboard until the cluster ends, or ctrl-C."""
    if not has_views():
        raise StartError(f"There is no dashboard. {missing()}")
    door = open_door(DEFAULT_ADDRESS)
    if door is None:
        raise StartError("There is no dashboard: no port can be opened.")
    child = door.start(entry.name, entry.credentials, entry.reachable, forward=True)
    try:
        socket.create_connection(("127.0.0.1", urlsplit(door.dashboard).port or 0)).close()  # the first visitor
        show(door, page, browser=browser)
        # The dashboard ends by itself with its cluster.
        while not child.wait(POLL):
            pass
    except KeyboardInterrupt:
        pass
    finally:
        stop([child], patience=1.0)
    return 0


def show(place: HasDashboard, page: str, *, browser: bool) -> None:
    """Print a link, and open another one in a browser with a window."""
    print(f"Dashboard: {login_link(place, page)}", flush=True)
    # Another one, since each is good once: that on the terminal is still good if the browser doesn't come up.
    link = login_link(place, page)
    # On a JupyterHub a link is a path, which only the browser that is there can complete.
    if browser and link.startswith("http") and has_window():
        webbrowser.open(link)


def has_window() -> bool:
    """Whether a browser would have a screen; one in the terminal can't show a plot."""
    return sys.platform == "darwin" or any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY"))
