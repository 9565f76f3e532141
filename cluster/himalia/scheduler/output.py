"""Lines that calls wrote, on their way from the nannies to the client that submitted the calls.

Decides which ones go on: so many a second for each client; the others are counted.  The last lines of all calls are
remembered here too (``call_lines.py``), for whoever asks after the host that kept them is gone.
"""

from __future__ import annotations

from typing import Final

from himalia.bucket import TokenBucket
from himalia.messages.client import CallOutput
from himalia.messages.nanny import WorkerOutput
from himalia.names import Key, PeerId
from himalia.scheduler.state import ClientState, SchedulerState

CLIENT_RATE: Final = 2000
"""Lines/s that one client is sent; two hosts at their limit (``HOST_RATE`` of ``nanny/output.py``).  A Jupyter
server drops what is beyond 1,000 messages/s (``iopub_msg_rate_limit``), but a kernel joins the lines of 0.2 s to
one."""
BURST: Final = 2.0
"""Seconds' worth of lines that pass at once."""


def worker_output(state: SchedulerState, message: WorkerOutput, source: PeerId) -> None:
    """Remember lines, and send them to the client of the call."""
    worker = str(message.worker)
    kept = state.lines
    kept.keep(worker, message.lines)
    task = state.tasks.get(message.key)
    client = state.clients.get(task.group.client) if task is not None else None
    if task is None or client is None:
        return
    bucket = kept.buckets.get(client.id)
    if bucket is None:
        bucket = kept.buckets[client.id] = TokenBucket(CLIENT_RATE, BURST * CLIENT_RATE)
    lines = [line for line in message.lines if bucket.take(state.now)] if client.window.has_room else []
    dropped = message.dropped + len(message.lines) - len(lines)
    span = task.group.span
    if lines:
        dropped += kept.dropped.pop((client.id, span), 0)
        state.send(client, CallOutput(message.key, span, worker, lines, dropped))
    elif dropped:
        kept.dropped[client.id, span] = kept.dropped.get((client.id, span), 0) + dropped


def tell_dropped(state: SchedulerState) -> None:
    """Tell clients how many lines they were not sent, where no line follows that could say so."""
    kept = state.lines
    dropped, kept.dropped = kept.dropped, {}
    for (client_id, span), count in dropped.items():
        client = state.clients.get(client_id)
        if client is not None and not client.window.has_room:
            kept.dropped[client_id, span] = count
        elif client is not None:
            state.send(client, CallOutput(Key(""), span, "", [], count))


def forget_client(state: SchedulerState, client: ClientState) -> None:
    """Forget a client that left."""
    state.lines.buckets.pop(client.id, None)
