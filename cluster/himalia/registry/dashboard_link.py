"""Links to a cluster's dashboard: one that opens it once, and one that may be saved and shown to everybody."""

from __future__ import annotations

import os
import time
from typing import Protocol
from urllib.parse import quote, urlsplit

from himalia.registry.dashboard_key import CODE_SECONDS, mint


class HasDashboard(Protocol):
    """What a link is made of: a cluster file's entry, or the open port of one (``deploy/dashboard/process.py``)."""

    @property
    def dashboard(self) -> str:
        """``http://127.0.0.1:PORT``; empty: there is none."""

    @property
    def dashboard_key(self) -> str:
        """See :mod:`himalia.registry.dashboard_key`."""


def login_link(place: HasDashboard | None, page: str = "status") -> str:
    """Return a link that opens a page of the dashboard, once and within ten minutes; empty if there is no dashboard.

    On a JupyterHub it goes through jupyter-server-proxy, since the browser is elsewhere.
    """
    if place is None or not place.dashboard:
        return ""
    code = mint(place.dashboard_key, "code", now=time.time(), seconds=CODE_SECONDS)
    return f"{outside(place)}/login?code={code}&next={quote(page, safe='/')}"


def outside(place: HasDashboard) -> str:
    """Return where a browser reaches the dashboard."""
    # By its path alone: only the browser knows under which name it reached the hub.
    hub = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    return f"{hub.rstrip('/')}/proxy/{urlsplit(place.dashboard).port}" if hub else place.dashboard


def plain_link(place: HasDashboard | None) -> str:
    """Return the address without anything that opens it; what may be saved and shown to everybody."""
    return f"{place.dashboard}/status" if place is not None and place.dashboard else ""
