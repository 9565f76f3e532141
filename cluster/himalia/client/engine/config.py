"""What a client's engine is made with."""

from __future__ import annotations

import msgspec

from himalia.names import PeerId
from himalia.settings import DEFAULT, Settings


class EngineConfig(msgspec.Struct, kw_only=True):
    """What a client's engine needs to know before it is connected."""

    me: PeerId
    """Incarnation of the client."""
    asynchronous: bool = False
    """Whether it works in the loop of who awaits it, and never blocks a thread."""
    settings: Settings = DEFAULT
