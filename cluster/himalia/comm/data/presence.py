"""Whether a reader of the arena still maps any of it, as the kernel knows it.

A connection may end while its process lives on with arrays that view the arena (a closed client whose user keeps a
result).  Reusing a range then would change those arrays.  So each reader holds a lock on one byte of the arena, far
beyond its end, through the file description that its mappings were made from: the kernel keeps that lock until the last
mapping is gone, or the process, and no ``kill -9`` leaves it behind.

This file decides which byte is whose and asks the kernel; what follows from the answer is the caller's decision.
"""

from __future__ import annotations

import fcntl
import hashlib
import struct
from typing import Final

_FLOCK: Final = "hhqqi"
"""``struct flock`` of Linux: type, whence, start, length, pid."""
_FIRST: Final = 1 << 61
"""First byte used for locks; no arena is that large."""


def announce(file: int, reader: str) -> bool:
    """Take ``reader``'s lock through an open arena; ``False`` where the system has no such locks (macOS)."""
    if not hasattr(fcntl, "F_OFD_SETLK"):
        return False
    try:
        # A lock for reading, which a descriptor that is open for reading may take; the question below is for writing,
        # which any of these excludes.
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, _lock(fcntl.F_RDLCK, reader))
    except OSError:
        return False
    return True


def is_present(file: int, reader: str) -> bool:
    """Whether some process still has an arena open, or mapped, on which it announced ``reader``."""
    # Then a client counts as gone once it disconnects, and arrays that it keeps may change (macOS).
    if not hasattr(fcntl, "F_OFD_GETLK"):
        return False
    try:
        answer = fcntl.fcntl(file, fcntl.F_OFD_GETLK, _lock(fcntl.F_WRLCK, reader))
    except OSError:
        return False
    kind: int = struct.unpack(_FLOCK, answer)[0]
    return kind != fcntl.F_UNLCK


def _lock(kind: int, reader: str) -> bytes:
    digest = hashlib.blake2b(reader.encode(), digest_size=7).digest()
    # Seven bytes of hash, so that no offset reaches 2^63. The pid has to be 0 for locks of this kind (fcntl(2)).
    return struct.pack(_FLOCK, kind, 0, _FIRST + int.from_bytes(digest), 1, 0)
