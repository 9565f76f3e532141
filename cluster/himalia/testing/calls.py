"""What simulated calls do: how long they take, what they return, how they fail.

The *value* of a key is a hash of its name and of its inputs' values.  Whoever mixes results up, computes from a wrong
input or loses one on the way therefore ends with a value that shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b

import msgspec

from himalia.decoders import decoder_of
from himalia.names import Key

NORMAL = "normal"
RAISES = "raises"
FLAKY = "flaky"
POISON = "poison"
UNWRITABLE = "unwritable"
ENDLESS = "endless"
LARGE_CALL = 40_000
"""Bytes of a call that is too large for a message."""

VALUE_BYTES = 8


class SimulatedCall(msgspec.Struct, array_like=True, frozen=True):
    """The script of one call; travels, opaque to all machines, as ``TaskSpec.call``."""

    key: Key
    inputs: tuple[Key, ...] = ()
    duration: float = 0.01
    """Seconds, roughly."""
    nbytes: int = 8
    """Size of its result."""
    nature: str = NORMAL
    """``raises`` always; ``flaky`` raises and ``poison`` kills its worker the first ``times`` times (poison 0: always);
    ``unwritable`` has a result that can't be written; ``endless`` ends when it is cancelled."""
    times: int = 0
    salt: str = ""
    """Part of the value: two calls of one key with different salts are different functions."""

    def pack(self) -> bytes:
        """The bytes that travel."""
        return _encode(self)


_encode = msgspec.msgpack.Encoder().encode
_decode = decoder_of(SimulatedCall).decode


def unpack(data: bytes) -> SimulatedCall:
    """The call that ``data`` describes."""
    return _decode(data)


def value_of(call: SimulatedCall, inputs: Sequence[bytes]) -> bytes:
    """The value of a call with these input values, in the order of ``call.inputs``."""
    # Of the inputs' values in the call's order, so that two inputs that were exchanged show as well.
    return blake2b(f"{call.key}/{call.salt}".encode() + b"".join(inputs), digest_size=VALUE_BYTES).digest()


def scattered_value(key: Key, number: int = 0) -> bytes:
    """The value of placed data; of several that one name stands for, one after another, that of a number."""
    return blake2b(f"placed/{key}/{number}".encode(), digest_size=VALUE_BYTES).digest()


def true_values(calls: Mapping[Key, SimulatedCall], placed: Sequence[Key]) -> dict[Key, bytes]:
    """Return what every key must be, if it ends with a value.

    Parameters
    ----------
    calls : mapping
        All calls, dependencies before dependents.
    placed : sequence of Key
        Keys of scattered data.
    """
    values = {key: scattered_value(key) for key in placed}
    for key, call in calls.items():
        values[key] = value_of(call, [values[name] for name in call.inputs])
    return values


def write_value(value: bytes, nbytes: int) -> bytes:
    """Return ``nbytes`` bytes (eight at least) that all show ``value``."""
    # Repeated to the end: a torn or foreign range shows at whatever byte it begins.
    return (value * (nbytes // VALUE_BYTES + 1))[: max(nbytes, VALUE_BYTES)]


def read_value(data: bytes | memoryview) -> bytes:
    """The value that bytes show, or nothing if they don't show one alone."""
    # All of it is compared: a range whose end is somebody else's begins as it should.
    value = bytes(data[:VALUE_BYTES])
    return value if data == write_value(value, len(data)) else b""
