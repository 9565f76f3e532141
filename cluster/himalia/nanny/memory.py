"""What follows from measurements: pausing, restarting a worker that is too large, heartbeats.

The store's memory and a worker's own are two different things: a full store pauses the host, and never costs a worker
its life; a worker that is too large is ended, and never costs a result.
"""

from __future__ import annotations

from typing import Final

import msgspec

from himalia.messages.nanny import Heartbeat
from himalia.names import PeerId
from himalia.nanny import waits, watchdog
from himalia.nanny.events import Measured, Transferred
from himalia.nanny.state import NannyState, WorkerStatus
from himalia.nanny.workforce import end_worker

RESUME_BELOW: Final = 0.95
"""Part of the pause threshold below which work goes on, so that it doesn't flicker.  Guess."""


def measured(state: NannyState, event: Measured, source: PeerId) -> None:
    """Judge the newest measurement."""
    state.metrics = event.metrics
    state.unwritten, state.unread = event.unwritten, event.unread
    waits.look(state)
    state.activity.look(event.slots, event.metrics.time)
    for move in event.moves:
        state.activity.moves.add(move)
    limit = state.info.memory_limit * state.settings.memory_pause
    if limit:
        state.paused = event.metrics.store_bytes > limit * (RESUME_BELOW if state.paused else 1.0)
    for name, (_, memory, running) in event.metrics.workers.items():
        worker = state.workers.get(name)  # type: ignore[call-overload]  # names are strings on the wire
        if worker is not None:
            worker.running = running
            worker.memory = memory
    if state.worker_memory:
        end_large_workers(state)
    watchdog.look(state, event)


def transferred(state: NannyState, event: Transferred, source: PeerId) -> None:
    """Count what came from another host."""
    state.activity.add_transfer(event.host, event.nbytes, event.seconds, event.count)


def end_large_workers(state: NannyState) -> None:
    """Restart every worker whose own memory is over its limit, before the system does worse."""
    terminate = state.settings.memory_terminate
    for worker in state.workers.values():
        if worker.status is WorkerStatus.UP and worker.memory > terminate * state.worker_memory:
            reason = (
                f"the nanny stopped it: it used {worker.memory / 2**20:,.0f} MiB of its own memory, more than "
                f"{terminate:.0%} of its limit of {state.worker_memory / 2**20:,.0f} MiB"
            )
            worker.memory = 0
            end_worker(state, worker, reason, blamed=True)
            worker.cause = "memory"


def beat(state: NannyState) -> None:
    """Send a heartbeat if it is time; one that nobody reads would only add to the heap, and says less than the next."""
    if state.registered and state.scheduler_reads and state.now >= state.next_heartbeat:
        state.next_heartbeat = state.now + state.settings.heartbeat_interval
        attempts = (len(state.tasks), state.tasks_digest)
        data = (state.data_count, state.data_digest)
        metrics = msgspec.structs.replace(state.metrics, still=watchdog.describe(state))
        metrics = state.activity.report(metrics, state.runs, state.settings.heartbeat_interval)
        use = msgspec.structs.replace(metrics.use, calls=state.claimed, waiting=waits.for_room(state))
        metrics = msgspec.structs.replace(metrics, use=use, waits=waits.describe(state), quiet=waits.quiet(state))
        state.send(Heartbeat(metrics, attempts, data, state.seen, state.paused))
