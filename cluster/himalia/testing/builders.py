"""Small functions that make messages, hosts and specs for tests of one machine.

They decide only what a test doesn't name: that gets a plain value.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from himalia.messages.answers import CallSpec, Reply
from himalia.messages.client import DataPlaced, Submit
from himalia.messages.nanny import Compute, RegisterNanny, TaskFailed, TaskFinished
from himalia.messages.parts import Dependency, HeldData, HostInfo, TaskError, TaskOptions, TaskSpec, Timing, WorkerInfo
from himalia.messages.worker import Place, Raised, Returned
from himalia.names import HostId, Key, PeerId, WorkerName

Fields: TypeAlias = dict[str, Any]
"""Of a message, by name."""


def host_id(host: str) -> HostId:
    """A host's id."""
    return HostId(PeerId(host))


NO_TIME = Timing(start=0.0, deserialize=0.0, compute=0.001, serialize=0.0)
"""Where the time of a call went that a test doesn't care about."""


def make_spec(
    key: str,
    *dependencies: str,
    wanted: bool = True,
    order: int = 0,
    group: str = "f",
    function: bytes = b"",
    call: bytes = b"call",
    argument: str = "",
    **options: Any,
) -> TaskSpec:
    """A call; ``options`` are those of :class:`TaskOptions`."""
    inputs = tuple(Key(name) for name in dependencies)
    # None where nothing is asked for, as clients send it.
    asked = TaskOptions(**options) if options else None
    return TaskSpec(Key(key), group, function, call, inputs, order, wanted, argument, asked)


def make_submit(*specs: TaskSpec | str, batch: int = 1) -> Submit:
    """A submission of specs; a plain string is the key of a call without inputs."""
    return Submit(batch, [make_spec(spec) if isinstance(spec, str) else spec for spec in specs])


def make_chain(length: int, prefix: str = "x") -> list[TaskSpec]:
    """Calls each of which needs the one before; only the last is wanted."""
    return [
        make_spec(f"{prefix}-{n}", *([f"{prefix}-{n - 1}"] if n else []), wanted=n == length - 1, order=n)
        for n in range(length)
    ]


def make_tree(leaves: int, prefix: str = "t", fan_in: int = 2) -> list[TaskSpec]:
    """A reduction of so many leaves; only its root is wanted."""
    level = [f"{prefix}-0-{n}" for n in range(leaves)]
    specs = [make_spec(name, wanted=False, group="leaf") for name in level]
    depth = 0
    while len(level) > 1:
        depth += 1
        groups = [level[start : start + fan_in] for start in range(0, len(level), fan_in)]
        level = [f"{prefix}-{depth}-{n}" for n in range(len(groups))]
        specs += [
            make_spec(name, *inputs, wanted=len(level) == 1, order=len(specs) + n, group="node")
            for n, (name, inputs) in enumerate(zip(level, groups, strict=True))
        ]
    return specs


def make_host_info(host: str = "nanny-1", **changes: Any) -> HostInfo:
    """A host; its number, if its name ends with one, makes its address."""
    number = host.rpartition("-")[2]
    values: Fields = {
        "host": host_id(host),
        "address": f"tcp://10.0.0.{number}:4000",
        "hostname": f"machine-{number}",
        "pid": 1,
        "machine": f"machine-{number}",
        "arena": "",
        "memory_limit": 1_000_000_000,
        "local_directory": "/tmp",
        "name": f"host-{number}",
    }
    return HostInfo(**(values | changes))


def make_worker_info(host: str = "nanny-1", index: int = 0, **changes: object) -> WorkerInfo:
    """A worker of a host."""
    number = host.rpartition("-")[2]
    values: Fields = {
        "name": WorkerName(f"host-{number}-{index}"),
        "address": f"tcp://10.0.0.{number}:4000/{index}",
        "pid": 100 + index,
        "nthreads": 1,
        "memory_limit": 0,
        "local_directory": "/tmp",
    }
    return WorkerInfo(**(values | changes))


def make_register(
    host: str = "nanny-1",
    *,
    workers: int = 1,
    nthreads: int = 1,
    data: Iterable[tuple[str, int, int]] = (),
    attempts: Iterable[tuple[str, int]] = (),
    resources: dict[str, float] | None = None,
) -> RegisterNanny:
    """A nanny's registration with so many workers, holding ``data`` (key, attempt, bytes)."""
    infos = [make_worker_info(host, n, nthreads=nthreads, resources=resources or {}) for n in range(workers)]
    held = [HeldData(Key(key), attempt, nbytes) for key, attempt, nbytes in data]
    return RegisterNanny(make_host_info(host), infos, held, [(Key(key), attempt) for key, attempt in attempts])


def make_finished(
    key: str, attempt: int, *, nbytes: int = 8, data: bytes | None = b"value", **changes: Any
) -> TaskFinished:
    """The completion of an attempt."""
    values: Fields = {"worker": WorkerName("host-1-0"), "type_name": "bytes", "timing": NO_TIME}
    return TaskFinished(key=Key(key), attempt=attempt, nbytes=nbytes, data=data, **(values | changes))


def make_error(key: str, text: str = "ValueError: no", kind: str = "exception") -> TaskError:
    """How a call ended that has no result."""
    return TaskError(kind, Key(key), text)


def make_failed(key: str, attempt: int, text: str = "ValueError: no") -> TaskFailed:
    """The failure of an attempt."""
    return TaskFailed(Key(key), attempt, make_error(key, text), NO_TIME)


def make_placed(
    key: str, host: str = "nanny-1", *, nbytes: int = 8, wanted: bool = True, attempt: int = -1
) -> DataPlaced:
    """The announcement of scattered data."""
    return DataPlaced(Key(key), "data", host_id(host), nbytes, "bytes", wanted, attempt)


def make_dependency(key: str, attempt: int, *holders: str, nbytes: int = 8) -> Dependency:
    """An input of a call and who holds it."""
    return Dependency(Key(key), attempt, nbytes, tuple(host_id(host) for host in holders))


def make_compute(key: str, attempt: int, *dependencies: Dependency, **changes: Any) -> Compute:
    """An assignment as a scheduler sends it to a nanny."""
    values: Fields = {
        "group": "f",
        "function": b"",
        "call": b"call",
        "argument": "",
        "dependencies": dependencies,
        "priority": (0.0, 1, attempt),
        "duration": -1.0,
        "wanted": True,
    }
    return Compute(key=Key(key), attempt=attempt, **(values | changes))


def make_returned(run: int, *, data: bytes = b"value") -> Returned:
    """A worker's answer with a small result."""
    return Returned(run, len(data), "bytes", Place(data), NO_TIME)


def make_raised(run: int, key: str, text: str = "ValueError: no", kind: str = "exception") -> Raised:
    """A worker's answer of a call that raised."""
    return Raised(run, make_error(key, text, kind), NO_TIME)


def make_reply(request: int, nbytes: int) -> Reply:
    """An answer of a little more than so many bytes."""
    return Reply(request, CallSpec(b"", bytes(nbytes), "", ()))
