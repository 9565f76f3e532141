"""How much may be under way to a client that hasn't read it yet, and what becomes of the rest.

A client may stand still for an hour (a stopped kernel, a closed lid) or have a slow line, and goes on as if nothing had
happened; meanwhile the cluster works for others, and for it.  So nothing queues for it without end:

=========================  =============================================================================================
under way, of the window   what it is sent
=========================  =============================================================================================
up to 1/8                  everything
up to 1                    no telemetry and no lines of output; both are counted, and it is told later how much
up to 3/2                  results without their values: those are at the hosts anyway, to be asked for
up to 4                    no news of results; of each key that changed it is told how it stands once there is room
more                       nothing: it keeps asking and reads no answers.  Its session ends at the next tick
=========================  =============================================================================================

What is under way is estimated from the messages themselves, and what arrived is known at each tick, when the shell says
how many of them each peer hasn't acknowledged (:class:`himalia.machine.Ticked`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from himalia.backlog import Backlog
from himalia.messages.answers import Reply
from himalia.messages.client import CallOutput, ResultErred, ResultReady, Telemetry
from himalia.messages.parts import FunctionBody, Message
from himalia.names import Key

HOPELESS: Final = 128 * 1024 * 1024
"""Bytes under way to a client that only answers to its own questions can come to; more if the window is larger."""
MOST_HELD: Final = 200_000
"""News of keys that a client doesn't hold (it asks for unknown ones, say) that wait for it, before it is hopeless."""

MESSAGE: Final = 300
"""Bytes of a message with the usual keys and names, in memory; encoded it is half of that.  Measured, about."""
ROW: Final = 400
"""Bytes of a telemetry record or a group's summary."""


class SendWindow(Backlog):
    """What is under way to one client, and what waits.

    Parameters
    ----------
    size : int
        ``settings.client_window``.
    """

    __slots__ = ("held", "hopeless", "news", "thin", "values", "was_closed")

    def __init__(self, size: int) -> None:
        super().__init__()
        self.thin = size // 8
        """Bytes under way beyond which it gets no telemetry and no lines."""
        self.values = size
        """Beyond which it gets no values."""
        self.news = size * 3 // 2
        """Beyond which it gets no news."""
        self.hopeless = max(HOPELESS, 4 * size)
        # The last word on each key only. A client that stood still for an hour while 100,000 calls finished needs to
        # know where they are, not the way there.
        self.held: dict[Key, Message | None] = {}
        """News that wait: by key, the message, or ``None`` for how it stands when there is room."""
        self.was_closed = False
        """Whether people were told that it doesn't read."""

    @property
    def has_room(self) -> bool:
        """Whether it gets everything."""
        return self.under_way <= self.thin

    def add(self, message: Message) -> None:
        """Count a message that is sent."""
        # Estimated, not encoded: encoding happens once, later, when the frame is made.
        weigh = _WEIGHTS.get(message.__class__)
        self.count(MESSAGE if weigh is None else weigh(message))


def _weigh_ready(message: ResultReady) -> int:
    return MESSAGE if message.data is None else MESSAGE + len(message.data)


def _weigh_erred(message: ResultErred) -> int:
    error = message.error
    return 2 * MESSAGE + len(error.text) + len(error.exception) + 200 * len(error.frames)


def _weigh_reply(message: Reply) -> int:
    if message.value is None:
        return MESSAGE + len(message.error)
    return MESSAGE + 3 * len(msgspec.msgpack.encode(message.value))  # structs and lists, until they are encoded


def _weigh_telemetry(message: Telemetry) -> int:
    rows = len(message.records) + len(message.groups) + len(message.events) + 2 * len(message.errors)
    return 2 * MESSAGE + ROW * (rows + len(message.hosts)) + sum([len(block) for block in message.blocks])


def _weigh_output(message: CallOutput) -> int:
    return MESSAGE + sum([MESSAGE + len(line.text) for line in message.lines])


def _weigh_function(message: FunctionBody) -> int:
    return MESSAGE + len(message.body)


_WEIGHTS: Final[dict[type, Callable[[Any], int]]] = {
    ResultReady: _weigh_ready,
    ResultErred: _weigh_erred,
    Reply: _weigh_reply,
    Telemetry: _weigh_telemetry,
    CallOutput: _weigh_output,
    FunctionBody: _weigh_function,
}
