"""Every field of every message has bounds in its type, and what is beyond them is refused before anybody sees it."""

from __future__ import annotations

import importlib
import math
import pkgutil
import random
import types
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import msgspec
import pytest

from himalia import messages
from himalia.bounds import FEW, NAME_LENGTH, problem_of
from himalia.messages.client import ClientToScheduler, DataPlaced, FollowTelemetry, GetLogs, Scale, WantKeys
from himalia.messages.nanny import DataAdded, NannyToScheduler
from himalia.messages.parts import Message, Part, TaskOptions
from himalia.messages.worker import GrantSpace, NannyToWorker, Place
from himalia.names import HostId, Key, PeerId

STRUCTS = [
    kind
    for module in pkgutil.iter_modules(messages.__path__, "himalia.messages.")
    for kind in vars(importlib.import_module(module.name)).values()
    if isinstance(kind, type) and issubclass(kind, Part | Message) and kind.__module__ == module.name
    if kind not in (Part, Message)
]
NUMBERS = (int, float)
SIZED = (str, bytes, list, tuple, dict)


def unbounded(kind: Any, where: str, bounds: tuple[msgspec.Meta, ...] = ()) -> Iterator[str]:
    """Yield where in a type a number, text or container has no bounds."""
    if typing.get_origin(kind) is Annotated:
        inner, *metas = typing.get_args(kind)
        yield from unbounded(inner, where, (*bounds, *metas))
        return
    if hasattr(kind, "__supertype__"):
        yield from unbounded(kind.__supertype__, where, bounds)
        return
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        for arg in args:
            yield from unbounded(arg, where, bounds)
        return
    fixed = origin is tuple and Ellipsis not in args
    if kind in NUMBERS and not any(meta.ge is not None and meta.le is not None for meta in bounds):
        yield f"{where}: {kind.__name__}"
    elif (origin or kind) in SIZED and not fixed and not any(meta.max_length is not None for meta in bounds):
        yield f"{where}: {origin or kind}"
    for arg in args:
        if arg is not Ellipsis:
            yield from unbounded(arg, f"{where}[]")


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: kind.__name__)
def test_every_field_has_bounds(kind: type) -> None:
    hints = typing.get_type_hints(kind, include_extras=True)
    assert [found for name, hint in hints.items() for found in unbounded(hint, name)] == []


def test_a_field_without_bounds_is_noticed() -> None:
    class Careless(Part):
        number: int
        key: Key
        names: dict[str, float]

    hints = {"number": int, "key": Key, "names": dict[str, float]}
    found = [where for name, hint in hints.items() for where in unbounded(hint, name)]
    assert len(found) == 4, found


WRONG: list[tuple[Message | Part, Any]] = [
    (Scale(1, -5), ClientToScheduler),
    (Scale(1, 10**9), ClientToScheduler),
    (FollowTelemetry(math.nan), ClientToScheduler),
    (FollowTelemetry(-1.0), ClientToScheduler),
    (FollowTelemetry(math.inf), ClientToScheduler),
    (GetLogs(1, since=math.nan), ClientToScheduler),
    (WantKeys([Key("k")] * (FEW + 1)), ClientToScheduler),
    (WantKeys([Key("k" * (NAME_LENGTH + 1))]), ClientToScheduler),
    (DataPlaced(Key("k"), "g", HostId(PeerId("h")), -8, "int", True), ClientToScheduler),
    (TaskOptions(priority=math.nan), TaskOptions),
    (TaskOptions(retries=-1), TaskOptions),
    (TaskOptions(resources={"GPU": -1.0}), TaskOptions),
    (TaskOptions(resources={"GPU": math.inf}), TaskOptions),
    (DataAdded(Key("k"), 1, -1), NannyToScheduler),
    (Place(None, -1, (1,)), Place),
    (Place(None, 0, (1, -1)), Place),
    (GrantSpace(1, 0, -1), NannyToWorker),
]


@pytest.mark.parametrize(("message", "union"), WRONG, ids=lambda value: type(value).__name__)
def test_what_is_beyond_the_bounds_is_refused_while_it_is_decoded(message: Any, union: Any) -> None:
    assert problem_of(message)
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=union)


def example(kind: Any) -> Any:
    """Return a plain value of a field's type."""
    if typing.get_origin(kind) is Annotated or hasattr(kind, "__supertype__"):
        return example(typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind.__supertype__)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return example(args[0])
    if origin is typing.Literal:
        return args[0]
    if origin is tuple and Ellipsis not in args:
        return tuple(example(arg) for arg in args)
    if origin in (list, tuple):
        return origin([example(args[0])])
    if origin is dict:
        return {example(args[0]): example(args[1])}
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind, include_extras=True)
        return kind(**{name: example(hint) for name, hint in hints.items()})
    plain: dict[Any, Any] = {int: 1, float: 1.0, str: "x", bytes: b"x", bool: True, Any: None}
    return plain[kind]


@pytest.mark.parametrize(
    "kind", [kind for kind in STRUCTS if issubclass(kind, Message)], ids=lambda kind: kind.__name__
)
def test_damaged_frames_are_refused_or_are_other_valid_messages(kind: type) -> None:
    """No input, however it was changed on the way, does anything but raise the one error that ends its session."""
    chance = random.Random(kind.__name__)
    packed = msgspec.msgpack.encode(example(kind))
    decode: Callable[[Any], Any] = msgspec.msgpack.Decoder(kind).decode
    assert type(decode(packed)) is kind
    for _ in range(300):
        damaged = bytearray(packed)
        for _ in range(chance.randrange(1, 4)):
            match chance.randrange(3):
                case 0:
                    damaged[chance.randrange(len(damaged))] = chance.randrange(256)
                case 1:
                    del damaged[chance.randrange(len(damaged)) :]
                    damaged += b"\xff"
                case _:
                    damaged.insert(chance.randrange(len(damaged)), chance.randrange(256))
        try:
            message = decode(damaged)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        assert not problem_of(message)
