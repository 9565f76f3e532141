"""What a nanny process is started with: one JSON line, read from standard input or made by the command line."""

from __future__ import annotations

import msgspec

from himalia.settings import Settings


class NannyConfig(msgspec.Struct, kw_only=True):
    """Everything a nanny process needs to know."""

    scheduler: list[str]
    """Addresses of its scheduler; the first that answers is used."""
    credentials: dict[str, str | dict[str, str]]
    """``Credentials.to_config()``."""
    listen: str
    """Address of the data listener: ``unix://…``, or ``tcp://…``, ``tls://…`` (port 0: any)."""
    certificate: dict[str, str] | None = None
    """``ServerCertificate.to_config()`` for a ``tls://`` listener; ``None``: make one."""
    name: str = ""
    """Workers are called ``name-0``, ``name-1``, …"""
    nworkers: int
    nthreads: int = 1
    memory_limit: int = 0
    """Bytes per worker, and of results per worker; 0: what the host has."""
    local_directory: str = ""
    """Where a directory of its own is made; empty: the system's temporary one."""
    resources: dict[str, float] = {}
    """What each worker offers."""
    env: dict[str, str] = {}
    """Environment of the workers, beside the nanny's own."""
    sys_path: list[str] | None = None
    """Where workers look for modules first, as in whoever starts it; ``None``: nobody says."""
    cwd: str = ""
    """Where workers begin; empty: where the nanny is."""
    preload: list[str] = []
    """Modules that are imported before the first worker is there, once for all of them."""
    leash: bool = True
    """End when standard input ends: whoever started it is gone."""
    timeout: float = 30.0
    """Seconds the scheduler has to let us in."""
    lifetime: float = 0.0
    """Seconds after which it ends; 0: never."""
    forward_output: bool = False
    """Whether what workers print goes to our standard error too, for a person at a terminal."""
    settings: Settings = Settings()

    def __repr__(self) -> str:
        return f"<NannyConfig {self.name} of {self.scheduler}>"  # the fields above hold secrets
