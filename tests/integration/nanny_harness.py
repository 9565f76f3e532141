"""Plays the scheduler for one real nanny process with its workers."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from typing import Any, Self, TypeVar

from himalia import serialize
from himalia.child import line_of
from himalia.comm.endpoint import Endpoint
from himalia.comm.security import new_credentials
from himalia.messages.nanny import Heartbeat, NannyToScheduler, RegisterNanny, TaskFinished, WorkerStarted
from himalia.messages.parts import Dependency, FunctionBody
from himalia.names import Key, PeerId, new_incarnation
from himalia.nanny.config import NannyConfig
from himalia.settings import DEFAULT
from himalia.testing.builders import make_compute

MessageType = TypeVar("MessageType")


class NannyHarness:
    """A scheduler's endpoint, and a nanny that registered there."""

    def __init__(self, *, nworkers: int = 1, nthreads: int = 1, **config: Any) -> None:
        self.nworkers = nworkers
        self.config = {"nworkers": nworkers, "nthreads": nthreads, "memory_limit": 2**28, **config}
        self.credentials = new_credentials()
        self.directory = tempfile.mkdtemp(prefix="hn-")
        self.inbox: list[Any] = []
        self.arrived = asyncio.Event()
        self.nanny = PeerId("")
        self.attempt = 0
        self.known: set[bytes] = set()

    async def __aenter__(self) -> Self:
        self.endpoint = Endpoint(
            me=new_incarnation("scheduler"),
            role="scheduler",
            credentials=self.credentials,
            unions={"nanny": NannyToScheduler},
            handler=self,
            settings=DEFAULT,
        )
        address = await self.endpoint.listen(f"unix://{self.directory}/s.sock")
        config = NannyConfig(
            scheduler=[address],
            credentials=self.credentials.to_config(),
            name="n",
            listen=f"unix://{self.directory}/n.sock",
            local_directory=self.directory,
            sys_path=sys.path,
            **self.config,
        )
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "himalia.nanny",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        assert self.process.stdin is not None
        self.process.stdin.write(line_of(config))
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.leave()
        await self.endpoint.close()
        shutil.rmtree(self.directory)

    async def ready(self) -> RegisterNanny:
        """Wait until the nanny and all workers are up."""
        register = await self.expect(RegisterNanny)
        up = len(register.workers)
        while up < self.nworkers:
            await self.expect(WorkerStarted)
            up += 1
        return register

    async def leave(self) -> bytes:
        """End the leash, and return what it said on standard error."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        _, stderr = await asyncio.wait_for(self.process.communicate(), 20)
        return stderr

    def peer_joined(self, peer: PeerId, role: str) -> None:
        self.nanny = peer

    def peer_left(self, peer: PeerId, reason: str) -> None:
        self.arrived.set()

    def messages_received(self, peer: PeerId, messages: list[Any]) -> None:
        self.inbox += [message for message in messages if not isinstance(message, Heartbeat)]
        self.arrived.set()

    def tell(self, message: Any) -> None:
        self.endpoint.send(self.nanny, message)

    def submit(
        self, function: Callable[..., Any], *args: Any, inputs: tuple[Dependency, ...] = (), **changes: Any
    ) -> Key:
        """Assign a call, and return its key."""
        self.attempt += 1
        digest, body = serialize.dumps_function(function)
        if digest not in self.known:
            self.known.add(digest)
            self.tell(FunctionBody(digest, body))
        key = Key(f"key-{self.attempt}")
        call = serialize.dumps_packed((args, {}))
        self.tell(make_compute(key, self.attempt, *inputs, function=digest, call=call, **changes))
        return key

    async def expect(self, kind: type[MessageType], timeout: float = 20.0) -> MessageType:
        """Return the next message of that kind; the others stay for later."""

        async def find() -> MessageType:
            while True:
                for message in self.inbox:
                    if isinstance(message, kind):
                        self.inbox.remove(message)
                        return message
                self.arrived.clear()
                await self.arrived.wait()

        return await asyncio.wait_for(find(), timeout)

    async def result(self) -> Any:
        """Return the value of the next call that ends."""
        finished = await self.expect(TaskFinished)
        assert finished.data is not None
        return serialize.loads_packed(finished.data)
