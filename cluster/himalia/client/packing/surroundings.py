"""What this process has that the workers don't know of: folders that came into ``sys.path``, and where it is now.

Workers of this machine should import and open what the kernel would.  They are started with its ``sys.path`` and
directory, or with those of whoever created the cluster; every look compares that with now, and whatever differs goes
with the functions (``himalia.surroundings``).  It costs a system call and a comparison of two lists per submission.

Whoever connects to a cluster of another program on this machine, in another folder, is compared with that program's;
for workers of other machines, or started by hand, what counts is what changed since this client began.
"""

from __future__ import annotations

import ctypes
import os
import sys
import sysconfig
from collections.abc import Iterable
from typing import Final

from himalia.messages.parts import HostInfo
from himalia.surroundings import Difference

INSTALLED: Final = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
"""Folders that belong to an interpreter: workers have those of theirs."""


class Surroundings:
    """Compares this process with the workers; any thread.

    Parameters
    ----------
    machine : str
        Identity of this machine and user; workers of other machines don't count.
    """

    def __init__(self, machine: str) -> None:
        self._machine = machine
        self._directory = _directory()
        self._folders = frozenset(_folders(self._directory))
        self._last: tuple[list[str], str, Difference | None] = (list(sys.path), self._directory, None)

    def hosts_changed(self, hosts: Iterable[HostInfo]) -> None:
        """Take in with what the workers of this machine were started."""
        told = [info for info in hosts if info.machine == self._machine and info.directory]
        if not told:
            return
        # What one of them lacks, calls have to bring: any may get them.
        folders = frozenset.intersection(*(frozenset(info.sys_path) for info in told))
        directories = {info.directory for info in told}
        # Where they are in several, each call says where it runs.
        directory = directories.pop() if len(directories) == 1 else ""
        if (folders, directory) != (self._folders, self._directory):
            self._folders, self._directory = folders, directory
            # So that the next look compares anew.
            self._last = ([], "", None)

    def look(self) -> Difference | None:
        """Return what workers don't have, the same object while nothing changes; mostly nothing (``None``)."""
        path, directory, difference = self._last
        here = _directory()
        if path != sys.path or directory != here:
            # A copy: people change the list in place.
            known, path = difference, list(sys.path)
            difference = self._compare(here)
            # The old object again, by which FunctionCache sees that its pickles are still right.
            if known and difference and (known.folders, known.directory) == (difference.folders, difference.directory):
                difference = known
            self._last = (path, here, difference)
        return difference

    def _compare(self, here: str) -> Difference | None:
        folders = _folders(here)
        missing = tuple(
            (folder, following)
            # With the one that follows it: workers put it in front of that.
            for folder, following in zip(folders, [*folders[1:], ""], strict=True)
            if folder not in self._folders and not folder.startswith(INSTALLED)
        )
        directory = here if here != self._directory else ""
        return Difference(missing, directory) if missing or directory else None


def _folders(here: str) -> list[str]:
    """Return ``sys.path`` in absolute paths, each once."""
    entries: list[object] = list(sys.path)  # people put Path objects there, which Python ignores
    # An empty entry is the directory itself, as it is for Python.
    return list(dict.fromkeys(os.path.normpath(os.path.join(here, path)) for path in entries if type(path) is str))


_getcwd = ctypes.PyDLL(None).getcwd
_getcwd.restype = ctypes.c_void_p
# One for all threads: they are in the same directory.
_buffer = ctypes.create_string_buffer(4096)


def _directory() -> str:
    """Return the working directory; empty if it was removed.

    ``os.getcwd`` lets go of the interpreter's lock.  Once per submission, that is an invitation to the loop's thread to
    send each call by itself, instead of a hundred of them together, and doubles what a submission costs.
    """
    if _getcwd(_buffer, len(_buffer)):
        return os.fsdecode(_buffer.value)
    try:
        return os.getcwd()  # a longer one than most systems allow
    except OSError:
        return ""
