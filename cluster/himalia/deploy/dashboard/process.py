"""The process of a cluster's dashboard: where it listens, and how it is started.

It listens at this host's loopback only.  The dashboard itself is another package's; without that there is none, and the
cluster works the same.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
import time
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from himalia.child import Child, module_command
from himalia.deploy.dashboard import doorkeeper
from himalia.errors import UsageError
from himalia.registry.dashboard_key import new_key
from himalia.views import has_views, missing, warn_of_missing

if TYPE_CHECKING:
    from himalia.comm.security import Credentials

DEFAULT_ADDRESS: Final = ":8787"
"""As Dask's; if the port is taken, another one."""
LOOPBACK: Final = "127.0.0.1"
BACKLOG: Final = 128
"""Connections that wait while the server starts; a page opens six."""


class Door:
    """A listening socket for a dashboard, and the key to it.

    Attributes
    ----------
    dashboard : str
        ``http://127.0.0.1:PORT``.
    dashboard_key : str
        See :mod:`himalia.registry.dashboard_key`.
    """

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.dashboard = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        self.dashboard_key = new_key()
        self.since = 0.0
        """Links that are older don't open it any more: when it was opened again, epoch seconds."""

    def __repr__(self) -> str:
        return f"<Door {self.dashboard}>"

    def start(self, name: str, credentials: Credentials, addresses: Sequence[str], *, forward: bool = False) -> Child:
        """Have a process wait here for visitors of a cluster; the socket is its own from now on."""
        # Written into the pipe at once, read when the first visitor comes.
        config = self.describe(name, credentials, addresses)
        command = module_command("himalia_widgets.dashboard", "dashboard")
        # Without site-packages and PYTHON* variables: it needs neither, and every cluster's start pays for it.
        script = [sys.executable, "-I", "-S", os.path.abspath(doorkeeper.__file__), str(self.listener.fileno())]
        # This process's copy is closed then: with it the port would stay open after the dashboard's death, unanswered.
        with self.listener:
            return Child(
                [*script, *command],
                config,
                title="dashboard",
                forward=forward,
                fds=[self.listener.fileno()],
                # The notebook may have found it by its own sys.path, which a child doesn't inherit.
                paths=[place_of_views()],
            )

    def describe(self, name: str, credentials: Credentials, addresses: Sequence[str]) -> dict[str, object]:
        """Return what the dashboard's process is told; small enough to wait in a pipe until it is read."""
        return {
            "name": name,
            "credentials": credentials.to_config(),
            "addresses": list(addresses),
            "key": self.dashboard_key,
            "listener": self.listener.fileno(),
            "since": self.since,
        }

    def reopen(self) -> None:
        """Listen again after the process that had the socket ended; cookies stay good, links don't.

        Raises
        ------
        OSError
            If another program has the port now.
        """
        self.listener = listen(urlsplit(self.dashboard).port or 0)
        # Which codes were used, the dead process knew; so none from before is good.
        self.since = time.time()

    def close(self) -> None:
        """Let go of the socket, if no process was started."""
        self.listener.close()


def open_door(address: str | int | None) -> Door | None:
    """Return a door at this address; ``None`` if none is wanted, or nothing is installed that could be behind it.

    Parameters
    ----------
    address : str, int or None
        ``":8787"``, ``"127.0.0.1:8787"`` or a port; 0: any.  Of a port that is taken, another one is used.

    Raises
    ------
    UsageError
        If it is no address, or one beyond this host.
    """
    if address is None:
        return None
    port = parse_address(address)
    if not has_views():
        # Nobody asked for the default yet: who looks for it is warned then (Cluster.dashboard_link).
        if address != DEFAULT_ADDRESS:
            warn_of_missing()
        return None
    try:
        return Door(listen(port))
    except OSError:
        pass
    try:
        # As Dask does: two clusters on one host are usual, and the second shouldn't fail for its dashboard.
        return Door(listen(0))
    except OSError as error:
        warnings.warn(f"There is no dashboard: no port can be opened ({error.strerror}).", RuntimeWarning, stacklevel=2)
        return None


def why_none(address: str | int | None) -> str:
    """Return what to do about :func:`open_door` having opened none at this address; empty if none is wanted."""
    return missing() if address is not None and not has_views() else ""


def parse_address(address: str | int) -> int:
    """Return the port that a dashboard's address names.

    Raises
    ------
    UsageError
        See :func:`open_door`.
    """
    host, _, text = str(address).rpartition(":")
    if not text.isdecimal() or int(text) > 65535:
        raise UsageError(f"dashboard_address={address!r} is no address: give ':8787', a port, or None for none.")
    if host not in ("", "localhost", LOOPBACK):
        raise UsageError(
            f"dashboard_address={address!r}: a dashboard listens on this host's loopback only. Give a port like "
            "':8787', and come from elsewhere through Jupyter (jupyter-server-proxy) or `ssh -L`."
        )
    return int(text)


def listen(port: int) -> socket.socket:
    """Return a listening socket on loopback."""
    listener = socket.socket()
    try:
        # Else a door can't be reopened for a minute: connections of the process before are in TIME_WAIT.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def place_of_views() -> str:
    """Return the folder from which ``himalia_widgets`` is imported here."""
    # Found, not imported: views are loaded when somebody looks (views.py).
    found = importlib.util.find_spec("himalia_widgets")
    assert found is not None, "open_door() has looked"
    assert found.origin is not None
    return os.path.dirname(os.path.dirname(os.path.abspath(found.origin)))
