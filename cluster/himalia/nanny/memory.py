"""What follows from a full memory: pausing the host, ending a worker that is too large.

The store's memory and a worker's own are two different things: a full store pauses the host, and never costs a worker
its life; a worker that is too large is ended, and never costs a result.
"""

from __future__ import annotations

from typing import Final

from himalia.messages.telemetry import HostMetrics
from himalia.messages.worker import TrimHeap
from himalia.nanny.events import SendToWorker
from himalia.nanny.state import NannyState
from himalia.nanny.workers import WorkerStatus
from himalia.nanny.workforce import end_worker

RESUME_BELOW: Final = 0.95
"""Part of the pause threshold below which work goes on, so that it doesn't flicker.  dask.distributed
leaves as much on either side where it moves data between workers (``sender-recipient-gap``)."""
TRIM_ABOVE: Final = 0.5
"""Part of its limit from which a worker gives back what it freed.  It may keep an eighth (``worker/heap.py``), beside
what lies between objects that live."""
TRIM_AGAIN: Final = 1.1
"""Growth since the last time, from which it does so again: seven times from there up to its limit."""


def judge(state: NannyState, metrics: HostMetrics) -> None:
    """Compare the store, and each worker, with what they may have."""
    limit = state.info.memory_limit * state.settings.memory_pause
    if limit:
        # What is granted isn't counted: it may be handed back unused.
        state.paused = metrics.store_bytes > limit * (RESUME_BELOW if state.paused else 1.0)
    for name, (_, memory, running) in metrics.workers.items():
        worker = state.workers.get(name)  # type: ignore[call-overload]  # names are strings on the wire
        if worker is not None:
            worker.running = running
            worker.memory = memory
    if state.worker_memory:
        trim_heaps(state)
        end_large_workers(state)


def trim_heaps(state: NannyState) -> None:
    """Have workers give back what they freed and kept for later calls, before it counts against them."""
    most = state.settings.memory_terminate * state.worker_memory
    for worker in state.workers.values():
        if worker.status is not WorkerStatus.UP or worker.memory <= TRIM_ABOVE * state.worker_memory:
            worker.trimmed = 0
        elif worker.memory > TRIM_AGAIN * worker.trimmed or worker.trimmed <= most < worker.memory:
            worker.trimmed = worker.memory
            worker.is_trimming = True
            state.out.append(SendToWorker(worker.name, TrimHeap()))
        else:
            worker.is_trimming = False


def end_large_workers(state: NannyState) -> None:
    """Restart every worker whose own memory is over its limit, before the system does worse."""
    terminate = state.settings.memory_terminate
    for worker in state.workers.values():
        is_large = worker.memory > terminate * state.worker_memory
        # Not before it was told: at the next measurement what it had kept is gone.
        if worker.status is WorkerStatus.UP and is_large and not worker.is_trimming:
            reason = (
                f"the nanny stopped it: it used {worker.memory / 2**20:,.0f} MiB of its own memory, more than "
                f"{terminate:.0%} of its limit of {state.worker_memory / 2**20:,.0f} MiB"
            )
            worker.memory = 0
            # What it runs is blamed: memory that user code keeps is the only thing that makes a worker grow, results
            # are in the store.
            end_worker(state, worker, reason, blamed=True)
            # After end_worker(), which says nothing of causes; a strike for memory is a whole one.
            worker.cause = "memory"
