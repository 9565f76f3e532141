"""The dashboard's port: a crowd that says nothing, or half a request, keeps no browser out."""

from __future__ import annotations

import asyncio
import socket

import pytest
from tornado.httputil import HTTPServerRequest, ResponseStartLine

from himalia_widgets.dashboard.server import MAX_STRANGERS, BoundedServer
from tests.waiting import until


def is_cut(sock: socket.socket) -> bool:
    """Whether the other side closed it."""
    try:
        return sock.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize("words", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX: "], ids=["silent", "slow"])
def test_a_crowd_keeps_no_browser_out(words: bytes) -> None:
    async def main() -> None:
        def answer(request: HTTPServerRequest) -> None:
            door.let_in(request)
            assert request.connection is not None
            request.connection.write_headers(ResponseStartLine("HTTP/1.1", 200, "OK"), request.headers, b"")
            request.connection.finish()

        door = BoundedServer(answer)
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        listener.setblocking(False)
        door.add_socket(listener)
        crowd = [socket.create_connection(listener.getsockname()) for _ in range(MAX_STRANGERS + 100)]
        for sock in crowd:
            sock.send(words)
            sock.setblocking(False)
        await until(lambda: sum(map(is_cut, crowd)) >= 100)
        assert len(door.crowd) <= MAX_STRANGERS
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        for _ in range(2):  # the second request of a connection that is no stranger any more
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 200")
        writer.close()
        door.stop()
        await door.close_all_connections()
        listener.close()
        for sock in crowd:
            sock.close()

    asyncio.run(main())
