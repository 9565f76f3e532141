"""A call's surroundings: folders from which it imports, and the directory in which it opens files.

Workers begin with what their creator had.  What a client's process changed since travels with its functions: it is part
of their pickle, and so of their name, so that a worker that is started later, or that never heard of this client, knows
as much as any.  This is the half that works in a worker; what changed is decided by ``client/packing/surroundings.py``.

Folders are only added, and only where they exist: a worker on another host keeps what it has.  The directory is that of
the call: a worker is in it while the call runs, and back where it was afterwards.  A process has only one; when calls
that want different ones run in several threads of one worker, it is that of the call that began last.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Final

from himalia import serialize

Folders = tuple[tuple[str, str], ...]
"""Folders of ``sys.path``, each with the one that follows it there."""


class Difference:
    """What a client's process has that workers weren't started with; equal ones are the same object.

    Parameters
    ----------
    folders : Folders
        Missing in their ``sys.path``.
    directory : str
        Where the client is; empty: where they are.
    """

    __slots__ = ("directory", "folders")

    def __init__(self, folders: Folders, directory: str) -> None:
        self.folders = folders
        self.directory = directory

    def around(self, body: bytes) -> bytes:
        """Return the body of a function that runs in these surroundings, given its own."""
        # The body stays packed inside: it may import from these folders, so it is read after they are added.
        return pickle.dumps(_Reduced(arrive, (self.folders, self.directory, body)), 5)

    def around_call(self, call: bytes) -> bytes:
        """Return ``(function, args, kwargs)``, pickled, of a call that is pickled the same way."""
        return pickle.dumps(_Reduced(arrive_with_call, (self.folders, self.directory, call)), 5)


class _Reduced:
    __slots__ = ("reduced",)

    def __init__(self, function: Callable[..., object], args: tuple[object, ...]) -> None:
        self.reduced = (function, args)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.reduced


def arrive(folders: Folders, directory: str, body: bytes) -> Callable[..., object]:
    """Return a function by its body, once what it may import is on the path."""
    add_folders(folders)
    function: Callable[..., object] = serialize.loads_packed(body)
    return InDirectory(function, directory) if directory else function


def arrive_with_call(
    folders: Folders, directory: str, call: bytes
) -> tuple[Callable[..., object], tuple[object, ...], dict[str, object]]:
    """Return function and arguments; see :func:`arrive`."""
    add_folders(folders)
    function, args, kwargs = serialize.loads_packed(call)
    return (InDirectory(function, directory) if directory else function), args, kwargs


def add_folders(folders: Folders) -> None:
    """Put those that exist and are missing into ``sys.path``, where the client has them."""
    # From the last on: then the one that a folder comes before is there already.
    for folder, following in reversed(folders):
        # One that isn't here would cost each import a look, and other hosts have other folders.
        if folder not in sys.path and os.path.exists(folder):
            sys.path_importer_cache.pop(folder, None)  # from when it didn't exist
            sys.path.insert(sys.path.index(following) if following in sys.path else len(sys.path), folder)


class InDirectory:
    """A function that runs in a directory; where that doesn't exist, wherever its worker is.

    Parameters
    ----------
    function : callable
    directory : str
    """

    __slots__ = ("directory", "function")

    def __init__(self, function: Callable[..., object], directory: str) -> None:
        self.function = function
        self.directory = directory

    # ``/``: a user's function may take a keyword that is called ``self``.
    def __call__(self, /, *args: object, **kwargs: object) -> object:
        with PLACE.of(self.directory):
            return self.function(*args, **kwargs)


class Whereabouts:
    """Where this process is, and where it returns to when no call wants it to be elsewhere."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._visits = 0
        self._home = ""

    def of(self, directory: str) -> Visit:
        """Return the context in which this process is in a directory."""
        return Visit(self, directory)

    def go(self, directory: str) -> None:
        """Begin a visit."""
        with self._lock:
            here = _directory()
            # Only who comes first finds the process at home; others find it where the first one went.
            if not self._visits:
                self._home = here
            # Counted: threads of one worker come and go in any order.
            self._visits += 1
            if here != directory:
                _change(directory)

    def leave(self) -> None:
        """End a visit."""
        with self._lock:
            # Only the last one returns: others may still be at work where they are.
            self._visits -= 1
            if not self._visits:
                _change(self._home)


class Visit:
    """A context in which a process is in a directory."""

    __slots__ = ("directory", "place")

    def __init__(self, place: Whereabouts, directory: str) -> None:
        self.place = place
        self.directory = directory

    def __enter__(self) -> None:
        self.place.go(self.directory)

    def __exit__(self, *error: object) -> None:
        self.place.leave()


PLACE: Final = Whereabouts()


def _directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return ""


def _change(directory: str) -> None:
    try:
        os.chdir(directory)
    except OSError:  # another host, another user, or it was removed
        pass
