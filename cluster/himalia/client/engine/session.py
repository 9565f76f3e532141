"""What concerns a client's session rather than a key: questions and answers, hosts, what is handed on, the end.

When a connection is dialled again, and when it counts as lost, is decided in ``comm/endpoint.py``.
"""

from __future__ import annotations

from himalia.client.engine.events import (
    Answer,
    Closed,
    Deliver,
    ForgetHost,
    HostsKnown,
    MessageMade,
    ReportKeyTaken,
    RequestMade,
    ShowOutput,
)
from himalia.client.engine.settling import end_cancelled, end_lost
from himalia.client.engine.staleness import answered
from himalia.client.engine.state import PENDING, EngineState
from himalia.machine import PeerJoined, PeerLeft
from himalia.messages.answers import Reply
from himalia.messages.client import CallOutput, KeyTaken, Telemetry
from himalia.messages.parts import Close, HostsChanged
from himalia.names import PeerId


def request_made(state: EngineState, event: RequestMade, source: PeerId) -> None:
    """Ask the scheduler; without one the answer is why there is none."""
    if state.gone:
        state.out.append(Answer(event.message.request, None, state.gone))
        return
    state.open.add(event.message.request)
    state.send(event.message)


def replied(state: EngineState, message: Reply, source: PeerId) -> None:
    """Hand an answer to who asked; what was said before it has arrived, too."""
    answered(state, message.request)
    # Fences, and the questions of ticks, have numbers too, but nobody waits for their answers.
    if message.request in state.open:
        state.open.discard(message.request)
        state.out.append(Answer(message.request, message.value, message.error))


def message_made(state: EngineState, event: MessageMade, source: PeerId) -> None:
    """Send what the shell has for the scheduler."""
    state.send(event.message)


def hosts_changed(state: EngineState, message: HostsChanged, source: PeerId) -> None:
    """Note who joined and who left."""
    for info in message.joined:
        state.hosts[info.host] = info
    # Neither: the first words of a scheduler that has no hosts.
    if message.joined or not message.left:
        state.out.append(HostsKnown())
    for host in message.left:
        if state.hosts.pop(host, None) is not None:
            state.out.append(ForgetHost(host))


def telemetry_pushed(state: EngineState, message: Telemetry, source: PeerId) -> None:
    """Hand telemetry to those who follow it."""
    state.out.append(Deliver(message))


def call_wrote(state: EngineState, message: CallOutput, source: PeerId) -> None:
    """Show what a call wrote."""
    state.out.append(ShowOutput(message))


def key_taken(state: EngineState, message: KeyTaken, source: PeerId) -> None:
    """Tell the user that a key of his is in use for something else."""
    state.out.append(ReportKeyTaken(message))


def peer_joined(state: EngineState, event: PeerJoined, source: PeerId) -> None:
    """Wait for the scheduler's first words: which hosts there are."""


def peer_left(state: EngineState, event: PeerLeft, source: PeerId) -> None:
    """Take in that the session with the scheduler is over."""
    lose_scheduler(state, f"The scheduler is gone: {event.reason}")


def scheduler_closed(state: EngineState, message: Close, source: PeerId) -> None:
    """Take in that the scheduler ends."""
    lose_scheduler(state, f"The scheduler ended: {message.reason}")


def closed(state: EngineState, event: Closed, source: PeerId) -> None:
    """Settle every future and every question: the user closed the client."""
    # A copy: each leaves the table.
    for record in list(state.records.values()):
        # It was the user's wish: cancelled, then, and not lost, as what follows would have it.
        if record.status is PENDING:
            end_cancelled(state, record, event.reason)
    lose_scheduler(state, event.reason)


def lose_scheduler(state: EngineState, reason: str) -> None:
    """Settle what waits for a scheduler that is no more, and forget its hosts."""
    # A goodbye is followed by the end of the session. The first reason is the one to be told.
    if state.gone:
        return
    state.gone = reason
    for record in state.records.values():
        # No answer will lift it any more.
        record.fence = 0
        if record.status is PENDING:
            end_lost(state, record, reason)
    # Sorted: nothing may depend on the order of a set.
    state.out += [Answer(request, None, reason) for request in sorted(state.open)]
    state.open.clear()
    state.fenced.clear()
    state.hosts.clear()
