"""What a scheduler process is started with: one JSON line, read from standard input or made by the command line."""

from __future__ import annotations

import msgspec

from himalia.settings import Settings


class SchedulerConfig(msgspec.Struct, kw_only=True):
    """Everything a scheduler process needs to know."""

    credentials: dict[str, str | dict[str, str]]
    """``Credentials.to_config()``."""
    listen: list[str]
    """Addresses to listen at, the one it calls itself by first."""
    certificate: dict[str, str] | None = None
    """``ServerCertificate.to_config()``, for ``tls://`` addresses."""
    name: str = ""
    idle_timeout: float = 0.0
    """Seconds without work after which it ends; 0: never."""
    leash: bool = True
    """End when standard input ends: whoever started it is gone."""
    settings: Settings = Settings()

    def __repr__(self) -> str:
        return f"<SchedulerConfig {self.name} {self.listen}>"  # the fields above hold secrets
