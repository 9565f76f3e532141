"""Browsers that stand still while the dashboard has much to show: little is sent to them, then they are left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import time
from typing import Any

import pytest

pytest.importorskip("bokeh", reason="the dashboard needs bokeh: pip install 'himalia[jupyter]'")

from tornado.simple_httpclient import SimpleAsyncHTTPClient

from himalia.registry.dashboard_key import COOKIE_SECONDS, mint, new_key
from himalia_widgets.dashboard import attendance, documents, server
from himalia_widgets.dashboard.guard import Guard
from himalia_widgets.view.history import History
from tests.unit.widgets import synthetic
from tests.unit.widgets.dashboard.test_pages import told
from tests.waiting import PATIENCE

PAGE = "status"
UPGRADE = (
    "GET /{page}/ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nCookie: {cookie}\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://{host}\r\n"
    "Sec-WebSocket-Protocol: bokeh, {token}\r\n\r\n"
)


def say_ready(drawn: attendance.Drawn) -> bytes:
    """Return what a page sends when its document is ready, as frames whose mask is 0."""
    seen = {"type": "map", "entries": [["seen", drawn.source.tags]]}
    change = {"kind": "ModelChanged", "model": {"id": drawn.source.id}, "attr": "data", "new": seen}
    parts = [{"msgid": "1", "msgtype": "PATCH-DOC"}, {}, {"events": [change]}]
    texts = [json.dumps(part).encode() for part in parts]
    return b"".join(b"\x81\xfe" + len(text).to_bytes(2, "big") + bytes(4) + text for text in texts)


@pytest.mark.parametrize("through_proxy", [False, True], ids=["stopped", "stopped-behind-a-proxy-that-reads"])
def test_a_page_that_answers_nothing_is_sent_a_drawing_and_then_left(
    through_proxy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy takes whatever comes for a browser that reads nothing, and keeps it."""
    monkeypatch.setattr(documents, "LOOK", 20)
    monkeypatch.setattr(server, "LOOK", 0.1)
    monkeypatch.setattr(attendance, "LOOKS", 20)
    made: list[attendance.Drawn] = []

    def make() -> attendance.Drawn:
        made.append(attendance.Drawn())
        return made[-1]

    monkeypatch.setattr(documents, "Drawn", make)
    lost = asyncio.Event()
    leave = server.DashboardApplication.client_lost

    def client_lost(self: Any, connection: Any) -> None:
        leave(self, connection)
        lost.set()

    monkeypatch.setattr(server.DashboardApplication, "client_lost", client_lost)

    async def main() -> None:
        cluster = synthetic.MadeUpCluster(duration=0.05)
        followed = told(History())
        followed.history.take_info(cluster.info())
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # so that the kernel takes no whole drawing
        host, stop, key = "{}:{}".format(*listener.getsockname()), asyncio.Event(), new_key()
        guard = Guard(key, "lab")
        cookie = f"{guard.cookie}={mint(key, f'cookie {host}', now=time.time(), seconds=COOKIE_SECONDS)}"

        async def work() -> None:
            while True:
                followed.history.take(cluster.step(3.0, full=True), now=cluster.now)
                await asyncio.sleep(0.1)

        tasks = [asyncio.ensure_future(server.serve(followed, listener, guard, stop)), asyncio.ensure_future(work())]
        client = SimpleAsyncHTTPClient(force_instance=True)
        answer = await client.fetch(f"http://{host}/{PAGE}", headers={"Cookie": cookie})
        client.close()
        found = re.search(r'"token":"([^"]+)"', answer.body.decode())
        assert found is not None
        with socket.socket() as browser:
            browser.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            browser.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(browser, listener.getsockname())
            upgrade = UPGRADE.format(page=PAGE, host=host, cookie=cookie, token=found[1])
            await loop.sock_sendall(browser, upgrade.encode())
            sent = bytearray(await loop.sock_recv(browser, 2**16))
            await loop.sock_sendall(browser, say_ready(made[-1]))

            async def read() -> None:
                with contextlib.suppress(ConnectionError):
                    while data := await loop.sock_recv(browser, 2**16):
                        sent.extend(data)

            reading = asyncio.ensure_future(read()) if through_proxy else None
            await asyncio.wait_for(lost.wait(), PATIENCE)
            await (reading or read())
        stop.set()
        tasks[1].cancel()
        await asyncio.wait(tasks)
        counts = re.findall(rb'"attr":"tags","new":\[(\d+)\]', sent)
        if through_proxy:
            assert len(counts) == 1, "drawings that nobody answered"
            assert attendance.REASON.encode() in sent[-200:]

    asyncio.run(main())
