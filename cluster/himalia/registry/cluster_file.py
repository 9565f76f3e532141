"""A cluster file: what it says of a cluster, and how it is written and read so that its secret stays with its owner.

A file is trusted if it is ours, of mode 0600 and a plain file; it appears complete or not at all.  Where the files of
living clusters are kept is not known here (:mod:`himalia.registry.clusters`).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import stat
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from himalia.decoders import json_decoder_of
from himalia.errors import UsageError
from himalia.registry.dashboard_key import metrics_token

if TYPE_CHECKING:
    from himalia.comm.security import Credentials

WORKER_SUFFIX: Final = ".worker.json"
"""End of the name of a file for worker nodes."""
TOKEN_SUFFIX: Final = ".metrics-token"
"""End of the name of a file that a scraper of ``/metrics`` reads."""
SIZE_LIMIT: Final = 64 * 1024
"""Bytes of a cluster file; a real one has about 1 KB."""


class ClusterEntry(msgspec.Struct, kw_only=True):
    """What a cluster's file says.

    Attributes
    ----------
    addresses : list of str
        Where its scheduler listens, the nearest first: Unix socket, loopback, network.
    keys : dict
        Role -> key, hex: what the holder of the file may be.  Files of clients and of worker nodes hold different ones,
        and none holds the secret that all keys are made of.  Empty: a cluster that listens on Unix sockets only, where
        the kernel proves who the peer is.
    fingerprint : str
        SHA-256 of the certificate of its ``tls://`` addresses, hex.
    pid, pid_started : int, float
        The scheduler's process, and when it started (epoch seconds), since numbers of processes are used again.
    machine, hostname : str
        Where that process runs.
    """

    name: str
    id: str
    addresses: list[str]
    keys: dict[str, str] = {}
    secret: str = ""
    """Of a file of an older himalia, which gave every role's key to everybody; not written any more."""
    fingerprint: str = ""
    pid: int = 0
    pid_started: float = 0.0
    machine: str = ""
    hostname: str = ""
    started: float = 0.0
    kind: str = "Cluster"
    """Class that started it."""
    dashboard: str = ""
    """Where its dashboard listens, ``http://127.0.0.1:PORT``; ``dashboard_key`` opens it."""
    dashboard_key: str = ""
    path: str = msgspec.field(default="", name="path")
    """Where the entry was read from; not trusted from the file."""

    @property
    def credentials(self) -> Credentials:
        """What a peer needs to prove that it belongs to the cluster."""
        from himalia.comm.security import Credentials

        keys = {role: bytes.fromhex(key) for role, key in self.keys.items()}
        # No secret: a file holds what its reader may be, and nothing of the other roles.
        return Credentials(self.id, b"", self.fingerprint, keys)

    @property
    def for_workers(self) -> bool:
        """Whether it is what a node that runs workers needs."""
        # A file without keys is of Unix sockets only, where whoever has this uid may be anything.
        return not self.keys or "nanny" in self.keys

    def __reduce__(self) -> NoReturn:
        from himalia.comm.security import secret_stays

        # An entry in a call's closure would take the keys to every worker.
        raise secret_stays("What a cluster file says")

    @property
    def reachable(self) -> list[str]:
        """The addresses that this process can reach, the nearest first: from another host those of the network only.

        A container may have its host's name, and not its sockets.
        """
        from himalia.comm.addresses import is_loopback

        here = self.hostname == socket.gethostname()
        return [address for address in without_missing(self.addresses) if here or not is_loopback(address)]

    def as_listening(self, address: str) -> str:
        """Return ``address`` with ``tls://`` for ``tcp://`` where the cluster speaks TLS, whatever it was called."""
        from himalia.comm.addresses import Address, parse

        wanted = parse(address)
        # By the port: the host may be written in many ways, and one port speaks one thing.
        for known in map(parse, self.addresses):
            if known.scheme == "tls" and wanted.scheme == "tcp" and known.port == wanted.port:
                return str(Address("tls", wanted.host, wanted.port))
        return address

    def __repr__(self) -> str:
        # Written by hand: a struct's own repr would put the keys into every traceback and log.
        return f"<ClusterEntry {self.name!r} at {', '.join(self.addresses)}, keys {'***' if self.keys else 'none'}>"


def without_missing(addresses: list[str]) -> list[str]:
    """Leave out Unix sockets that don't exist here: they are of other hosts, or of a cluster that ended."""
    return [
        address
        for address in addresses
        if not address.startswith("unix://") or os.path.exists(address.removeprefix("unix://"))
    ]


def describe(
    name: str, credentials: Credentials, addresses: list[str], *, pid: int, kind: str = "Cluster"
) -> ClusterEntry:
    """Return the entry, for clients, of a cluster whose scheduler is process ``pid`` of this machine."""
    from himalia.comm.security import CLIENT_ROLES
    from himalia.system import machine_identity

    return ClusterEntry(
        name=name,
        id=credentials.cluster_id,
        addresses=addresses,
        keys=keys_for(credentials, CLIENT_ROLES),
        fingerprint=credentials.fingerprint,
        pid=pid,
        # Numbers are used again; a number with the time of its start isn't.
        pid_started=process_started(pid),
        machine=machine_identity(),
        hostname=socket.gethostname(),
        started=time.time(),
        kind=kind,
    )


def keys_for(credentials: Credentials, roles: Iterable[str]) -> dict[str, str]:
    """Return the keys of some roles as a file holds them."""
    return {role: key.hex() for role, key in credentials.only_for(roles).keys.items()}


def worker_entry(entry: ClusterEntry, credentials: Credentials) -> ClusterEntry:
    """Return the entry for nodes that run workers: with their keys, and without the dashboard's."""
    from himalia.comm.security import WORKER_ROLES

    keys = keys_for(credentials, WORKER_ROLES)
    return msgspec.structs.replace(entry, keys=keys, dashboard="", dashboard_key="")


def worker_path(path: str) -> str:
    """Return where the file for worker nodes is, beside that for clients: ``NAME.worker.json``."""
    # So the name of either file tells the other, wherever both were copied.
    return path.removesuffix(".json") + WORKER_SUFFIX


def write_file(path: str, entry: ClusterEntry) -> str:
    """Write the entry to a file that the user named (``--cluster-file``), in the place of an older one."""
    path = os.path.abspath(os.path.expanduser(path))
    try:
        # Beside the path and renamed: whoever waits for the file reads all of it, or doesn't find it yet.
        temporary = write_temporary(path, entry)
    except OSError as error:
        raise UsageError(f"The scheduler file {path} can't be written: {error.strerror}.") from None
    try:
        os.replace(temporary, path)
    except OSError as error:
        os.unlink(temporary)
        raise UsageError(f"The scheduler file {path} can't be written: {error.strerror}.") from None
    return path


def token_path(path: str) -> str:
    """Return where the token for ``/metrics`` is, beside the file for clients: ``NAME.metrics-token``."""
    return path.removesuffix(".json") + TOKEN_SUFFIX


def write_token(path: str, entry: ClusterEntry) -> str:
    """Write the token for ``/metrics`` beside the cluster file ``path``, and return where.

    It is in a file of its own, since a scraper's configuration names a file with nothing else in it.
    """
    os.replace(write_private(token_path(path), metrics_token(entry.dashboard_key).encode()), token_path(path))
    return token_path(path)


def write_temporary(path: str, entry: ClusterEntry) -> str:
    """Write the entry beside ``path``, and return where; see :func:`write_private`."""
    return write_private(path, msgspec.json.format(msgspec.json.encode(entry)))


def write_private(path: str, content: bytes) -> str:
    """Write a file beside ``path``, readable by this user alone from its first byte on, and return where."""
    temporary = f"{path}.{secrets.token_hex(6)}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(content)
            file.flush()
            # A rename may reach the disk before the content, and an empty file would stand there after a crash.
            os.fsync(fd)
    # A full disk, say: what is left of a file with a secret must not lie around.
    except OSError:
        os.unlink(temporary)
        raise
    return temporary


def read_file(path: str) -> ClusterEntry:
    """Return the entry in a cluster file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    UsageError
        If somebody else could have read or written it, or it isn't a cluster file.
    """
    try:
        # O_NONBLOCK: a pipe at this path would keep us waiting for its writer.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except OSError as error:
        raise UsageError(f"The cluster file {path} can't be read: {error.strerror}.") from None
    try:
        # By the descriptor, so that what is looked at is what is read.
        check_trust(path, os.fstat(fd))
        # Bounded: the path is the user's, and may be that of anything.
        content = os.read(fd, SIZE_LIMIT)
    finally:
        os.close(fd)
    try:
        entry = json_decoder_of(ClusterEntry).decode(content)
        # Keys that are no hex are found here, where the file can be named.
        _ = entry.credentials
    except (msgspec.MsgspecError, ValueError):
        raise UsageError(f"{path} is not a cluster file.") from None
    if entry.secret:
        raise UsageError(
            f"The cluster file {path} was written by an older himalia; install the same version on both sides, and "
            f"copy the file that the scheduler writes again."
        )
    entry.path = path
    return entry


def check_trust(path: str, found: os.stat_result) -> None:
    """Raise UsageError if a file is none, or was within somebody else's reach."""
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{path} is not a cluster file.")
    if found.st_uid != os.geteuid():
        owner = f"uid {found.st_uid}"
        raise UsageError(f"The cluster file {path} belongs to another user ({owner}), so it isn't trusted.")
    if found.st_mode & 0o077:
        raise UsageError(f"Others may read or write the cluster file {path}; it holds a secret: chmod 600 {path}")


def remove_file(path: str, cluster_id: str) -> None:
    """Remove a cluster file if it is still that of this cluster, with the token that lies beside it."""
    try:
        # Another cluster may have taken the name since.
        if read_file(path).id == cluster_id:
            # First: it doesn't say whose it is.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(token_path(path))
            os.unlink(path)
    # At the end of a cluster, where nobody can do anything about it.
    except (OSError, UsageError):
        pass


def process_started(pid: int) -> float:
    """Return when the process started (Linux: ticks since the boot), or 0.0 if it doesn't run any more.

    With the identity of the machine, which names its boot, that tells a process from a later one of the same number.
    """
    if sys.platform == "linux":
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                # From the last parenthesis on: the name of a process may have some itself.
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            return 0.0
        return 0.0 if fields[0] in (b"Z", b"X") else float(fields[19])
    import psutil

    try:
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return 0.0
