"""What simulated processes ask of a network, and what faults do to it; there are two behind these protocols.

``model_network.py`` sends whole frames of two pure sessions to each other.  In ``real_network.py`` each process has a
real endpoint, on an event loop of its own, and connections that carry bytes.  The plan of a run says which it gets.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from himalia.names import PeerId

Wires: TypeAlias = Literal["model", "real"]
Unions: TypeAlias = Mapping[str, tuple[object, object]]
"""For each role that dials: what it may send, and what it may be sent."""
MODEL: Final = "model"
REAL: Final = "real"


class Weather(msgspec.Struct, kw_only=True):
    """How the network behaves; seconds and probabilities."""

    latency: float = 0.0005
    jitter: float = 0.0005
    slow: float = 0.0
    """Probability that a frame takes ``slow_latency`` longer (and all behind it wait)."""
    slow_latency: float = 0.3
    duplicate: float = 0.0
    """Probability that a frame arrives twice; real connections carry everything once."""
    notice: float = 0.2
    """Longest time until a side learns of a cut."""


class Owner(Protocol):
    """A process, as the network sees it."""

    me: PeerId
    role: str
    is_alive: bool

    def peer_joined(self, peer: PeerId, role: str) -> None:
        """Learn that a session began."""

    def messages_received(self, peer: PeerId, messages: list[object]) -> None:
        """Take what arrived in one frame."""

    def peer_left(self, peer: PeerId, reason: str) -> None:
        """Learn that a session ended."""


class Comm(Protocol):
    """The sessions of one process."""

    @property
    def peers(self) -> Collection[PeerId]:
        """With whom there is a session, connected or not."""

    def connect(self, alias: PeerId, lease: float) -> None:
        """Begin a session with the scheduler, which is called ``alias`` from then on."""

    def send(self, peer: PeerId, message: object) -> None:
        """Queue a message; nothing happens if there is no session."""

    def disconnect(self, peer: PeerId, reason: str) -> None:
        """End a session after what is queued; the own side isn't told."""

    def pending(self) -> dict[PeerId, int]:
        """How many messages peers haven't acknowledged; those that have all of theirs are left out."""

    def tick(self) -> None:
        """Do what is done now and then."""

    def close(self, reason: str) -> None:
        """End all sessions after what is queued; the process is over."""

    def die(self) -> None:
        """End as the sessions of a killed process do; what it had sent may be lost on the way."""


class NetworkLine(Protocol):
    """What lies between a process and the scheduler."""

    def cut(self, blocked: float) -> None:
        """Cut the connection; none gets through for ``blocked`` seconds."""

    def clog(self, upwards: bool, seconds: float) -> None:
        """Let nothing arrive at the scheduler, or at the process, for a while; nothing is lost."""


class Network(Protocol):
    """All lines, and the weather above them."""

    weather: Weather
    frames: int
    """Frames, or pieces of the stream, that were sent."""

    def enter(self, owner: Owner) -> Comm:
        """Let a process in; the scheduler comes first."""

    def lines(self, owner: Owner) -> Sequence[NetworkLine]:
        """What lies between a process and the scheduler."""

    def stand_still(self, owner: Owner, seconds: float) -> None:
        """Let a process neither read nor write for a while."""

    def end(self) -> None:
        """Let go of everything: the run is over."""

    def calm_down(self) -> None:
        """Have good weather from now on, and everybody in reach."""
