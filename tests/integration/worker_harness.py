"""Plays the shell of a nanny for one real worker process: the sockets, the slots, a store."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, Self

import msgspec

from himalia import serialize
from himalia.messages.parts import FunctionBody
from himalia.messages.worker import (
    DATAGRAM_LIMIT,
    GrantSpace,
    NeedFunction,
    NeedSpace,
    Run,
    Stored,
    WorkerReady,
    WorkerToNanny,
)
from himalia.names import Key
from himalia.nanny.store.store import Store
from himalia.settings import DEFAULT
from himalia.worker.wiring import ENTRIES, create_slots, datagram_pair, map_slots
from tests.waiting import wait_until

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(WorkerToNanny).decode
MIB = 1024 * 1024


class WorkerHarness:
    """One worker process and what a nanny would be to it."""

    def __init__(self, *, nthreads: int = 1, **config: Any) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.store = Store(directory=self.directory.name, limit=256 * MIB, settings=DEFAULT)
        self.queue, self.queue_end = datagram_pair()
        self.channel, channel_end = datagram_pair()
        self.slots_fd = create_slots()
        self.slots = map_slots(self.slots_fd)
        self.functions: dict[bytes, bytes] = {}
        self.last_run = 0
        self.unmapped: list[int] = []
        fds = (self.queue_end.fileno(), channel_end.fileno(), self.slots_fd)
        told = {
            "name": "w-0", "index": 0, "nthreads": nthreads, "queue": fds[0], "channel": fds[1], "slots": fds[2],
            "arena": self.store.path, **config,
        }  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-m", "himalia.worker"],
            stdin=subprocess.PIPE,
            pass_fds=fds,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        channel_end.close()
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(told) + b"\n")
        self.process.stdin.close()
        assert isinstance(self.receive(), WorkerReady)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for end in (self.queue, self.queue_end, self.channel):
            end.close()
        self.slots.release()
        os.close(self.slots_fd)
        self.store.close()
        self.directory.cleanup()

    def run(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> int:
        """Put a call into the shared queue, or with ``targeted`` into the worker's own; return its run number."""
        self.last_run += 1
        digest, body = serialize.dumps_function(function)
        self.functions[digest] = body
        targeted = options.pop("targeted", False)
        fields: dict[str, Any] = {
            "run": self.last_run, "key": Key(f"key-{self.last_run}"), "function": digest,
            "call": serialize.dumps_packed((args, {})), "argument": "", "inputs": [], **options,
        }  # fmt: skip
        (self.channel if targeted else self.queue).send(self.encode(Run(**fields)))
        return self.last_run

    def teach(self, function: Callable[..., Any]) -> None:
        """Send a function before it is asked for, so that a call of it begins without our help."""
        self.tell(FunctionBody(*serialize.dumps_function(function)))

    def encode(self, message: Any) -> bytes:
        data: bytes = encode(message)
        if len(data) > DATAGRAM_LIMIT:
            data = encode(Stored(self.put(Key(f"message-{self.last_run}"), [data])))
        return data

    def put(self, key: Key, frames: list[Any]) -> Any:
        """Store a value in the arena and return its place, mapped by the worker."""
        self.store_value(key, frames)
        return self.store.place(key, "worker")

    def store_value(self, key: Key, frames: list[Any]) -> None:
        from himalia.comm.data.layout import range_length
        from himalia.comm.data.mapping import ArenaWriter

        sizes = [memoryview(frame).nbytes for frame in frames]
        offset, _ = self.store.grant("harness", range_length(sizes))
        writer = ArenaWriter(self.store.path)
        writer.write(offset, frames)
        writer.close()
        self.store.adopt(key, 1, "harness", offset, sizes)

    def tell(self, message: Any) -> None:
        self.channel.send(self.encode(message))

    def receive(self, timeout: float = 20.0) -> Any:
        """Return the next message that isn't answered right here."""
        deadline = time.monotonic() + timeout
        while True:
            ready, _, _ = select.select([self.channel], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError("the worker said nothing")
            data = self.channel.recv(1 << 18)
            if not data:
                raise EOFError("the worker is gone")
            message: Any = decode(data)
            if isinstance(message, Stored):
                message = decode(self.adopt(Key("message"), message.place)[0])
            if isinstance(message, NeedFunction):
                self.tell(FunctionBody(message.digest, self.functions.get(message.digest, b"")))
            elif isinstance(message, NeedSpace):
                self.store.hand_back("worker", message.unused)
                offset, length = self.store.grant("worker", message.nbytes)
                self.tell(GrantSpace(message.request, offset, length))
            elif type(message).__name__ == "Unmapped":
                self.unmapped += message.offsets
                self.store.unmap("worker", message.offsets)
            else:
                return message

    def adopt(self, key: Key, place: Any) -> list[memoryview]:
        self.store.adopt(key, 1, "worker", place.offset, place.sizes)
        return self.store.views(key)

    def value(self, place: Any) -> Any:
        """Return the value at a place that the worker reported."""
        if place.inline is not None:
            return serialize.loads_packed(place.inline)
        return serialize.loads(self.adopt(Key(f"result-{place.offset}"), place))

    def result(self) -> Any:
        """Return the value of the next run that ends."""
        return self.value(self.receive().place)

    def slot(self, thread: int = 0) -> int:
        return self.slots[ENTRIES + thread]

    def wait_for_slot(self, run: int, thread: int = 0) -> None:
        wait_until(lambda: self.slot(thread) == run)

    def recall(self, run: int) -> None:
        self.slots[1] = run
        self.slots[0] = 1
