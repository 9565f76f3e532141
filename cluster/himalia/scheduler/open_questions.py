"""Questions of clients that hosts owe an answer to, by the number that hosts are given."""

from __future__ import annotations

from himalia.messages.answers import CallReplies, ProcessLogs, ProfileSamples, Restarted, Scaled
from himalia.names import ClientId, HostId

Collected = CallReplies | ProcessLogs | ProfileSamples | Restarted | Scaled
"""Answers that hosts put together."""


class OpenQuestion:
    """One client's question, and the hosts that still owe an answer."""

    __slots__ = ("answer", "client", "number", "waiting")

    def __init__(self, client: ClientId, number: int, answer: Collected) -> None:
        self.client = client
        self.number = number
        """The client's own number of it."""
        self.waiting: dict[HostId, list[str]] = {}
        """Hosts that owe an answer, and the worker addresses that each was asked for."""
        self.answer = answer
        """What came so far; others add to it, until it is sent."""


class OpenQuestions:
    """All of them, by the number that hosts are given."""

    def __init__(self) -> None:
        self.unanswered: dict[int, OpenQuestion] = {}
        self.next_number = 1

    def open(self, client: ClientId, number: int, answer: Collected) -> tuple[int, OpenQuestion]:
        """Begin a question, with what is known of its answer; return the number for the hosts."""
        ours = self.next_number
        self.next_number = ours + 1
        question = self.unanswered[ours] = OpenQuestion(client, number, answer)
        return ours, question
