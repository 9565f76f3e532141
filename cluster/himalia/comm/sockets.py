"""Sockets and transports as both sides of a connection treat them: options, the peer's uid, binding, reasons in words.

What is said over them is none of its business.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
import struct
import sys
from typing import Final

_TCP_OPTIONS: Final = {
    "TCP_KEEPIDLE": 5, "TCP_KEEPALIVE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 5, "TCP_USER_TIMEOUT": 15000
}  # fmt: skip
"""A host that vanished is noticed after about 15 s (the last is ms).  TCP_KEEPALIVE is macOS's name of TCP_KEEPIDLE."""


def hand_over(transport: asyncio.Transport, protocol: asyncio.BaseProtocol, leftover: bytes) -> None:
    """Put ``protocol`` on an open transport, and give it what was read before its time."""
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    # The protocol may have closed it at once.
    if not leftover or transport.is_closing():
        return
    if not isinstance(protocol, asyncio.BufferedProtocol):
        assert isinstance(protocol, asyncio.Protocol)
        protocol.data_received(leftover)
        return
    view = memoryview(leftover)
    while view and not transport.is_closing():
        buffer = memoryview(protocol.get_buffer(len(view))).cast("B")
        size = min(len(buffer), len(view))
        buffer[:size] = view[:size]
        protocol.buffer_updated(size)
        view = view[size:]


def tune(transport: asyncio.Transport) -> None:
    """Send small frames at once, and notice a host that vanished without a word."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family == socket.AF_UNIX:
        return
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in _TCP_OPTIONS.items():
        # Each system has some of them.
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    for option in options:
        with contextlib.suppress(OSError):
            sock.setsockopt(*option)


def foreign_uid(sock: socket.socket | None) -> str | None:
    """Why the peer of a Unix socket is not to be talked to, if so."""
    if sock is None or sock.family != socket.AF_UNIX:
        return None
    try:
        uid = peer_uid(sock.fileno())
    except OSError as error:
        return f"the system doesn't tell whose process is at the other end: {error}"
    return None if uid == os.geteuid() else f"a process of user {uid} is at the other end, this is user {os.geteuid()}"


def peer_uid(fileno: int) -> int:
    """Return the uid of the process at the other end of a connected Unix socket.

    Raises
    ------
    OSError
        If the system doesn't say; such a peer is not to be trusted.
    """
    # A copy of the descriptor, for this object closes the one that it has.
    with socket.socket(fileno=os.dup(fileno)) as sock:
        if sys.platform == "linux":
            credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
            return int(struct.unpack("iII", credentials)[1])
        # struct xucred of macOS and the BSDs: version, uid, …; SOL_LOCAL is 0 and LOCAL_PEERCRED is 1 there
        return int(struct.unpack_from("II", sock.getsockopt(0, 1, 76))[1])


def bind_unix(path: str) -> socket.socket:
    """A socket bound to ``path``, for the own user only; a file that nobody listens at any more is replaced."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        sock.bind(path)
        # Who connects before this is refused all the same: each connection's uid is looked at.
        os.chmod(path, 0o600)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _remove_stale(path: str) -> None:
    """Remove the socket file of a listener that is gone; anything else stays, and ``bind`` will complain."""
    try:
        # Somebody's file: not ours to remove.
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            # The only way to know: the file stays when its process is killed.
            probe.connect(path)
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        os.unlink(path)
    except BlockingIOError:  # somebody listens and is busy
        return


def reason_of(error: BaseException) -> str:
    """What went wrong in a few words."""
    # Those of asyncio have no text; those of the system say ETIMEDOUT.
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer"
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return "the address is in use; stop what listens there, or choose another port"
    if isinstance(error, socket.gaierror):
        return f"the host name can't be resolved ({error.strerror})"
    if isinstance(number, int) and number > 0:
        return os.strerror(number).lower()
    return str(error) or type(error).__name__
