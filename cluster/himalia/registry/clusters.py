"""The cluster files of this user: one per living cluster, by which ``Client("name")`` and ``himalia ls`` find it.

This module decides where the files lie, which names clusters may have, whose cluster is at an address, and which files
are stale.  Which cluster is meant by what a person wrote, or by nothing at all: ``resolving.py``.
The files carry secrets, so the directory is mode 0700 and each file 0600.  Nothing here talks to a cluster; at most it
looks whether anybody still listens.
"""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING, Final

from himalia.errors import ClusterNotFoundError, UsageError
from himalia.private import make_parents, make_private
from himalia.registry.cluster_file import (
    WORKER_SUFFIX,
    ClusterEntry,
    process_started,
    read_file,
    remove_file,
    worker_entry,
    worker_path,
    write_temporary,
    write_token,
)
from himalia.registry.runtime_directory import data_home

if TYPE_CHECKING:
    from himalia.comm.security import Credentials

# Safe as a file's name anywhere, and told from an address, which has a colon.
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LOOPBACK: Final = "(loopback)"
"""What every name of this very host is compared as."""
PROBE_TIMEOUT: Final = 0.3
"""Seconds to wait for a listener of a cluster that seems to have ended with its host's last boot: a
round trip takes 0.2 s from the other side of the earth (light in a fibre)."""


def directory() -> str:
    """Return where the cluster files are; it need not exist."""
    return os.path.join(data_home(), "clusters")


def check_name(name: object) -> str:
    """Return ``name`` if a cluster can be called so.

    Raises
    ------
    UsageError
        If it would not make a file name that reads well everywhere.
    """
    # x.worker would have x.worker.json, the file for nodes of cluster x.
    if not isinstance(name, str) or not NAME.fullmatch(name) or name.endswith(".worker"):
        allowed = "1 to 64 letters, digits, '-', '_' or '.', a letter or digit first, no '.worker' at the end"
        raise UsageError(f"{name!r} can't be a cluster's name: use {allowed}.")
    return name


def check_free(name: str) -> None:
    """Raise UsageError if a living cluster has this name."""
    found = find_name(check_name(name))
    if found is not None:
        raise UsageError(taken_text(found))


def taken_text(entry: ClusterEntry) -> str:
    """Say that a name is in use, and what can be done about it."""
    return (
        f"A cluster named {entry.name!r} runs already (pid {entry.pid} on {entry.hostname}). Choose another name, "
        f"use that one by Client({entry.name!r}), or stop it: himalia stop {entry.name}"
    )


def write(entry: ClusterEntry, credentials: Credentials | None = None) -> str:
    """Write the files of a cluster that came up, and return the path of that for clients.

    With the cluster's ``credentials`` there is one for worker nodes too.

    Raises
    ------
    UsageError
        If a living cluster has the name.
    """
    path = os.path.join(directory(), check_name(entry.name) + ".json")
    make_parents(os.path.dirname(directory()))
    make_private(directory())
    # Both are written before either has its name: a full disk is found while nothing is there yet.
    temporary = write_temporary(path, entry)
    nodes = "" if credentials is None else write_temporary(worker_path(path), worker_entry(entry, credentials))
    try:
        # Whoever had the name may have ended meanwhile, and somebody else taken it; but not three times in a row.
        for _ in range(3):
            try:
                os.link(temporary, path)  # unlike a rename this fails if the name is taken
                if nodes:
                    # After the name is ours: before, it could be that of the cluster that has it.
                    os.replace(nodes, worker_path(path))
                    nodes = ""
                if entry.dashboard_key:
                    write_token(path, entry)
                return path
            except FileExistsError:
                check_free(entry.name)  # removes the file if its cluster is dead
        raise UsageError(f"The cluster file {path} can't be written: it keeps coming back. Choose another name.")
    finally:
        os.unlink(temporary)
        if nodes:
            os.unlink(nodes)


def read(name: str) -> ClusterEntry:
    """Return the entry of the living cluster of that name.

    Raises
    ------
    ClusterNotFoundError
        If there is none.
    """
    found = find_name(check_name(name))
    if found is None:
        others = [entry.name for entry in entries()]
        listed = f"Running: {', '.join(others)}." if others else "None is running."
        raise ClusterNotFoundError(f"No cluster named {name!r} is running for this user. {listed}")
    return found


def only() -> ClusterEntry:
    """Return the entry of the only living cluster of this user, for commands that weren't told which one.

    One that can't be reached from here doesn't count beside one that can.

    Raises
    ------
    ClusterNotFoundError
        If none runs.
    UsageError
        If there are several.
    """
    running = entries()
    # In a home directory that hosts share there are also the files of other hosts' LocalClusters.
    found = [entry for entry in running if entry.reachable] or running
    if not found:
        raise ClusterNotFoundError(
            "No cluster of yours is running. Start one by `himalia scheduler`, or by LocalCluster() in Python; one of "
            "another user, or with another home directory, is named by its cluster file: --cluster-file."
        )
    if len(found) > 1:
        names = ", ".join(entry.name for entry in found)
        raise UsageError(f"{len(found)} clusters of yours run: {names}. Give the name of one.")
    return found[0]


def for_workers(entry: ClusterEntry) -> ClusterEntry:
    """Return the entry with the keys of a worker node, for one that was found by its name or address.

    Raises
    ------
    ClusterNotFoundError
        If the file for worker nodes isn't there.
    """
    if entry.for_workers:
        return entry
    path = worker_path(entry.path)
    try:
        return read_file(path)
    except FileNotFoundError:
        raise ClusterNotFoundError(
            f"{entry.path} is for clients; a node that runs workers needs {path}, which is written beside it. "
            f"Copy that one, and name it by --cluster-file."
        ) from None


def find_name(name: str) -> ClusterEntry | None:
    """Return the entry of that name if its cluster lives; the file of a dead one is removed."""
    path = os.path.join(directory(), name + ".json")
    try:
        entry = read_file(path)
    except FileNotFoundError:
        return None
    if is_alive(entry):
        return entry
    # By its id: another cluster may take the name between the look and this.
    remove(name, entry.id)
    return None


def find(address: str) -> ClusterEntry | None:
    """Return the entry of the living cluster that listens at ``address``, those of this host before others."""
    # In a home directory that hosts share, several files may name the same loopback address.
    here = socket.gethostname()
    wanted = endpoint_of(address)
    for entry in sorted(entries(), key=lambda entry: entry.hostname != here):
        for candidate in map(endpoint_of, entry.addresses):
            # Loopback of another host, whose file lies in a shared home, is another place with the same name.
            if candidate == wanted and (candidate[0] != LOOPBACK or entry.hostname == here):
                return entry
    return None


def endpoint_of(address: str) -> tuple[str, str]:
    """Return (host, port) or ("unix", path): however an address is written, one listener gives one pair.

    Raises
    ------
    UsageError
        If it is no address.
    """
    from himalia.comm.addresses import parse

    found = parse(address)
    if found.scheme == "unix":
        # /tmp is a link on macOS.
        return "unix", os.path.realpath(found.path)
    if found.is_loopback:
        return LOOPBACK, str(found.port)
    return resolve(found.host), str(found.port)


def resolve(host: str) -> str:
    """Return the first IP address of a host, or its name if it has none here."""
    try:
        # One way to write it: a name, a short name and the address itself are one host.
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError):
        return host.lower()


def entries() -> list[ClusterEntry]:
    """Return the living clusters of this user, oldest first; files of dead ones are removed."""
    try:
        names = sorted(os.listdir(directory()))
    # Nobody has started a cluster yet.
    except OSError:
        return []
    found = []
    for name in names:
        stem, extension = os.path.splitext(name)
        # Files that are being written end with .new, and those for worker nodes name the same cluster once more.
        if extension != ".json" or name.endswith(WORKER_SUFFIX) or not NAME.fullmatch(stem):
            continue
        try:
            entry = find_name(stem)
        except UsageError:  # not ours, or not a cluster file: leave it, and don't use it
            continue
        if entry is not None:
            found.append(entry)
    return sorted(found, key=lambda entry: entry.started)


def remove(name: str, cluster_id: str) -> None:
    """Remove the file of a cluster that ended, unless another cluster has taken the name since."""
    path = os.path.join(directory(), check_name(name) + ".json")
    remove_file(path, cluster_id)
    remove_file(worker_path(path), cluster_id)


def is_alive(entry: ClusterEntry) -> bool:
    """Whether the cluster may still live; of another host nothing is known, so it may.

    A host that was started again has another identity but the same name: then its listeners are asked.
    """
    from himalia.system import machine_identity

    if entry.machine == machine_identity():
        started = process_started(entry.pid)
        # Exact: both were read from the same counter of the kernel.
        return started != 0.0 and started == entry.pid_started
    if entry.hostname != socket.gethostname():
        return True
    # A Unix socket of before the boot may still be there as a file; nobody accepts at it.
    return any(is_listening(address) for address in entry.addresses)


def is_listening(address: str) -> bool:
    """Whether anybody accepts connections at ``address``."""
    from himalia.comm.addresses import parse

    try:
        found = parse(address)
        if found.scheme != "unix":
            socket.create_connection((found.host, found.port), PROBE_TIMEOUT).close()
            return True
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(PROBE_TIMEOUT)
            probe.connect(found.path)
            return True
    except (OSError, UsageError):
        return False
