"""What is measured on a host: who judges it here, and what of it the scheduler is told, in a heartbeat.

Nothing is judged in this file.  A measurement comes a few times a second and goes to all whom it concerns; a heartbeat
carries the newest one, what happened since the last, and the tallies by which the scheduler sees whether it and this
host believe the same.
"""

from __future__ import annotations

import msgspec

from himalia.messages.nanny import Heartbeat
from himalia.names import PeerId
from himalia.nanny import memory, waits, watchdog
from himalia.nanny.events import Measured, Transferred
from himalia.nanny.state import NannyState


def measured(state: NannyState, event: Measured, source: PeerId) -> None:
    """Take in the newest measurement, and let everybody judge it whom it concerns."""
    state.metrics = event.metrics
    state.unwritten, state.unread = event.unwritten, event.unread
    waits.look(state)
    state.activity.look(event.slots, event.metrics.time)
    for move in event.moves:
        state.activity.moves.add(move)
    # Before the watchdog: a worker that is over its limit is ended for that reason, and not for standing still.
    memory.judge(state, event.metrics)
    watchdog.look(state, event)


def transferred(state: NannyState, event: Transferred, source: PeerId) -> None:
    """Count what came from another host."""
    state.activity.add_transfer(event.host, event.nbytes, event.seconds, event.count)


def beat(state: NannyState) -> None:
    """Send a heartbeat if it is time; one that nobody reads would only add to the heap, and says less than the next."""
    if state.registered and state.scheduler_reads and state.now >= state.next_heartbeat:
        # From now, not from when it was due: after a pause (a debugger, a suspended laptop) one heartbeat says all, and
        # forty in a row would say it forty times.
        state.next_heartbeat = state.now + state.settings.heartbeat_interval
        # Numbers and sums of now, sent with how many messages were handled: the scheduler compares them with its own of
        # the same point.
        attempts = (len(state.tasks), state.tasks_tally)
        data = (state.held.count, state.held.tally)
        metrics = msgspec.structs.replace(state.metrics, still=watchdog.describe(state))
        # Takes what it reports out of the books, so it must not be called for a heartbeat that isn't sent.
        metrics = state.activity.report(metrics, state.runs, state.settings.heartbeat_interval)
        use = msgspec.structs.replace(metrics.use, calls=state.reserved.nbytes, waiting=waits.for_room(state))
        metrics = msgspec.structs.replace(metrics, use=use, waits=waits.describe(state), quiet=waits.quiet(state))
        state.send(Heartbeat(metrics, attempts, data, state.seen, state.paused))
