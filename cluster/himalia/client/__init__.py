"""The client: the process that holds futures, and with them the user's side of every call."""

from __future__ import annotations
