"""The client's decisions, behind one entrance: what a user's wishes and the scheduler's news do to the records.

Everything that decides is in the modules next to this one, each a set of transitions over one :class:`EngineState`:

=============== =====================================================================
``submissions``  calls and values that the user wants, also again
``settling``     the scheduler's news of a key, and who is woken by them
``letting_go``   what the user lets go of or cancels
``staleness``    which news are of an earlier task of the same key
``session``      questions, hosts, the end of the scheduler or of this client
=============== =====================================================================

Guarantees
----------
- A key is in the table if and only if the scheduler believes that this client wants it (once all is delivered).
- A wish about a future is a wish about its record: one that left the table says nothing of what its key stands for now.
- Every watcher is called exactly once, however the key ends, the scheduler's death and ``close()`` included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from himalia.client.engine import events, letting_go, session, settling, staleness, submissions
from himalia.client.engine.checks import check
from himalia.client.engine.state import PENDING, EngineState, Record, Watcher
from himalia.machine import Event, Instruction, PeerJoined, PeerLeft, Ticked
from himalia.messages.answers import Reply
from himalia.messages.client import (
    CallOutput,
    KeyTaken,
    ResultCancelled,
    ResultErred,
    ResultPending,
    ResultReady,
    Telemetry,
)
from himalia.messages.parts import Close, HostsChanged, Message
from himalia.names import SCHEDULER, PeerId

Transition = Callable[[EngineState, Any, PeerId], None]


class ClientMachine:
    """Decider of a client; one caller at a time.

    Attributes
    ----------
    records : dict of Key to Record
        Every key that this client holds futures of.
    hosts : dict of HostId to HostInfo
        The hosts of the cluster.
    """

    def __init__(self) -> None:
        self.state = EngineState()
        self.records = self.state.records
        self.hosts = self.state.hosts

    @property
    def gone(self) -> str:
        """Why there is no scheduler any more; empty while there is one."""
        return self.state.gone

    def handle(self, event: Event | Message, *, now: float = 0.0, source: PeerId = SCHEDULER) -> list[Instruction]:
        """Return what to do about ``event``; see :class:`himalia.machine.Machine`."""
        # Without `now`: what needs the time of the user's call carries it.
        state = self.state
        out = state.out = []
        TRANSITIONS[type(event)](state, event, source)
        return out

    def next_request(self) -> int:
        """Return a number that no other request of this client has; any thread."""
        return next(self.state.requests)

    def next_batch(self) -> int:
        """Return a number for a submission; later submissions have higher ones.  Any thread."""
        return next(self.state.batches)

    def watch(self, record: Record, watcher: Watcher) -> bool:
        """Have ``watcher`` called when the record settles; ``False`` (and nothing is done) if it has."""
        if record.status is not PENDING:
            return False
        # No list before somebody waits: there may be millions of records.
        if record.watchers is None:
            record.watchers = [watcher]
        else:
            record.watchers.append(watcher)
        return True

    def unwatch(self, record: Record, watcher: Watcher) -> None:
        """Undo :meth:`watch`; somebody doesn't want to wait any longer."""
        if record.watchers is not None:
            record.watchers = [other for other in record.watchers if other is not watcher] or None

    def validate(self) -> None:
        """Check every invariant; for tests."""
        check(self.state)


# By exact type: a look-up takes the same time for every row, which a match doesn't.
TRANSITIONS: Final[dict[type, Transition]] = {
    ResultReady: settling.ready,
    events.CallsSubmitted: submissions.submitted,
    events.FuturesDropped: letting_go.dropped,
    ResultErred: settling.erred,
    ResultPending: settling.pending_again,
    ResultCancelled: settling.cancelled,
    Reply: session.replied,
    HostsChanged: session.hosts_changed,
    Telemetry: session.telemetry_pushed,
    CallOutput: session.call_wrote,
    KeyTaken: session.key_taken,
    Ticked: staleness.ticked,
    events.ValuePlaced: submissions.placed,
    events.KeysHeld: submissions.held,
    events.CancelAsked: letting_go.cancel_asked,
    events.RetryAsked: submissions.retry_asked,
    events.ReadFailed: settling.read_failed,
    events.CallsRefused: settling.refused,
    events.RequestMade: session.request_made,
    events.MessageMade: session.message_made,
    PeerJoined: session.peer_joined,
    PeerLeft: session.peer_left,
    Close: session.scheduler_closed,
    events.Closed: session.closed,
}
