"""A file at a path that the user named: it appears whole, and nothing that somebody else put there is written to.

The folder may be one that others write to (``/tmp``, a shared scratch disk).  So the content goes to a new file beside
the path, which then takes its place: a link there is replaced, not followed, and so is a file that lay ready.  The mode
is what the umask leaves, or that of the user's own file that was there; but never may everybody write.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

USUAL: Final = 0o664
"""Mode of a new file, less what the umask takes: the usual one, but never writable by everybody."""
FOLDER: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
"""How a folder is held while a name in it is replaced: whoever swaps it meanwhile changes nothing."""


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a file, in the place of an older one; see :func:`replacing`."""
    with replacing(path) as file:
        file.write(text.encode())
    file.close()


@contextmanager
def replacing(path: str | os.PathLike[str], mode: int = USUAL) -> Iterator[BinaryIO]:
    """Open a new file that takes its place at ``path`` when the block ends well, and is gone if it raises.

    The file stays open after that, for whoever goes on writing.

    Raises
    ------
    OSError
        If it can't be written, or something is there that is no file: a folder, a device, a pipe.
    """
    directory, name = os.path.split(os.path.abspath(path))
    # All below is relative to this descriptor, so it is one folder from beginning to end.
    folder = os.open(directory, FOLDER)
    try:
        kept = mode_of(name, folder)
        # Random, and O_EXCL: nobody can have put a link there before us.
        temporary = f".himalia-{secrets.token_hex(8)}.new"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = open(os.open(temporary, flags, mode, dir_fd=folder), "w+b")  # noqa: SIM115  # it outlives the block
        try:
            if kept is not None:
                # After opening: the umask takes from what open() is given, not from this.
                os.fchmod(file.fileno(), kept)
            yield file
            # Whoever opens the path from now on finds all of it.
            file.flush()
            os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        # Ctrl-C, too: nobody would find a file with a random name again.
        except BaseException:
            os.unlink(temporary, dir_fd=folder)
            file.close()
            raise
    finally:
        os.close(folder)


def mode_of(name: str, folder: int) -> int | None:
    """Return the mode of the user's own file that is there, without what nobody should have; None if there is none."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(found.st_mode):
        return None
    if not stat.S_ISREG(found.st_mode):
        raise FileExistsError(errno.EEXIST, "something is there that is not a file", name)
    # Somebody else's mode is none of ours to keep: they could have made it readable for all.
    return found.st_mode & 0o775 if found.st_uid == os.geteuid() else None
