"""Directories and files that are this user's alone, checked when they are made and again whenever something is opened.

In a folder that others may write (``/tmp``, a shared scratch disk) a name can be taken, or swapped for a link, at any
moment.  So what is opened is looked at through its descriptor: owner, mode, and that it is no symbolic link.
"""

from __future__ import annotations

import os
import stat


def make_private(path: str) -> None:
    """Make ``path`` a directory of this user alone, or raise OSError if somebody else could get at it."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    # Whether it was made or found: what was there may be somebody else's, or a link.
    os.close(open_private(path))


def make_parents(path: str) -> None:
    """Make ``path`` and what is missing above it, all for this user alone, whatever the umask; existing ones stay."""
    parent = os.path.dirname(path)
    if parent != path and not os.path.isdir(parent):
        make_parents(parent)
    try:
        # One by one: os.makedirs() makes those above by the umask, readable to others.
        os.mkdir(path, 0o700)
    except FileExistsError:
        # A link to a folder is fine here: home directories often are one.
        if not os.path.isdir(path):
            raise


def open_private(path: str) -> int:
    """Open a directory of ours and return its descriptor.

    Raises
    ------
    OSError
        If it is a symbolic link, no directory or somebody else's.  Where only its mode was too wide, it is made 0700.
    """
    # Only for the better message: O_NOFOLLOW refuses a link that is put here in between.
    if os.path.islink(path):
        raise NotADirectoryError(f"{path} is not a directory but a symbolic link")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except NotADirectoryError:
        raise NotADirectoryError(f"{path} is not a directory") from None
    except PermissionError:
        owner = os.lstat(path).st_uid
        if owner != os.geteuid():
            raise PermissionError(f"{path} belongs to another user (uid {owner})") from None
        raise
    try:
        found = os.fstat(fd)
        if found.st_uid != os.geteuid():
            raise PermissionError(f"{path} belongs to another user (uid {found.st_uid})")
        if stat.S_IMODE(found.st_mode) & 0o077:
            # By the descriptor: the name may mean another folder by now.
            os.fchmod(fd, 0o700)
    except BaseException:
        os.close(fd)
        raise
    return fd


def create_file(path: str, flags: int = os.O_RDWR) -> int:
    """Create a file of mode 0600 that did not exist, in a directory of ours, and return its descriptor."""
    # Checked again at each file, not just when the folder was made: a scratch disk is a long-lived place.
    directory = open_private(os.path.dirname(path) or ".")
    try:
        flags |= os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(os.path.basename(path), flags, 0o600, dir_fd=directory)
    finally:
        os.close(directory)
