"""What the body of a function becomes in a worker: the function itself, or what makes one for each call.

What calls may share, the client says with the body: it has the live object.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, TypeAlias

from himalia import serialize

Function: TypeAlias = Callable[..., Any]
"""One of a user's: what it takes and returns is the user's."""


class PerCall:
    """A function that may carry state from one call to the next, so that each call gets one of its own.

    Parameters
    ----------
    body : bytes
        Its packed pickle.
    """

    __slots__ = ("body",)

    def __init__(self, body: bytes) -> None:
        self.body = body

    def __reduce__(self) -> tuple[type[PerCall], tuple[bytes]]:
        return PerCall, (self.body,)

    def make(self) -> Function:
        """Return the function as it was when it was pickled."""
        function: Callable[..., object] = serialize.loads_packed(self.body)
        return function


def per_call(body: bytes) -> bytes:
    """Return the body of a function that is unpickled for each call."""
    # Around the body, not in the message: so it has its own digest, and no worker needs to be told (docs/notes/0004).
    return pickle.dumps(PerCall(body), 5)


def read_function(body: bytes) -> Function:
    """Return a function by its body, for one call."""
    function: Any = serialize.loads_packed(body)
    # Its type exactly: a user's callable may have any ``make``.
    return function.make() if type(function) is PerCall else function
