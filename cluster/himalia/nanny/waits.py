"""What waits at this host, and since when: for whoever asks why nothing happens.

Everything here is gathered when the host is measured or a heartbeat is due, and of each kind only the oldest are named;
so no call pays for it.  Four things wait for more than their turn:

- *fetched*: an input that another host was asked for, or for which there is no room here although it came;
- *read*: a call's inputs that are being read back from disk, one call after the other, or have no room;
- *admitted*: a call that isn't begun because there is no room for its inputs beside those of calls under way;
- *written*: a call that has a result, and no room for it.

It changes nothing about any of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from himalia.messages.telemetry import HostWait
from himalia.names import Key
from himalia.nanny.admission import needs
from himalia.nanny.state import NannyState
from himalia.nanny.tasks import READY, NannyTask

SAID_AFTER: Final = 1.0
"""Seconds that something waits before it is worth a word."""
SHOWN: Final = 20
"""Waits of a kind that a heartbeat names, in 1.7 kB (measured); the others wait behind them."""
LOOKED_AT: Final = 1000
"""Fetches that are looked at for that, the oldest first: 60 µs, measured."""


def look(state: NannyState) -> None:
    """Note, after a measurement, since when no call was begun or ended here."""
    progress = (state.last_run, len(state.runs))
    # Both numbers: a call that ends where another begins changes only one of them.
    if progress != state.progress:
        state.progress, state.progress_at = progress, state.now


def quiet(state: NannyState) -> float:
    """Return for how many seconds no call was begun or ended though some were assigned; 0 for less than a moment."""
    seconds = state.now - state.progress_at
    return seconds if state.tasks and seconds >= SAID_AFTER else 0.0


def describe(state: NannyState) -> list[HostWait]:
    """Return what has waited for longer than a moment; the oldest of each kind."""
    finders = (find_fetched, find_read, find_admitted, find_written)
    return [wait for find in finders for wait in islice(find(state), SHOWN)]


def for_room(state: NannyState) -> dict[Key, int]:
    """Return the calls that wait for room at this moment, and the bytes that each needs."""
    waiting = {task.key: nbytes for task, nbytes, _ in writers(state)}
    for task in islice(state.loading.values(), SHOWN):
        waiting[task.key] = state.reserved.of(task)
    blocked = state.reserved.blocked
    if blocked is not None and blocked.status is READY:
        waiting[blocked.key] = needs(state, blocked)
    return waiting


def find_fetched(state: NannyState) -> Iterator[HostWait]:
    """Yield the inputs that calls wait for and other hosts were asked for, those asked for first in front."""
    latest = state.now - SAID_AFTER
    for fetch in islice(state.fetches.values(), LOOKED_AT):
        # Who waited may have been withdrawn; the bytes come all the same, and concern nobody.
        if fetch.waiters and fetch.host is not None and fetch.asked_at <= latest:
            nbytes, since = state.unread.get(fetch.key, (0, fetch.asked_at))
            seconds = max(0.0, state.now - since)
            yield HostWait("fetched", fetch.key, seconds, nbytes, str(fetch.host), len(fetch.holders))


def find_read(state: NannyState) -> Iterator[HostWait]:
    """Yield the calls whose inputs are read back from disk, in their order: one at a time."""
    latest = state.now - SAID_AFTER
    for before, task in enumerate(islice(state.loading.values(), SHOWN)):
        if task.waiting_since <= latest:
            nbytes, _ = state.unread.get(task.key, (0, 0.0))
            yield HostWait("read", task.key, max(0.0, state.now - task.waiting_since), nbytes, "", before)


def find_admitted(state: NannyState) -> Iterator[HostWait]:
    """Yield the call that was refused room for its inputs last; others of its queue wait behind it."""
    task = state.reserved.blocked
    if task is not None and task.status is READY and state.now - task.waiting_since >= SAID_AFTER:
        yield HostWait("admitted", task.key, state.now - task.waiting_since, needs(state, task))


def find_written(state: NannyState) -> Iterator[HostWait]:
    """Yield the calls that wait for room for their results."""
    for task, nbytes, since in writers(state):
        if state.now - since >= SAID_AFTER:
            yield HostWait("written", task.key, state.now - since, nbytes)


def writers(state: NannyState) -> Iterator[tuple[NannyTask, int, float]]:
    """Yield what runs on workers that wait for room for a result: of several threads nobody knows whose it is."""
    for run, (worker, _, _) in state.activity.running.items():
        found = state.unwritten.get(worker)
        task = state.runs.get(run)
        if found is not None and task is not None:
            yield task, *found
