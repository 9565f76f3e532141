"""What something that isn't himalia is, by the first bytes that it says.  Pure; nothing of it is decoded.

People take one address for another: that of a Dask cluster, of a dashboard, of a machine's SSH server.  Whoever hears
them says what they reached, and where they may have wanted to go.
"""

from __future__ import annotations

from typing import Final

DASK: Final = b"pickle-protocol"
"""Both sides of ``distributed`` begin with a frame that says what they can do, this among it."""
REQUESTS: Final = (b"GET ", b"POST", b"HEAD", b"PUT ", b"OPTI", b"DELE", b"PATC", b"CONN")
LISTENED: Final = 512
"""Bytes that are looked at."""


def describe(said: bytes) -> str:
    """Who says these bytes first, and what to do about it; empty if that isn't known."""
    # Anywhere: in its frame it stands behind lengths and other words.
    if DASK in said:
        return (
            "dask.distributed speaks there, and a Dask cluster and a himalia cluster don't understand each other: use "
            "dask.distributed.Client for the one, himalia.Client for the other"
        )
    if said.startswith(REQUESTS):
        return "it speaks HTTP: this is no web page; the dashboard has an address of its own (himalia dashboard)"
    if said.startswith(b"HTTP/"):
        return "a web server is there, maybe a dashboard; the scheduler has another port"
    if said.startswith(b"SSH-"):
        return "an SSH server is there; the scheduler has another port"
    return ""
