"""What the tests of real connections share: loops, endpoints that remember, a relay that cuts."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from himalia.comm.clock import Clock
from himalia.comm.endpoint import Endpoint
from himalia.comm.security import Credentials, ServerCertificate
from himalia.comm.wires import SOCKETS, Wires
from himalia.messages.client import ClientToScheduler, SchedulerToClient
from himalia.messages.nanny import NannyToScheduler, SchedulerToNanny
from himalia.names import SCHEDULER, PeerId
from himalia.run import loop_factory
from himalia.settings import DEFAULT, Settings
from tests.waiting import until

CREDENTIALS = Credentials("c1", b"s" * 32)
LOOPS = [asyncio.new_event_loop, loop_factory()]
LOOP_NAMES = ["asyncio", "uvloop"]

Loop = Callable[[], asyncio.AbstractEventLoop]


def run(main: Coroutine[Any, Any, None], loop: Loop = LOOPS[1]) -> None:
    """Run a test on that kind of loop; 20 s are enough for all of them."""

    async def limited() -> None:
        async with asyncio.timeout(20):
            await main

    with warnings.catch_warnings(), asyncio.Runner(loop_factory=loop) as runner:
        try:
            runner.run(limited())
        except BaseException:  # then much is left open, and uvloop can't close its loop if that warning is an error
            warnings.simplefilter("ignore", ResourceWarning)
            raise


class Recorder:
    """A handler that remembers."""

    def __init__(self) -> None:
        self.joined: list[tuple[PeerId, str]] = []
        self.left: list[tuple[PeerId, str]] = []
        self.got: list[Any] = []
        self.peer = PeerId("")

    def peer_joined(self, peer: PeerId, role: str) -> None:
        self.joined.append((peer, role))
        self.peer = peer

    def messages_received(self, peer: PeerId, messages: list[Any]) -> None:
        self.got += messages

    def peer_left(self, peer: PeerId, reason: str) -> None:
        self.left.append((peer, reason))


class Node(Recorder):
    """An endpoint with its recorder."""

    def __init__(
        self,
        role: str,
        name: str = "",
        *,
        credentials: Credentials = CREDENTIALS,
        settings: Settings = DEFAULT,
        clock: Clock | None = None,
        wires: Wires = SOCKETS,
    ) -> None:
        super().__init__()
        unions: dict[str, Any] = {"client": ClientToScheduler, "nanny": NannyToScheduler}
        if role != "scheduler":
            unions = {"scheduler": SchedulerToClient if role == "client" else SchedulerToNanny}
        self.me = PeerId(name or f"{role}-1")
        self.endpoint = Endpoint(
            me=self.me,
            role=role,
            credentials=credentials,
            unions=unions,
            handler=self,
            settings=settings,
            direct=role == "client",
            clock=clock,
            wires=wires,
        )

    async def listen(self, address: str, certificate: ServerCertificate | None = None) -> str:
        return await self.endpoint.listen(address, certificate=certificate)

    async def connect(self, address: str, timeout: float = 5.0) -> PeerId:
        return await self.endpoint.connect(address, alias=SCHEDULER, timeout=timeout)


def impatient(**changes: float) -> Settings:
    """Return settings with other leases."""
    return msgspec.structs.replace(DEFAULT, **changes)


class Relay:
    """Stands between a dialer and a listener; cuts or stalls when it is told to."""

    def __init__(self, target: str) -> None:
        self._target = int(target.rpartition(":")[2])
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.budget = 10**12
        """Bytes after which every connection is cut."""
        self.flowing = asyncio.Event()
        self.flowing.set()

    async def open(self) -> str:
        """Return the address to dial."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """Break all connections at once."""
        for writer in self._writers:
            writer.transport.abort()

    async def close(self) -> None:
        """Stop relaying."""
        assert self._server is not None
        self._server.close()
        self.cut()
        await until(lambda: not self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, other_writer}
        for source, sink in ((reader, other_writer), (other_reader, writer)):
            task = asyncio.get_running_loop().create_task(self._pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1500):
                await self.flowing.wait()
                self.budget -= len(data)
                if self.budget < 0:
                    sink.write(data[: self.budget])
                    break
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        if self.budget < 0:
            self.cut()
        self._writers.discard(sink)
        sink.close()
