"""Where a nanny's workers begin and import from: what its creator said of paths, as paths that mean the same anywhere.

Whoever starts a nanny says ``sys.path`` as it is there, relative folders and odd names included.  Decides what becomes
of those, and of a nanny that was told nothing: then its own directory counts.
"""

from __future__ import annotations

import os

import msgspec

from himalia.errors import StartError
from himalia.nanny.config import NannyConfig


def resolve(config: NannyConfig) -> NannyConfig:
    """Return the same configuration with absolute paths that a message can carry.

    A folder whose name is no UTF-8 can't be told to anybody: the workers begin in ``/`` instead of it, and calls go
    where their client is (note 0008).

    Raises
    ------
    StartError
        If no directory was given, and that of this process is gone.
    """
    cwd = config.cwd or working_directory()
    folders = None
    if config.sys_path is not None:
        folders = [
            path for path in (os.path.abspath(os.path.join(cwd, name)) for name in config.sys_path) if is_text(path)
        ]
    local = config.local_directory
    return msgspec.structs.replace(
        config,
        cwd=cwd if is_text(cwd) else os.sep,
        sys_path=folders,
        local_directory=os.path.abspath(os.path.expanduser(local)) if local else "",
    )


def working_directory() -> str:
    """Return where this process is."""
    try:
        return os.getcwd()
    except OSError:
        raise StartError("The current directory was removed; change into one that exists, then start again.") from None


def is_text(path: str) -> bool:
    """Return whether a path can be written into a message: its name may be bytes that are no UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
