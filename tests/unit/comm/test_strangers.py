from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from himalia import Client
from himalia.comm.handshake import Greeting, ListenerHandshake, Refused
from himalia.comm.security import Credentials
from himalia.comm.strangers import describe
from himalia.errors import UsageError
from himalia.names import PeerId

# what distributed 2026.8 says first, in both directions
DASK = (
    b":\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00*\x00\x00\x00\x00\x00\x00\x00"
    b"\x83\xabcompression\xc0\xa6python\x93\x03\x0b\x07\xafpickle-protocol\x05"
)


@pytest.mark.parametrize(
    ("said", "word"),
    [
        (DASK, "dask.distributed.Client"),
        (b"GET /status HTTP/1.1\r\nHost: x\r\n", "HTTP"),
        (b"HTTP/1.1 400 Bad Request\r\n", "web server"),
        (b"SSH-2.0-OpenSSH_9.2p1", "SSH server"),
        (b"", ""),
        (b"HMLA", ""),
        (bytes(range(256)) * 10, ""),
    ],
)
def test_who_speaks_is_told_by_the_first_bytes(said: bytes, word: str) -> None:
    assert word in describe(said)
    assert bool(word) == bool(describe(said))


@pytest.mark.parametrize(("said", "word"), [(DASK, "dask.distributed"), (b"GET / HTTP/1.0\r\n\r\n", "HTTP")])
def test_a_listener_says_who_came_to_the_wrong_door(said: bytes, word: str) -> None:
    greeting = Greeting(role="scheduler", incarnation=PeerId("scheduler-1"))
    handshake = ListenerHandshake(greeting, Credentials("cluster", b"s" * 32), ["client"], "10.0.0.1:5")
    with pytest.raises(Refused, match=word):
        handshake.receive(said)


@pytest.fixture
def dask() -> Iterator[str]:
    """A listener that begins as a Dask scheduler does."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(DASK)
                connection.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        thread.join(10)


def test_a_client_at_the_address_of_a_dask_cluster_is_told_so(dask: str) -> None:
    with pytest.raises(UsageError, match=r"No himalia cluster is at tcp://127.0.0.1:\d+: dask.distributed"):
        Client(dask)
