"""Which cluster is meant: from what a user calls it to where it is and how to get in.

Decides what counts first, if several say it: cluster object, file, environment variable, address or name; if nothing
does, it is the only cluster that runs.  The secret comes from the cluster object, from a cluster file that was named,
or from the user's own cluster files (``clusters.py``).  It opens no connection, except to hear what else than himalia
may be at an address whose secret nobody here knows.
"""

from __future__ import annotations

import os
import socket
from typing import Final

import msgspec

from himalia.comm.handshake import SECRET_HELP
from himalia.comm.security import Credentials
from himalia.comm.strangers import LISTENED, describe
from himalia.errors import ClusterNotFoundError, UsageError
from himalia.registry import clusters
from himalia.registry.cluster_file import ClusterEntry, read_file, without_missing

FILE_VARIABLE: Final = "HIMALIA_CLUSTER_FILE"
LISTEN: Final = 0.5
"""Seconds to wait for the first words of a stranger: two round trips, one to connect and one to hear, each of
0.2 s if it is on the other side of the earth (light in a fibre)."""


class Target(msgspec.Struct):
    """A cluster that a process can connect to.

    Attributes
    ----------
    addresses : list of str
        To be tried in this order.
    credentials : Credentials
    name : str
        What the cluster is called.
    cluster : Cluster or None
        The object that started it, if that was given.
    entry : ClusterEntry or None
        What its cluster file says, if it was found by that.
    """

    addresses: list[str]
    credentials: Credentials
    name: str = ""
    cluster: object = None
    entry: ClusterEntry | None = None


def find_target(address: object, cluster_file: str | None) -> Target:
    """Return the cluster that is meant.

    Parameters
    ----------
    address : str, Cluster or None
        An address, the name of a running cluster, a cluster object; ``None``: what the cluster file says, or, without
        one, the only cluster of this user that runs.
    cluster_file : str, optional
        A cluster file; ``None``: that of the environment variable, or the user's own.

    Raises
    ------
    ClusterNotFoundError
        If no running cluster has that name, there is no such file, nobody here knows the secret of that address, or
        nothing says which one and none runs.
    UsageError
        If nothing says which one and several run, or it can't be an address.
    """
    if address is not None and not isinstance(address, str | os.PathLike):
        return _target_of_cluster(address)
    # The argument before the variable, as everywhere.
    path = cluster_file or os.environ.get(FILE_VARIABLE)
    if address is None:
        if path is None:
            return _target_of_entry(clusters.only(), None)
        return _target_of_file(path, None)
    address = os.fspath(address)
    # A name may end like this as well; a file that is there is meant before that.
    if address.endswith(".json") and os.path.exists(address):
        return _target_of_file(address, None)
    if path is not None:
        # A name beside a file says nothing more than the file; an address says by which way to go there.
        return _target_of_file(path, address if _is_address(address) else None)
    if _is_address(address):
        return _target_of_address(address)
    return _target_of_entry(clusters.read(address), None)


def _target_of_cluster(cluster: object) -> Target:
    # By attributes: other packages' clusters come here as well, and are to be told what is wrong with them.
    addresses = list(getattr(cluster, "addresses", None) or [getattr(cluster, "scheduler_address", "")])
    credentials = getattr(cluster, "credentials", None)
    if credentials is None or not any(addresses):
        raise UsageError(
            f"{type(cluster).__name__} can't be connected to: it is neither an address nor a himalia cluster that runs."
        )
    # Of a cluster that ended nothing is left; then the connection says so better than an empty list.
    near = without_missing(addresses) or addresses
    return Target(near, credentials, str(getattr(cluster, "name", "") or ""), cluster)


def _target_of_file(path: str, address: str | None) -> Target:
    try:
        entry = read_file(os.path.expanduser(path))
    except FileNotFoundError:
        raise ClusterNotFoundError(f"There is no cluster file {path}: has its cluster ended? {SECRET_HELP}") from None
    return _target_of_entry(entry, address)


def _target_of_address(address: str) -> Target:
    entry = clusters.find(address)
    if entry is None:
        # Often the address of something else is given, a dask scheduler or the dashboard, and no secret is missing.
        stranger = describe(_first_words(address))
        if stranger:
            raise UsageError(f"No himalia cluster is at {address}: {stranger}.")
        raise ClusterNotFoundError(
            f"The secret of the cluster at {address} is not known. If another user or host started it, copy its "
            f"cluster file here (mode 600) and name that: Client({address!r}, cluster_file=…), --cluster-file, or "
            f"{FILE_VARIABLE}. "
            f"Running clusters of yours: {', '.join(entry.name for entry in clusters.entries()) or 'none'}."
        )
    return _target_of_entry(entry, address)


def _target_of_entry(entry: ClusterEntry, address: str | None) -> Target:
    """Return a cluster by its file; at ``address``, if that was said."""
    # What was said is tried alone: who names an address means that way.
    addresses = [entry.as_listening(address)] if address else entry.reachable or entry.addresses
    return Target(addresses, entry.credentials, entry.name, entry=entry)


def _first_words(address: str) -> bytes:
    """Return what something at an address says to whoever says nothing; a himalia scheduler is silent."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), LISTEN) as connection:
            connection.settimeout(LISTEN)
            return connection.recv(LISTENED)
    except (OSError, ValueError):
        return b""


def _is_address(text: str) -> bool:
    return "://" in text or ":" in text
