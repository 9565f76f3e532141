"""Every field of every message has bounds in its type, and what is beyond them is refused before anybody sees it."""

from __future__ import annotations

import math
import random
import types
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import msgspec
import pytest

import himalia.messages as m
from himalia.bounds import FEW, NAME_LENGTH, problem_of
from himalia.names import HostId, Key, PeerId

STRUCTS = [
    kind
    for kind in vars(m).values()
    if isinstance(kind, type) and issubclass(kind, m.Part | m.Message) and kind not in (m.Part, m.Message)
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
    class Careless(m.Part):
        number: int
        key: Key
        names: dict[str, float]

    hints = {"number": int, "key": Key, "names": dict[str, float]}
    found = [where for name, hint in hints.items() for where in unbounded(hint, name)]
    assert len(found) == 4, found


WRONG: list[tuple[m.Message | m.Part, Any]] = [
    (m.Scale(1, -5), m.ClientToScheduler),
    (m.Scale(1, 10**9), m.ClientToScheduler),
    (m.FollowTelemetry(math.nan), m.ClientToScheduler),
    (m.FollowTelemetry(-1.0), m.ClientToScheduler),
    (m.FollowTelemetry(math.inf), m.ClientToScheduler),
    (m.GetLogs(1, since=math.nan), m.ClientToScheduler),
    (m.WantKeys([Key("k")] * (FEW + 1)), m.ClientToScheduler),
    (m.WantKeys([Key("k" * (NAME_LENGTH + 1))]), m.ClientToScheduler),
    (m.DataPlaced(Key("k"), "g", HostId(PeerId("h")), -8, "int", True), m.ClientToScheduler),
    (m.TaskOptions(priority=math.nan), m.TaskOptions),
    (m.TaskOptions(retries=-1), m.TaskOptions),
    (m.TaskOptions(resources={"GPU": -1.0}), m.TaskOptions),
    (m.TaskOptions(resources={"GPU": math.inf}), m.TaskOptions),
    (m.DataAdded(Key("k"), 1, -1), m.NannyToScheduler),
    (m.Place(None, -1, (1,)), m.Place),
    (m.Place(None, 0, (1, -1)), m.Place),
    (m.GrantSpace(1, 0, -1), m.NannyToWorker),
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
    "kind", [kind for kind in STRUCTS if issubclass(kind, m.Message)], ids=lambda kind: kind.__name__
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
