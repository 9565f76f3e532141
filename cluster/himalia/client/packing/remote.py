"""What the pickles of a client call when they are loaded in a worker.

These few lines turn what a client packed for speed back into a call.  Workers import nothing else of the client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from himalia import serialize

if TYPE_CHECKING:
    from himalia.names import Key

JoinedCall: TypeAlias = tuple[Callable[..., object], tuple[object, ...], dict[str, object]]
"""Function, args, kwargs."""


def join_call(function: bytes, call: bytes) -> JoinedCall:
    """Return ``(function, args, kwargs)`` of a function and of arguments that were pickled apart."""
    live = serialize.loads_packed(function)  # first: it knows where to import from
    args, kwargs = serialize.loads_packed(call)
    return live, args, kwargs


def run_node(node: Callable[[Mapping[object, object]], object], values: Mapping[object, object]) -> object:
    """Evaluate a node of a Dask graph, given the values of the keys that it refers to."""
    return node(values)


def identity(value: object) -> object:
    """Return ``value``: what a constant of a graph is computed by, if it refers to futures."""
    return value


class InlineCall:
    """``(function, args, kwargs)`` once it is unpickled."""

    __slots__ = ("call", "function")

    def __init__(self, function: bytes, call: bytes) -> None:
        self.function = function
        self.call = call

    def __reduce__(self) -> tuple[Callable[..., object], tuple[bytes, bytes]]:
        return join_call, (self.function, self.call)


class Reference:
    """The value of another key once it is unpickled in a worker."""

    __slots__ = ("reduced",)

    def __init__(self, key: Key) -> None:
        self.reduced = (serialize.resolve, (key,))

    def __reduce__(self) -> tuple[Callable[[Key], object], tuple[Key]]:
        # Like a future: noted as an input if a call is being pickled.
        found = serialize.reference(self.reduced[1][0])
        return self.reduced if found is None else found
