"""Opening and accepting: who is let in, who is told what, and what strangers get."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import logging
import os
import resource
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

import pytest

from himalia.comm import connection, listening, sockets
from himalia.comm.connection import Acceptance, Greeting, Listener, Peer, listen_authenticated, open_authenticated
from himalia.comm.crowd import MAX_PER_ADDRESS
from himalia.comm.security import Credentials, ServerCertificate, make_certificate, new_credentials
from himalia.comm.tls import client_context, server_context
from himalia.errors import HandshakeError, StartError, UnreachableError, UsageError
from himalia.names import PeerId
from tests.unit.comm.stage import CREDENTIALS, LOOP_NAMES, LOOPS, Loop, run
from tests.waiting import until

DIALER = Greeting(role="data-client", incarnation=PeerId("client-1"))
LISTENER = Greeting(role="nanny", incarnation=PeerId("nanny-1"))


class Plain(asyncio.Protocol):
    """A protocol that remembers, and greets with what it is given."""

    def __init__(self, peer: Peer | None = None, greeting: bytes = b"") -> None:
        self.peer = peer
        self.greeting = greeting
        self.got = b""
        self.ended = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self.greeting:
            self.transport.write(self.greeting)

    def data_received(self, data: bytes) -> None:
        self.got += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True


class Buffered(asyncio.BufferedProtocol):
    """The same with a small buffer of its own."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.buffer = bytearray(1000)
        self.got = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.got += self.buffer[:nbytes]


class Door:
    """A listener with the protocols it let in."""

    def __init__(self, *, greeting: bytes = b"", credentials: Credentials = CREDENTIALS) -> None:
        self.inside: list[Plain] = []
        self.greeting = greeting
        self.credentials = credentials
        self.listener: Listener | None = None

    async def open(self, address: str, certificate: ServerCertificate | None = None) -> str:
        self.listener = await listen_authenticated(
            address,
            greeting=LISTENER,
            credentials=self.credentials,
            roles=("data-client", "data-nanny"),
            accept=self.accept,
            certificate=certificate,
        )
        return self.listener.address

    def accept(self, peer: Peer) -> Acceptance:
        self.inside.append(Plain(peer, self.greeting))
        return Acceptance(self.inside[-1])

    async def close(self) -> None:
        assert self.listener is not None
        self.listener.close()
        for protocol in self.inside:
            if protocol.transport is not None:
                protocol.transport.abort()
        await until(lambda: all(protocol.ended for protocol in self.inside))


async def knock(
    address: str,
    credentials: Credentials = CREDENTIALS,
    *,
    timeout: float = 2.0,
    retry: bool = False,
    fingerprint: str | None = None,
) -> Plain:
    _, protocol, _ = await open_authenticated(
        address,
        greeting=DIALER,
        credentials=credentials,
        roles=("nanny",),
        protocol_factory=Plain,
        timeout=timeout,
        retry=retry,
        fingerprint=fingerprint,
    )
    return protocol


def url(scheme: str, tmp_path: Path) -> str:
    return f"unix://{tmp_path}/s" if scheme == "unix" else f"{scheme}://127.0.0.1:0"


@pytest.mark.parametrize("loop", LOOPS, ids=LOOP_NAMES)
@pytest.mark.parametrize("scheme", ["unix", "tcp", "tls"])
def test_a_protocol_with_its_own_buffer_gets_every_byte(scheme: str, loop: Loop, tmp_path: Path) -> None:
    async def main() -> None:
        door = Door(greeting=bytes(range(256)) * 100)
        address = await door.open(url(scheme, tmp_path), make_certificate())
        transport, protocol, peer = await open_authenticated(
            address,
            greeting=DIALER,
            credentials=CREDENTIALS,
            roles=("nanny",),
            protocol_factory=Buffered,
            timeout=2.0,
        )
        assert (peer.role, peer.incarnation) == ("nanny", "nanny-1")
        await until(lambda: len(protocol.got) == 25_600)
        assert protocol.got == door.greeting
        (inside,) = door.inside
        assert inside.peer is not None
        assert (inside.peer.role, inside.peer.incarnation) == ("data-client", "client-1")
        transport.write(b"x" * 1_000_000)
        await until(lambda: len(inside.got) == 1_000_000)
        assert inside.transport is not None
        inside.transport.write(b"y" * 100_000)
        await until(lambda: len(protocol.got) == 125_600)
        transport.abort()
        await door.close()

    run(main(), loop)


def test_nobody_there_is_said_with_the_address_the_time_and_the_reason(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(UnreachableError, match=r"nobody answered at unix://.*/s within 0.2 s: no such file"):
            await knock(f"unix://{tmp_path}/s", timeout=0.2, retry=True)
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            address = f"tcp://127.0.0.1:{sock.getsockname()[1]}"
        start = asyncio.get_running_loop().time()
        with pytest.raises(UnreachableError, match="within 5 s: connection refused"):
            await knock(address, timeout=5.0)
        assert asyncio.get_running_loop().time() - start < 1.0  # retry=False

    run(main())


def test_a_dialer_waits_for_a_listener_that_starts_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[object] = []
    dial = connection._dial

    async def count(*args: Any) -> Any:
        tries.append(args)
        return await dial(*args)

    monkeypatch.setattr(connection, "_dial", count)

    async def main() -> None:
        door = Door()
        waiting = asyncio.ensure_future(knock(f"unix://{tmp_path}/s", retry=True, timeout=5.0))
        await until(lambda: len(tries) >= 3)
        await door.open(f"unix://{tmp_path}/s")
        protocol = await waiting
        assert protocol.transport is not None
        protocol.transport.abort()
        await door.close()

    run(main())


@pytest.mark.parametrize("loop", LOOPS, ids=LOOP_NAMES)
def test_a_wrong_secret_is_refused_at_once_on_both_sides(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        door = Door()
        address = await door.open("tcp://127.0.0.1:0")
        wrong = dataclasses.replace(CREDENTIALS, secret=b"wrong" * 8)
        with pytest.raises(HandshakeError, match=r"has another secret.*--cluster-file or HIMALIA_CLUSTER_FILE"):
            await knock(address, wrong, retry=True)
        await until(lambda: "has another secret" in caplog.text)
        assert door.inside == []
        await door.close()

    run(main(), loop)
    for secret in (CREDENTIALS.secret, b"wrong" * 8):
        assert secret.hex() not in caplog.text
        assert repr(secret) not in caplog.text


def test_another_cluster_at_that_port_is_refused() -> None:
    async def main() -> None:
        door = Door(credentials=new_credentials())
        address = await door.open("tcp://127.0.0.1:0")
        with pytest.raises(HandshakeError, match=r"wrong cluster: one side is of .*, the other of c1"):
            await knock(address)
        await door.close()

    run(main())


def test_the_owner_s_refusal_reaches_the_dialer() -> None:
    def refuse(peer: Peer) -> Acceptance:
        raise HandshakeError(f"{peer.incarnation} is not wanted")

    async def main() -> None:
        listener = await listen_authenticated(
            "tcp://127.0.0.1:0", greeting=LISTENER, credentials=CREDENTIALS, roles=("data-client",), accept=refuse
        )
        with pytest.raises(HandshakeError, match="refused: client-1 is not wanted"):
            await knock(listener.address)
        listener.close()

    run(main())


class Impostor(asyncio.Protocol):
    """Something else that listens."""

    def __init__(self, answer: bytes, *, hang: bool = False) -> None:
        self.answer = answer
        self.hang = hang
        self.open: set[asyncio.Transport] = set()
        self.server: asyncio.Server | None = None

    async def start(self) -> str:
        self.server = await asyncio.get_running_loop().create_server(lambda: self, "127.0.0.1", 0)
        return f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.open.add(self.transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(self.answer)
        if not self.hang:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open.discard(self.transport)

    async def stop(self) -> None:
        assert self.server is not None
        self.server.close()
        await until(lambda: not self.open)


@pytest.mark.parametrize("loop", LOOPS, ids=LOOP_NAMES)
def test_something_else_at_that_port_is_recognised(loop: Loop) -> None:
    async def main() -> None:
        web = Impostor(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        where = await web.start()
        with pytest.raises(HandshakeError, match=rf"something else than himalia is at tcp://{where}"):
            await knock(f"tcp://{where}", retry=True)
        with pytest.raises(HandshakeError, match="does not speak TLS"):
            await knock(f"tls://{where}", retry=True)
        await web.stop()
        mute = Impostor(b"")
        with pytest.raises(UnreachableError, match="closed the connection during the handshake"):
            await knock(f"tcp://{await mute.start()}")
        await mute.stop()
        deaf = Impostor(b"", hang=True)
        with pytest.raises(UnreachableError, match=r"within 0.2 s: no answer"):
            await knock(f"tcp://{await deaf.start()}", timeout=0.2)
        await deaf.stop()

    run(main(), loop)


@pytest.mark.parametrize("loop", LOOPS, ids=LOOP_NAMES)
def test_plain_and_tls_that_meet_are_told_apart(loop: Loop) -> None:
    async def main() -> None:
        plain, safe = Door(), Door()
        address = await plain.open("tcp://127.0.0.1:0")
        with pytest.raises(HandshakeError, match="does not speak TLS"):
            await knock(address.replace("tcp", "tls"))
        address = await safe.open("tls://127.0.0.1:0", make_certificate())
        with pytest.raises((HandshakeError, UnreachableError)):
            await knock(address.replace("tls", "tcp"))
        assert plain.inside == safe.inside == []
        await plain.close()
        await safe.close()

    run(main(), loop)


@pytest.mark.parametrize("loop", LOOPS, ids=LOOP_NAMES)
def test_another_certificate_than_the_pinned_one_gets_no_word(loop: Loop) -> None:
    async def main() -> None:
        door = Door()
        certificate, other = make_certificate(), make_certificate()
        address = await door.open("tls://127.0.0.1:0", certificate)
        pinned = dataclasses.replace(CREDENTIALS, fingerprint=other.fingerprint)
        with pytest.raises(HandshakeError, match="another cluster listens there now, or somebody is in between"):
            await knock(address, pinned)
        assert door.inside == []
        (await knock(address, pinned, fingerprint=certificate.fingerprint)).transport.abort()  # type: ignore[union-attr]
        await door.close()

    run(main(), loop)


@pytest.mark.parametrize("loop", LOOPS, ids=LOOP_NAMES)
def test_somebody_in_between_is_noticed_even_without_a_pin(loop: Loop) -> None:
    """The proofs are bound to the certificate that the dialer saw."""

    async def main() -> None:
        door = Door()
        address = await door.open("tls://127.0.0.1:0", make_certificate())
        between = server_context(make_certificate())

        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            other_reader, other_writer = await asyncio.open_connection(
                "127.0.0.1", int(address.rpartition(":")[2]), ssl=client_context()
            )
            other_writer.write(await reader.read(4096))
            writer.write(await other_reader.read(4096))
            await reader.read(4096)
            for one in (writer, other_writer):
                one.transport.abort()

        server = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=between)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(HandshakeError, match="the listener has another secret"):
            await knock(f"tls://127.0.0.1:{port}")
        assert door.inside == []
        server.close()
        await door.close()

    run(main(), loop)


@pytest.mark.parametrize("scheme", ["unix", "tcp"])
@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\x00" * 100_000, b"HMLA\xff\xff"]
)
def test_garbage_before_the_handshake_is_closed_and_changes_nothing(
    scheme: str, garbage: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        door = Door()
        address = await door.open(url(scheme, tmp_path))
        for _ in range(20):
            if scheme == "unix":
                reader, writer = await asyncio.open_unix_connection(address[7:])
            else:
                reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
            writer.write(garbage)
            try:
                assert len(await reader.read()) < 200  # a refusal at most
            except ConnectionResetError:
                pass
            writer.transport.abort()
        assert door.inside == []
        protocol = await knock(address)
        protocol.transport.abort()  # type: ignore[union-attr]
        await door.close()

    with caplog.at_level(logging.WARNING, "himalia.comm"):
        run(main())
    assert len(caplog.records) == 1, "one line, not one for each"


def test_a_stranger_has_little_time(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(listening, "HANDSHAKE_TIMEOUT", 0.05)

    async def main() -> None:
        door = Door()
        address = await door.open("tcp://127.0.0.1:0")
        reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.transport.abort()
        await door.close()

    run(main())
    assert "no handshake within 0.05 s" in caplog.text


def strangers_at(address: str, count: int) -> list[socket.socket]:
    found = []
    for _ in range(count):
        found.append(socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 1))
        found[-1].setblocking(False)
    return found


def is_cut(sock: socket.socket) -> bool:
    """Whether the other side closed it; then this side does so too."""
    try:
        if sock.recv(4096) != b"":
            return False
    except BlockingIOError:
        return False
    except OSError:
        pass
    sock.close()
    return True


@pytest.mark.parametrize("loop", LOOPS, ids=LOOP_NAMES)
@pytest.mark.parametrize("scheme", ["tcp", "tls"])
@pytest.mark.parametrize("words", [b"", b"\x16\x03\x01", b"HMLA\x00"], ids=["silent", "tls", "himalia"])
def test_a_crowd_of_one_address_keeps_nobody_out(scheme: str, words: bytes, loop: Loop, tmp_path: Path) -> None:
    async def main() -> None:
        door = Door()
        address = await door.open(url(scheme, tmp_path), make_certificate())
        crowd = await asyncio.to_thread(strangers_at, address, 300)
        for sock in crowd:
            with contextlib.suppress(OSError):
                sock.send(words)
        assert door.listener is not None
        protocol = await knock(address, timeout=5.0)
        protocol.transport.abort()  # type: ignore[union-attr]
        await until(lambda: len(door.listener.crowd) <= MAX_PER_ADDRESS)  # type: ignore[union-attr]
        await until(lambda: sum(map(is_cut, crowd)) >= 200 if not words else True)
        for sock in crowd:
            sock.close()
        await until(lambda: len(door.listener.crowd) == 0)  # type: ignore[union-attr]
        await door.close()

    run(main(), loop)


@pytest.mark.parametrize("loop", LOOPS, ids=LOOP_NAMES)
def test_who_is_in_stays_in_and_is_heard_while_a_crowd_comes_back_at_once(loop: Loop) -> None:
    async def main() -> None:
        door = Door()
        address = await door.open("tcp://127.0.0.1:0")
        inside = await knock(address)
        ended = False

        def crowd() -> None:
            found: list[socket.socket] = []
            while not ended:
                found = [sock for sock in found if not is_cut(sock)]
                found += strangers_at(address, 200 - len(found))
            for sock in found:
                sock.close()

        running = asyncio.create_task(asyncio.to_thread(crowd))
        clock = asyncio.get_running_loop().time
        for _ in range(3):
            start = clock()
            protocol = await knock(address, timeout=8.0, retry=True)
            assert clock() - start < 8.0
            protocol.transport.abort()  # type: ignore[union-attr]
        inside.transport.write(b"still here")  # type: ignore[union-attr]
        await until(lambda: door.inside[0].got == b"still here")
        ended = True
        await running
        await door.close()

    run(main(), loop)


@pytest.mark.parametrize("loop", LOOPS, ids=LOOP_NAMES)
def test_no_stranger_gets_the_last_descriptors(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        door = Door()
        address = await door.open("tcp://127.0.0.1:0")
        probe = os.dup(0)
        os.close(probe)
        monkeypatch.setattr(resource, "getrlimit", lambda _: (probe + 50 + listening.RESERVE, 0))
        crowd = await asyncio.to_thread(strangers_at, address, 40)
        protocol = await knock(address, timeout=5.0, retry=True)
        protocol.transport.abort()  # type: ignore[union-attr]
        for sock in crowd:
            sock.close()
        await door.close()

    run(main(), loop)


@pytest.mark.parametrize("loop", LOOPS, ids=LOOP_NAMES)
def test_without_descriptors_the_door_waits_and_opens_again(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    accept = listening.Listener._accept_some

    def look(self: listening.Listener, sock: socket.socket) -> None:
        looks.append(asyncio.get_running_loop().time())
        accept(self, sock)

    monkeypatch.setattr(listening.Listener, "_accept_some", look)

    async def main() -> None:
        door = Door()
        address = await door.open("tcp://127.0.0.1:0")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        sock = socket.socket()
        sock.setblocking(False)
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            with contextlib.suppress(BlockingIOError):
                sock.connect(("127.0.0.1", int(address.rpartition(":")[2])))
            await until(lambda: len(looks) >= 3)
            for before, after in itertools.pairwise(looks):
                assert after - before > 0.9 * listening.FULL_PAUSE, "it spins"
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        protocol = await knock(address, timeout=5.0, retry=True)
        protocol.transport.abort()  # type: ignore[union-attr]
        sock.close()
        await door.close()

    run(main(), loop)


@pytest.mark.parametrize("side", ["dialer", "listener"])
def test_another_user_at_a_unix_socket_is_refused(
    side: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[int] = []

    def uid(fileno: int) -> int:
        """The listener asks second: its loop turn comes after the dialer's."""
        asked.append(fileno)
        return os.geteuid() + (1 if (len(asked) == 1) == (side == "dialer") else 0)

    monkeypatch.setattr(sockets, "peer_uid", uid)

    async def main() -> None:
        door = Door(credentials=Credentials("c1", b""))
        address = await door.open(f"unix://{tmp_path}/s")
        with pytest.raises((HandshakeError, UnreachableError)):
            await knock(address, Credentials("c1", b""))
        assert door.inside == []
        await door.close()

    run(main())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root, to run a process as another user")
def test_a_process_of_another_user_is_refused() -> None:
    script = """
import os, socket, sys
os.setuid(65534)
sock = socket.socket(socket.AF_UNIX)
sock.connect(sys.argv[1])
try:
    sys.exit(len(sock.recv(100)))
except ConnectionResetError:
    sys.exit(0)
"""

    async def main() -> None:
        door = Door()
        address = await door.open(f"unix://{directory}/s")
        Path(address[7:]).chmod(0o777)
        process = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script, address[7:]], check=False)
        assert process.returncode == 0
        assert door.inside == []
        await door.close()

    with tempfile.TemporaryDirectory(dir="/tmp") as directory:  # pytest's own is closed to others
        Path(directory).chmod(0o755)
        run(main())


def test_a_unix_socket_does_without_a_secret_and_nothing_else_does(tmp_path: Path) -> None:
    async def main() -> None:
        nothing = Credentials("c1", b"")
        door = Door(credentials=nothing)
        address = await door.open(f"unix://{tmp_path}/s")
        protocol = await knock(address, nothing)
        protocol.transport.abort()  # type: ignore[union-attr]
        await door.close()
        for other in ("tcp://127.0.0.1:0", "tls://127.0.0.1:0"):
            with pytest.raises(UsageError, match="needs the cluster's secret"):
                await Door(credentials=nothing).open(other, make_certificate())
            with pytest.raises(UsageError, match="needs the cluster's secret"):
                await knock(other, nothing)

    run(main())


def test_beyond_loopback_only_tls_is_spoken() -> None:
    async def main() -> None:
        with pytest.raises(UsageError, match=r"write tls://0\.0\.0\.0:0"):
            await Door().open("tcp://0.0.0.0:0")
        with pytest.raises(UsageError, match=r"write tls://10\.0\.0\.1:1"):
            await knock("tcp://10.0.0.1:1")
        with pytest.raises(UsageError, match="a certificate of the cluster is needed"):
            await Door().open("tls://0.0.0.0:0")

    run(main())


@pytest.mark.parametrize("loop", LOOPS, ids=LOOP_NAMES)
@pytest.mark.parametrize("scheme", ["unix", "tcp"])
def test_an_address_in_use_is_said_in_one_line(scheme: str, loop: Loop, tmp_path: Path) -> None:
    async def main() -> None:
        first = Door()
        address = await first.open(url(scheme, tmp_path))
        with pytest.raises(StartError, match=f"can't listen at {address}: the address is in use"):
            await Door().open(address)
        protocol = await knock(address)
        protocol.transport.abort()  # type: ignore[union-attr]
        await first.close()
        second = Door()
        assert await second.open(address) == address
        await second.close()

    run(main(), loop)


def test_a_name_that_does_not_resolve_is_said_in_one_line() -> None:
    async def main() -> None:
        with pytest.raises(StartError, match="the host name can't be resolved"):
            await Door().open("tls://no-such-host.invalid:1", make_certificate())

    run(main())


def test_the_file_of_a_dead_listener_is_replaced_and_any_other_is_not(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "s"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        door = Door()
        await door.open(f"unix://{path}")
        assert path.stat().st_mode & 0o777 == 0o600
        await door.close()
        assert not path.exists()
        path.write_text("precious")
        with pytest.raises(StartError, match="in use"):
            await Door().open(f"unix://{path}")
        assert path.read_text() == "precious"

    run(main())


@pytest.mark.parametrize("loop", LOOPS, ids=LOOP_NAMES)
def test_closing_removes_no_successor_s_file(loop: Loop, tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "s"
        first, second = Door(), Door()
        await first.open(f"unix://{path}")
        path.unlink()
        await second.open(f"unix://{path}")
        await first.close()
        protocol = await knock(f"unix://{path}")
        protocol.transport.abort()  # type: ignore[union-attr]
        await second.close()

    run(main(), loop)


@pytest.mark.parametrize("loop", LOOPS, ids=LOOP_NAMES)
def test_a_caller_that_gives_up_leaves_no_connection(loop: Loop) -> None:
    async def main() -> None:
        deaf = Impostor(b"", hang=True)
        where = await deaf.start()
        dialing = asyncio.ensure_future(knock(f"tcp://{where}"))
        await until(lambda: deaf.open)
        dialing.cancel()
        await deaf.stop()
        assert dialing.cancelled()

    run(main(), loop)
