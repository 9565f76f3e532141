"""What an address looks like: ``unix:///path``, ``tcp://host:port``, ``tls://host:port``.

A bare ``host:port`` means plain TCP on loopback and TLS anywhere else.  This module reads and writes text; it never
resolves a name.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from himalia.errors import UsageError

UNIX_PATH_LIMIT: Final = 104
"""Bytes of a Unix socket's path, its final zero included: ``sun_path`` of macOS (Linux has 108)."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where something listens; ``str()`` gives the text form."""

    scheme: str
    """``unix``, ``tcp`` or ``tls``."""
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only processes of this host can be there."""
        return self.scheme == "unix" or _is_loopback_host(self.host)


def parse(text: str) -> Address:
    """Read an address.

    Raises
    ------
    UsageError
        If it isn't one; the text says what one looks like.
    """
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        host, port = _split_host(text.strip(), text)
        # What people type. Plain TCP is never meant beyond this host, for nothing would listen there.
        return Address("tcp" if _is_loopback_host(host) else "tls", host, port)
    if scheme == "unix":
        return Address("unix", path=_checked_path(rest, text))
    if scheme not in ("tcp", "tls"):
        raise _unreadable(text, f"{scheme}:// is none of unix://, tcp://, tls://")
    host, port = _split_host(rest, text)
    return Address(scheme, host, port)


def is_loopback(text: str) -> bool:
    """Whether only processes of this host can be at that address."""
    return parse(text).is_loopback


def _checked_path(path: str, text: str) -> str:
    if not path.startswith("/"):
        raise _unreadable(text, "the path of a Unix socket must be absolute, as in unix:///run/x.sock")
    # Bytes, not characters; the kernel's own error would name neither the path nor the limit.
    if len(path.encode()) >= UNIX_PATH_LIMIT:
        raise _unreadable(text, f"the path of a Unix socket must be shorter than {UNIX_PATH_LIMIT} bytes")
    return path


def _split_host(rest: str, text: str) -> tuple[str, int]:
    """Host and port of ``host:port`` or ``[v6]:port``."""
    host, separator, port = rest.rstrip("/").rpartition(":")
    if not separator or not host:
        raise _unreadable(text, "it needs a host and a port")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise _unreadable(text, "an IPv6 address is written in brackets, as in tcp://[::1]:8786")
    # isdigit() alone is true of "²", which int() can't read.
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise _unreadable(text, f"{port!r} is no port number")
    return host, int(port)


def _is_loopback_host(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        # Without the interface, as in fe80::1%eth0.
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _unreadable(text: str, why: str) -> UsageError:
    return UsageError(
        f"{text!r} is no address: {why}. Write host:port, tcp://host:port, tls://host:port or unix:///path."
    )
