"""A cluster inside of this process: the real scheduler machine, pretended hosts that really run calls, no sockets.

Every message passes the real codec.  Calls run in threads of a pool, or, with ``threads=0``, in the client's own loop
(for profiles).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVarTuple

import msgspec

from himalia import exceptions, serialize
from himalia.callables import read_function
from himalia.client.engine import engine as client_engine
from himalia.comm.contact import Contact
from himalia.comm.security import Credentials
from himalia.decoders import decoder_of
from himalia.errors import UnreachableError
from himalia.machine import Event, Instruction, PeerJoined, PeerLeft, Send, Ticked
from himalia.messages.answers import CallReplies, CallReply, ProcessLogs, Reply, Restarted
from himalia.messages.client import ClientToScheduler, GetLogs, RunFunction, SchedulerToClient, Submit
from himalia.messages.nanny import (
    Compute,
    FreeData,
    NannyToScheduler,
    RegisterNanny,
    RestartWorkers,
    TaskFailed,
    TaskFinished,
    Withdraw,
    Withdrawn,
    WorkerStarted,
)
from himalia.messages.parts import (
    Close,
    Frame,
    FunctionBody,
    HostInfo,
    Message,
    TaskError,
    TaskSpec,
    Timing,
    WorkerInfo,
)
from himalia.messages.telemetry import LogLine
from himalia.names import SCHEDULER, HostId, Key, PeerId, WorkerName
from himalia.scheduler.machine import SchedulerMachine
from himalia.settings import DEFAULT, Settings

if TYPE_CHECKING:
    import pytest

    from himalia.comm.endpoint import Handler

Ts = TypeVarTuple("Ts")

_clusters: dict[str, FakeCluster] = {}
_numbers = itertools.count(1)

_ending = threading.Event()


def snooze(seconds: float, value: Any = None) -> Any:
    """Sleep in a call, but not longer than its cluster lives, then return ``value``."""
    _ending.wait(seconds)
    return value


_encode = msgspec.msgpack.Encoder().encode
_from_client = decoder_of(ClientToScheduler).decode
_from_nanny = decoder_of(NannyToScheduler).decode
_to_client = decoder_of(SchedulerToClient).decode


class FakeCluster:
    """What a client may be given in the place of a cluster; close it by leaving the ``with`` block."""

    name = "fake"
    credentials = Credentials("fake", b"")
    dashboard_link = None

    def __init__(self, *, threads: int = 4, hosts: int = 1) -> None:
        self.addresses = [f"tcp://fake:{next(_numbers)}"]
        self.scheduler_address = self.addresses[0]
        me = PeerId("scheduler-1")
        self.scheduler = SchedulerMachine(address=self.addresses[0], me=me, versions={"himalia": "0"})
        self.pool = concurrent.futures.ThreadPoolExecutor(threads) if threads else None
        self.clients: dict[PeerId, FakeEndpoint] = {}
        self.seen: list[Message] = []
        """Messages of clients, in order."""
        self.loop: asyncio.AbstractEventLoop | None = None
        self.functions: dict[bytes, bytes] = {}
        self.lose: set[Key] = set()
        """Keys that the next read doesn't find."""
        self.stores: dict[HostId, dict[Key, list[bytes]]] = {}
        self.attempts: dict[tuple[HostId, Key], int] = {}
        self.withdrawn: set[tuple[Key, int]] = set()
        self.stands_still = False
        """Whether nothing that clients send is read, let alone acknowledged."""
        self.stores_nothing = False
        """Whether values that clients store wait for ever."""
        self.hosts = [self._make_host(number, max(1, threads)) for number in range(hosts)]
        _clusters[self.addresses[0]] = self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Calls that sleep wake up, or the pool would wait for them.
        _ending.set()
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)
        # For the next cluster of this process.
        _ending.clear()
        del _clusters[self.scheduler_address]

    def _make_host(self, number: int, threads: int) -> HostInfo:
        host = HostId(PeerId(f"nanny-{number}@{self.scheduler_address}"))
        address = f"tcp://nanny-{number}:1"
        info = HostInfo(host, address, f"box{number}", 1, "elsewhere", "", 1 << 30, "/tmp", "", f"n{number}")
        self.stores[host] = {}
        worker = WorkerInfo(WorkerName(f"n{number}-0"), f"{address}/0", 2, threads, 1 << 30, "/tmp", {"GPU": 1.0})
        self.feed(PeerJoined(PeerId(host), "nanny"), PeerId(host))
        self.feed(RegisterNanny(info, [worker], [], []), PeerId(host))
        self.feed(WorkerStarted(worker), PeerId(host))
        return info

    def feed(self, event: Event | Message, source: PeerId) -> None:
        self._perform(self.scheduler.handle(event, now=time.monotonic(), source=source))

    def _perform(self, instructions: Iterable[Instruction]) -> None:
        for instruction in instructions:
            if type(instruction) is not Send:
                continue
            peer, message = instruction.peer, instruction.message
            if peer in self.clients:
                # Through the codec: what a wire would refuse or change shows here as well.
                self.clients[peer].take(_to_client(_encode(message)))
            elif peer in self.stores:
                self._command(HostId(peer), message)

    def from_host(self, host: HostId, message: Message) -> None:
        self.feed(_from_nanny(_encode(message)), PeerId(host))

    def _command(self, host: HostId, message: Message) -> None:
        match message:
            case FunctionBody(digest=digest, body=body):
                self.functions[digest] = body
            case Compute():
                self._start(host, message)
            case FreeData(data=data):
                for key, attempt in data:
                    if self.attempts.get((host, key)) == attempt:  # another one may have been put in its place
                        self.stores[host].pop(key, None)
            case Withdraw(key=key, attempt=attempt):
                self.withdrawn.add((key, attempt))  # it runs on, and what comes of it is dropped
            case RunFunction(request=request, call=call, workers=workers):
                replies = {name: _call(call) for name in workers or ()}
                self._later(self.from_host, host, Reply(request, CallReplies(replies)))
            case GetLogs(request=request):
                lines = [LogLine(1.0, "stdout", "one"), LogLine(2.0, "stdout", "two")]
                self._later(self.from_host, host, Reply(request, ProcessLogs({"n0-0": lines})))
            case RestartWorkers(request=request):
                self._later(self.from_host, host, Reply(request, Restarted()))
            case _:
                pass

    def _later(self, function: Callable[[*Ts], None], *args: *Ts) -> None:
        assert self.loop is not None
        try:
            self.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            pass  # the client closed

    def _start(self, host: HostId, message: Compute) -> None:
        # Not at once even then: the machine is in the middle of the event that started it.
        if self.pool is None:
            self._later(self._compute, host, message)
        else:
            self.pool.submit(self._compute, host, message)

    def _compute(self, host: HostId, message: Compute) -> None:
        timing = Timing(time.time(), 0.0, 0.0, 0.0)
        try:
            inputs = {dependency.key: self.load(dependency.key) for dependency in message.dependencies}
            with serialize.resolving(inputs):
                if message.argument:
                    call = serialize.loads(self.frames_of(Key(message.argument)))
                else:
                    call = serialize.loads_packed(message.call)
                function = read_function(self.functions[message.function]) if message.function else call[0]
            args, kwargs = call[-2:]
            # Copies, as a store's are: a caller that changes its array afterwards must change nothing here.
            frames = [bytes(frame) for frame in serialize.dumps(function(*args, **kwargs))]
        # As a worker does: SystemExit ends the call, and nothing else.
        except BaseException as error:
            frames_seen = (Frame("/somewhere/user.py", 7, "outer"), Frame("/somewhere/user.py", 12, "inner"))
            text = f"{type(error).__name__}: {error}"
            raised = TaskError(
                "exception", message.key, text, exceptions.pack(error, lambda trace: ()), frames_seen, "n0-0", 1
            )
            self._later(self.from_host, host, TaskFailed(message.key, message.attempt, raised, timing))
            return
        # After it ran, as with a call that can't be interrupted.
        if (message.key, message.attempt) in self.withdrawn:
            self._later(self.from_host, host, Withdrawn(message.key, message.attempt, started=False))
            return
        self.stores[host][message.key] = frames
        self.attempts[host, message.key] = message.attempt
        nbytes = serialize.nbytes(frames)
        data = serialize.pack(frames) if message.wanted and nbytes <= DEFAULT.inline_limit else None
        kind = type(serialize.loads(frames)).__name__
        finished = TaskFinished(message.key, message.attempt, WorkerName("n0-0"), nbytes, kind, timing, data)
        if self.pool is None:
            self.from_host(host, finished)
        else:
            self._later(self.from_host, host, finished)

    def frames_of(self, key: Key) -> list[bytes]:
        for store in self.stores.values():
            if key in store:
                return store[key]
        raise KeyError(key)

    def load(self, key: Key) -> object:
        return serialize.loads(self.frames_of(key))

    def submitted(self) -> list[TaskSpec]:
        return [task for message in self.seen if isinstance(message, Submit) for task in message.tasks]


def _call(call: bytes) -> CallReply:
    function, args, kwargs = serialize.loads_packed(call)
    try:
        return CallReply(serialize.dumps_packed(function(*args, **kwargs)))
    except Exception as error:
        failed = TaskError("exception", Key(""), str(error), exceptions.pack(error, lambda trace: ()))
        return CallReply(error=failed)


class FakeEndpoint:
    """Stands for the session with the scheduler."""

    def __init__(self, *, me: PeerId, handler: Handler, settings: Settings, **_: object) -> None:
        self.me = me
        self.settings = settings
        self.handler = handler
        self.cluster: FakeCluster | None = None
        self.inbox: list[object] = []
        self.unread = 0
        self.timer: asyncio.TimerHandle | None = None

    async def connect_any(self, addresses: Sequence[str], *, alias: PeerId, timeout: float) -> str:
        address = next((address for address in addresses if address in _clusters), None)
        if address is None:
            raise UnreachableError(f"nobody at {' or '.join(addresses)}")
        cluster = _clusters[address]
        self.cluster = cluster
        # Calls end in other threads; machine and client are touched in this one alone.
        cluster.loop = asyncio.get_running_loop()
        cluster.clients[self.me] = self
        cluster.feed(PeerJoined(self.me, "client"), self.me)
        self.handler.peer_joined(alias, "scheduler")
        self._tick()
        return address

    def _tick(self) -> None:
        assert self.cluster is not None and self.cluster.loop is not None
        self.cluster.feed(Ticked(), PeerId(""))
        self.timer = self.cluster.loop.call_later(0.05, self._tick)

    def take(self, message: Message) -> None:
        assert self.cluster is not None and self.cluster.loop is not None
        # One delivery for all that comes until then: a real session hands over a frame.
        if not self.inbox:
            self.cluster._later(self._deliver)
        self.inbox.append(message)

    def _deliver(self) -> None:
        inbox, self.inbox = self.inbox, []
        self.handler.messages_received(SCHEDULER, inbox)

    def send(self, peer: PeerId, message: Message) -> None:
        if self.cluster is None or self.me not in self.cluster.clients:
            return
        if self.cluster.stands_still:
            self.unread += 1
            return
        message = _from_client(_encode(message))
        self.cluster.seen.append(message)
        if type(message) is Close:
            self.cut("it was shut down")
        else:
            self.cluster.feed(message, self.me)

    def cut(self, reason: str) -> None:
        """Have the session end."""
        assert self.cluster is not None
        if self.cluster.clients.pop(self.me, None) is not None:
            self.cluster.feed(PeerLeft(self.me, reason), self.me)
            self.cluster._later(self.handler.peer_left, SCHEDULER, reason)

    def express(self, peer: PeerId, messages: Sequence[object]) -> bool:
        """Leave everything to the loop."""
        return False

    def flush(self) -> None:
        pass

    def pending(self) -> dict[PeerId, int]:
        return {SCHEDULER: self.unread} if self.unread else {}

    def contact(self, peer: PeerId) -> Contact:
        return Contact(silent=4.0, lease=60.0)

    async def close(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        if self.cluster is not None and self.cluster.clients.pop(self.me, None) is not None:
            self.cluster.feed(PeerLeft(self.me, "closed"), self.me)


class FakeData:
    """Stands for the connections to hosts."""

    def __init__(self, **_: object) -> None:
        pass

    def _store(self, host: HostInfo) -> tuple[FakeCluster, dict[Key, list[bytes]]]:
        for cluster in _clusters.values():
            if host in cluster.hosts:
                return cluster, cluster.stores[host.host]
        raise UnreachableError(host.address)

    async def get(self, host: HostInfo, data: Iterable[tuple[Key, int]]) -> Mapping[Key, list[memoryview] | None]:
        # In a later turn, as everything that comes over a network.
        await asyncio.sleep(0)
        cluster, store = self._store(host)  # a host that left, or never was, raises
        found: dict[Key, list[memoryview] | None] = {}
        for key, _ in data:
            lost = key in cluster.lose
            # Once: the next read is after it was computed again.
            cluster.lose.discard(key)
            if lost:
                store.pop(key, None)
            found[key] = [memoryview(frame) for frame in store[key]] if key in store else None
        return found

    async def put(self, host: HostInfo, key: Key, frames: Sequence[serialize.Buffer], attempt: int = 0) -> int:
        cluster, store = self._store(host)
        await asyncio.sleep(0)
        if cluster.stores_nothing:
            await asyncio.Event().wait()
        store[key] = [bytes(frame) for frame in frames]
        cluster.attempts[host.host, key] = attempt
        return serialize.nbytes(store[key])

    def forget(self, host: HostId) -> None:
        pass

    def close(self) -> None:
        pass


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have clients use the fakes."""
    monkeypatch.setattr(client_engine, "Endpoint", FakeEndpoint)
    monkeypatch.setattr(client_engine, "DataClient", FakeData)
