"""Questions of clients that hosts owe an answer to, by the number that hosts are given."""

from __future__ import annotations

from typing import Any

from himalia.names import ClientId, HostId


class PendingRequest:
    """One client's question, and the hosts that still owe an answer."""

    __slots__ = ("answers", "client", "kind", "number", "waiting")

    def __init__(self, client: ClientId, number: int, kind: str) -> None:
        self.client = client
        self.number = number
        """The client's own number of it."""
        self.kind = kind
        self.waiting: dict[HostId, list[str]] = {}
        """Hosts that owe an answer, and the worker addresses that each was asked for."""
        self.answers: dict[str, Any] = {}


class Requests:
    """All of them, by the number that hosts are given."""

    def __init__(self) -> None:
        self.pending: dict[int, PendingRequest] = {}
        self.next_number = 1

    def open(self, client: ClientId, number: int, kind: str) -> tuple[int, PendingRequest]:
        """Begin a question; return the number for the hosts."""
        ours = self.next_number
        self.next_number = ours + 1
        request = self.pending[ours] = PendingRequest(client, number, kind)
        return ours, request
