"""What a worker process and its nanny share: inherited file descriptors, a page of slots, and the start configuration.

``queue``
    One pair of datagram sockets per host.  The nanny writes runs, every thread of every worker reads: the kernel gives
    each datagram to exactly one, in order.
``lane``
    One pair per worker with several threads: runs that the nanny gives to this worker because it does nothing and
    another one would be as quick to take them, although it computes.  All threads of the worker read it.
``channel``
    One pair per worker, both ways.  Down: control messages, and runs for this worker only.  Up: everything.  Datagrams
    are atomic, so any thread may send without a lock.
``slots``
    Shared memory.  Page 0 is the table of recalled runs, page ``1 + index`` is the worker's: per thread the number of
    the run that it executes, written before a user's byte is touched, zero after the answer was sent.
"""

from __future__ import annotations

import mmap
import os
import socket
import sys
import tempfile
from typing import Final

import msgspec

LINE: Final = 2000
"""Characters of a line of output that are kept, whichever way it takes."""
BUFFER: Final = 4 * 1024 * 1024
"""Bytes that a socket shall buffer; the system may allow less (212,992 by default), which is enough."""
KIND: Final = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM
"""Both keep the borders of datagrams; macOS has no SEQPACKET for Unix sockets, and so no end-of-file either."""

PAGE: Final = mmap.PAGESIZE
ENTRIES: Final = PAGE // 8
"""Numbers of 8 bytes in a page: the most threads of a worker."""
RECALLS: Final = ENTRIES - 1
"""Runs in the table of recalled ones; entry 0 of its page says how many there are."""
WORKERS: Final = 1024
"""Workers of one host at most; unused pages cost nothing."""


class WorkerConfig(msgspec.Struct, kw_only=True):
    """The one line of JSON that a worker reads from its standard input."""

    name: str
    index: int
    nthreads: int
    queue: int
    channel: int
    slots: int
    arena: str
    lane: int = -1
    """-1: there is none."""
    cwd: str = ""
    sys_path: list[str] | None = None
    """The creator's ``sys.path``; ``None``: keep our own."""
    inline_limit: int = 32 * 1024
    copy_limit: int = 256 * 1024
    nursery: int = 8 * 1024 * 1024
    function_cache: int = 1000
    output_rate: int = 200


class TemplateConfig(msgspec.Struct, kw_only=True):
    """The one line of JSON that a template reads from its standard input."""

    control: int = -1
    sys_path: list[str] | None = None
    """As in :class:`WorkerConfig`."""
    preload: list[str] = []
    """Modules to import first."""


class Forked(msgspec.Struct):
    """What a template says, once when it is ready and then in answer to each :class:`WorkerConfig`."""

    index: int
    pid: int = 0
    """0: it didn't fork."""
    error: str = ""


FORK_LIMIT: Final = 1024 * 1024
"""Bytes of a request for a fork: a worker's configuration, of which the path is the longest part."""
MOST_FDS: Final = 5
"""Descriptors of a request: output, queue, channel, slots, lane."""


def control_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets that keep the borders of messages."""
    return socket.socketpair(socket.AF_UNIX, KIND)


def datagram_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected datagram sockets with generous buffers."""
    pair = socket.socketpair(socket.AF_UNIX, KIND)
    for end in pair:
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            try:
                end.setsockopt(socket.SOL_SOCKET, option, BUFFER)
            except OSError:  # macOS refuses what Linux cuts down
                pass
    return pair


def create_slots() -> int:
    """A file descriptor of zeroed memory for the slots of a host."""
    if hasattr(os, "memfd_create"):
        # No name, so nothing is left behind; zeroed by the kernel, and zero means that nothing runs.
        fd = os.memfd_create("himalia-slots", os.MFD_CLOEXEC)
    else:
        # macOS has no anonymous files; one that lost its name is as good.
        fd, path = tempfile.mkstemp(prefix="himalia-slots-")
        os.unlink(path)
    os.ftruncate(fd, (1 + WORKERS) * PAGE)
    return fd


def map_slots(fd: int) -> memoryview:
    """The slots as numbers of 8 bytes; page ``p`` starts at ``p * ENTRIES``."""
    return memoryview(mmap.mmap(fd, (1 + WORKERS) * PAGE)).cast("Q")
