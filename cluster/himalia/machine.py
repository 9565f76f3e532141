"""What every pure machine of the runtime has in common.

A machine has one entrance, ``handle(event, *, now, source) -> list[Instruction]``.  It does no I/O and reads no clock,
no environment and no global random; a wire message *is* the event when it arrives.  A shell turns bytes into events,
calls ``handle``, performs the instructions in their order, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import msgspec

from himalia.names import PeerId


# gc=False, here and below: they are short-lived and in no circle, so the collector needn't look at them.
class Event(msgspec.Struct, gc=False):
    """Something that happened on this side of the wire; its class is named in the past tense."""


class Instruction(msgspec.Struct, gc=False):
    """Something that the shell shall do; its class is named in the imperative."""


class PeerJoined(Event):
    """A peer proved who it is and a new session with it began."""

    peer: PeerId
    role: str


class PeerLeft(Event):
    """The session with a peer ended: it said goodbye, or its lease ran out."""

    peer: PeerId
    reason: str


class Ticked(Event):
    """The shell's timer fired; machines do what is due.  Sent every ``settings.tick_interval`` seconds."""

    # Counted by the endpoint's sessions, of which a machine knows nothing.
    pending: dict[PeerId, int] = {}
    """Messages sent to each peer that it hasn't acknowledged yet; peers that have everything are left out."""


class Send(Instruction):
    """Queue ``message`` for ``peer``; a message to a peer that is gone is dropped."""

    peer: PeerId
    message: Any


class Disconnect(Instruction):
    """End the session with ``peer`` after what was queued for it."""

    peer: PeerId
    reason: str


class Machine(Protocol):
    """A decision maker without I/O."""

    def handle(self, event: Any, *, now: float, source: PeerId = ...) -> list[Instruction]:
        """Return what to do about ``event``.

        Parameters
        ----------
        event : Event or Message
            What happened.
        now : float
            Seconds of the shell's monotonic clock.
        source : PeerId
            Who sent it, if it is a message; empty for events of this side.
        """
        ...  # a protocol method has no body


Performers: TypeAlias = dict[type, Callable[[Any], None]]
"""What does what an instruction says, by the instruction's class; no type of a dict says that the two fit."""
