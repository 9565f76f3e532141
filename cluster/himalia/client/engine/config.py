"""What a client's engine is made with."""

from __future__ import annotations

import msgspec

from himalia.comm.security import Credentials
from himalia.names import PeerId
from himalia.settings import Settings


class EngineConfig(msgspec.Struct, kw_only=True):
    """Everything a client's engine needs to know."""

    me: PeerId
    """Incarnation of the client."""
    scheduler: list[str]
    """Where its scheduler listens; of several addresses the first that answers."""
    credentials: Credentials
    timeout: float = 30.0
    """Seconds the scheduler has to let us in."""
    settings: Settings = Settings()

    def __repr__(self) -> str:
        return f"<EngineConfig {self.me} of {self.scheduler}>"  # the credentials are secrets
