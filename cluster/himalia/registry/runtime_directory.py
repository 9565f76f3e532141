"""The directories of a cluster on this host: one for its sockets, one for what its nanny writes.

They are ours alone: mode 0700, owned by this user, no symbolic link.  In a place that
others may write (``/tmp``) a name can be taken by somebody else, who then would read or replace what we put there, so
whatever is not ours is refused rather than repaired.  It removes what it made, and what clusters left that were killed
as a whole.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import stat
import tempfile
import time
from typing import Final

from himalia.errors import StartError
from himalia.private import make_parents, make_private

logger = logging.getLogger("himalia.deploy")

SOCKET_PATH_LIMIT: Final = 100
"""Bytes of a socket's path: ``sun_path`` has 104 on macOS and 108 on Linux, with its terminator."""
LONGEST_SOCKET_NAME: Final = 20
"""Bytes kept for ``/scheduler.sock`` and its neighbours below the directory."""

SQUATTED: Final = 100
"""Names that are tried for the user's folder before it is given up: each is a folder that somebody else made in
this one's place.  Python's ``tempfile`` tries 10,000 (``TMP_MAX``), because its names are random."""
_told: Final[set[str]] = set()
"""Folders of somebody else that were complained of."""

ALIVE: Final = ".alive"
"""File in each directory that a process of its cluster keeps locked."""
SETTLED: Final = 60.0
"""Seconds after which such a file that nobody locks belongs to a dead cluster; before, it may not be locked yet."""


def runtime_directory(cluster_id: str) -> str:
    """Return a fresh directory for the sockets of this cluster, made for it; the path is short enough for a socket.

    Raises
    ------
    StartError
        If no place for it is ours alone.
    """
    reasons = []
    for base in runtime_bases():
        path = os.path.join(base, cluster_id)
        # Asked before anything is made: bind() would fail much later, and name no other place.
        if len(os.fsencode(path)) + LONGEST_SOCKET_NAME > SOCKET_PATH_LIMIT:
            reasons.append(f"{path} is too long for a socket")
            continue
        try:
            # When one starts, for there is no better time: a cluster that was killed as a whole can't clean up.
            prune(base)
            make_private_below(base, cluster_id)
        # Each place has its reason; with all of them a person can tell which one to mend.
        except OSError as error:
            reasons.append(str(error))
        else:
            return path
    raise StartError("There is no private directory for the sockets of this cluster: " + "; ".join(reasons) + ".")


def runtime_bases() -> list[str]:
    """Return where socket directories may be, best first: what the session gives us, then the system's scratch."""
    bases = []
    given = os.environ.get("XDG_RUNTIME_DIR")
    # The XDG specification asks for all three; after `su` the variable is often the other user's.
    if given and os.path.isabs(given) and is_private(given):
        bases.append(os.path.join(given, "himalia"))
    # The short one first: TMPDIR of macOS or of a batch system leaves little of a socket's path.
    for scratch in dict.fromkeys(("/tmp", tempfile.gettempdir())):
        bases.append(own_folder(scratch))
    return bases


def own_folder(scratch: str) -> str:
    """Return this user's folder in one that all may write: ``himalia-UID``, or another if somebody has taken that.

    The other one is the first ``himalia-UID-N`` that nobody else has; it is said once.
    """
    usual = os.path.join(scratch, f"himalia-{os.getuid()}")
    for path in (usual, *(f"{usual}-{number}" for number in range(1, SQUATTED))):
        try:
            # Not stat: a link, though to a folder of ours, is somebody else's to turn elsewhere.
            found = os.lstat(path)
        except OSError:  # not there yet
            break
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
            break
    # Said once: each cluster that starts looks here.
    if path != usual and usual not in _told:
        _told.add(usual)
        logger.warning("%s isn't this user's (somebody else made it); %s is used instead", usual, path)
    return path


def scratch_directory(cluster_id: str, local_directory: str | None = None) -> str:
    """Return a fresh directory for what a nanny writes (spilled results), on disk rather than in a runtime file system.

    Raises
    ------
    StartError
        If it can't be made, or would not be ours alone.
    """
    if local_directory is None:
        base = own_folder(tempfile.gettempdir())
    else:
        base = os.path.abspath(os.path.expanduser(local_directory))
    # Not the name of the sockets' directory: both may be below the same folder.
    path = os.path.join(base, f"{cluster_id}-data")
    try:
        if local_directory is None:
            prune(base)  # not where the user says: that may be shared with hosts whose locks are not seen here
            make_private_below(base, os.path.basename(path))
        else:
            make_parents(base)
            make_private(path)
    except OSError as error:
        hint = "Name another one by local_directory."
        raise StartError(f"There is no directory for the data of this cluster: {error}. {hint}") from None
    return path


def hold(path: str) -> int:
    """Mark a directory as in use until this process ends, however it ends, and return the descriptor that does it."""
    # For writing, here and below: over NFS an exclusive lock needs that (flock(2)).
    fd = os.open(os.path.join(path, ALIVE), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        # A lock and no number of a process: the kernel lets go of it however the holder ends, and numbers are used
        # again.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # a file system without locks: then nobody can take it for dead either
        pass
    return fd


def prune(base: str) -> None:
    """Remove the directories of clusters of this host all of whose processes were killed."""
    try:
        with os.scandir(base) as entries:
            # Links are left alone: what they lead to is not ours to remove.
            found = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for path in found:
        if is_abandoned(path):
            shutil.rmtree(path, ignore_errors=True)
        elif not os.path.exists(os.path.join(path, ALIVE)):
            # Without a mark it may just have been made by a cluster that starts.
            remove_if_empty(path)


def is_abandoned(path: str) -> bool:
    """Whether a directory was marked as in use once, and nobody holds that mark any more."""
    mark = os.path.join(path, ALIVE)
    try:
        if time.time() - os.stat(mark).st_mtime < SETTLED:
            return False
        fd = os.open(mark, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        # If this gets it, its holder is dead; it is let go of with the descriptor.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def remove_if_empty(path: str) -> None:
    """Remove a directory that was made some time ago and never used: its owner was killed while it started."""
    try:
        if time.time() - os.stat(path).st_mtime > SETTLED:
            # Not rmtree: if somebody begins to use it now, this fails, and that is right.
            os.rmdir(path)
    except OSError:
        pass


def make_private_below(base: str, name: str) -> None:
    """Make ``base`` and ``base/name`` ours alone, though another cluster may just be removing an empty ``base``."""
    for attempt in range(10):
        make_private(base)
        try:
            return make_private(os.path.join(base, name))
        except FileNotFoundError:
            if attempt == 9:
                raise


def is_private(path: str) -> bool:
    """Whether ``path`` is a directory of this user that nobody else may enter."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def remove_directory(path: str) -> None:
    """Remove a directory of ours with all that is in it, and its parent if that is ours and empty then."""
    # Errors are ignored: at the end of a cluster two processes may remove the same.
    shutil.rmtree(path, ignore_errors=True)
    parent = os.path.dirname(path)
    # Ours, by its name; any other parent is the user's (local_directory).
    if re.fullmatch(rf"himalia(-{os.getuid()}(-\d+)?)?", os.path.basename(parent)):
        try:
            os.rmdir(parent)
        except OSError:  # another cluster has its directory there
            pass


def data_home() -> str:
    """Return the user's directory of himalia; ``HIMALIA_HOME`` names another."""
    given = os.environ.get("HIMALIA_HOME")
    if given:
        return os.path.abspath(os.path.expanduser(given))
    # Not above: with HIMALIA_HOME nobody needs it.
    import platformdirs

    return platformdirs.user_data_dir("himalia", appauthor=False)
