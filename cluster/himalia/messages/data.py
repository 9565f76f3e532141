"""The data plane (``comm/data``): client or nanny → nanny, and back."""

from __future__ import annotations

from himalia.bounds import Blob, Count, Many, ManyOf, Serial, Text
from himalia.messages.parts import Message
from himalia.messages.worker import Place
from himalia.names import Key


class GetData(Message, tag=140):
    """Ask for results.  ``map``: their ranges, to be mapped by a process of the same machine; else their bytes.

    Each is named by key and attempt: a key alone may mean something else by now; see :func:`names.is_good_for`.
    """

    request: Count
    data: Many[tuple[Key, Serial]]
    # Only between processes of one machine and user, which can open the arena.
    map: bool = False


class DataFollows(Message, tag=141):
    """One of the asked-for results: inline, as a range to map, or as ``sizes`` raw bytes right after this message."""

    # Also where nothing is found: whoever asked counts answers, and would wait for this one.
    request: Count
    key: Key
    # Perhaps a later one than was asked for; see is_good_for().
    attempt: Serial
    found: bool
    place: Place | None = None
    """For ``map``, or inline if small.  ``None`` with ``found``: raw bytes of ``sizes`` follow."""
    sizes: ManyOf[Count] = ()


class PutData(Message, tag=142):
    """Store a value: inline, or raw bytes of ``sizes`` that follow, or (``map``) written into a granted range."""

    request: Count
    key: Key
    inline: Blob | None = None
    sizes: ManyOf[Count] = ()
    map: bool = False
    attempt: Serial = 0
    """As in :class:`DataPlaced`: which placing of the key this is, so that a late FreeData can't hit a newer one."""


# Two steps where it is written by the client itself: a range has to be its own before, and adopted after.
class PutGranted(Message, tag=143):
    """Write the frames at ``offset`` of the arena, then send :class:`PutDone`."""

    request: Count
    offset: Count
    error: Text = ""


class PutDone(Message, tag=144):
    """The frames are written."""

    request: Count


class PutStored(Message, tag=145):
    """The value is in the store."""

    request: Count
    nbytes: Count
    error: Text = ""


class UnmapData(Message, tag=146):
    """The peer's mappings of these ranges' offsets are gone, one entry for each mapping."""

    # Counted: the same range may be mapped twice by one process, and is kept until the last is gone.
    offsets: Many[Count]


DataRequest = GetData | PutData | PutDone | UnmapData
DataReply = DataFollows | PutGranted | PutStored
