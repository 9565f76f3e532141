"""Where a result is on disk, and how it is known to be what was written."""

from __future__ import annotations

import msgspec


# gc=False: it refers to nothing, and the collector needn't look at each.
class Extent(msgspec.Struct, gc=False):
    """A place in the file; ``crc`` covers the ``nbytes`` written there, in order."""

    offset: int
    nbytes: int
    length: int
    crc: int = 0
    written: int = 0
    readers: int = 0
    """Transfers that read from it right now."""
    is_released: bool = False
    """Given up; its place is free once nobody reads from it."""


class DamagedExtentError(Exception):
    """What is on disk isn't what was written, or can't be read."""
