"""Results that this host holds: counted, announced, freed.

What may be held at all is the scheduler's decision; where its bytes are, the store's.  Here the books are kept that
both are compared with: what came is entered and announced, what is freed or can't be read any more is struck off.
"""

from __future__ import annotations

from typing import Final

from himalia.messages.nanny import DataAdded, DataLost, FreeData
from himalia.names import Key, PeerId, digest
from himalia.nanny.events import DataStored, DataUnreadable, FreeFromStore, WriterGone
from himalia.nanny.state import NannyState

PLACED_LIMIT: Final = 600.0
"""Seconds that a client which is here may take to announce what it placed: large arguments of one submission are
announced with the last of them.  What it was interrupted in announcing stays for so long.
Ray gives up waiting for a value after as much (``fetch_fail_timeout_milliseconds``)."""
NOBODY: Final = PeerId("")
"""Who placed something, once that client is gone."""


def keep(state: NannyState, key: Key, attempt: int, nbytes: int) -> None:
    """Count and announce a copy; of two computed results of a key the older one is dropped."""
    # A copy may come from two sides at once: fetched for a task, and placed here by a client.
    if state.held.has(key, attempt):
        return
    held = state.held.newest.get(key)
    # Results of one key are equal by definition if computed; the newer attempt is the one that the scheduler asks for.
    if held is not None and 0 <= attempt < held[0]:
        state.out.append(FreeFromStore(key, attempt))
        return
    if held is not None and 0 <= held[0] < attempt:
        drop(state, key, held[0])
    state.held.add(key, attempt, nbytes, digest(key, attempt))
    state.send(DataAdded(key, attempt, nbytes))


def drop(state: NannyState, key: Key, attempt: int) -> bool:
    """Free a result; return whether it was here."""
    if not state.held.remove(key, attempt):
        return False
    state.out.append(FreeFromStore(key, attempt))
    return True


def free_data(state: NannyState, message: FreeData, source: PeerId) -> None:
    """Free results; one of another attempt than the stored one stays."""
    for key, attempt in message.data:
        drop(state, key, attempt)


def data_stored(state: NannyState, event: DataStored, source: PeerId) -> None:
    """Count what a client put here; it tells the scheduler itself, after which the scheduler may name it."""
    key, attempt, nbytes = event.held.key, event.held.attempt, event.held.nbytes
    # The same attempt again replaces what is there: a client that was interrupted in scatter repeats it.
    state.held.remove(key, attempt)
    state.held.add(key, attempt, nbytes, digest(key, attempt))
    # A client may be killed between storing a value here and telling the scheduler; then nobody would ever free it.
    if attempt < 0:
        state.held.placed[key, attempt] = (state.now, nbytes, event.writer)


def writer_gone(state: NannyState, event: WriterGone, source: PeerId) -> None:
    """Note that whoever placed some data may not have lived to announce them."""
    for name, (_, nbytes, writer) in state.held.placed.items():
        if writer == event.writer:
            # Not announced at once: its last words to the scheduler may be on their way by another road.
            state.held.placed[name] = (state.now, nbytes, NOBODY)


def announce_placed(state: NannyState) -> None:
    """Announce placed data whose client had time to do it: if it died before, the scheduler has them freed."""
    late = 2 * state.settings.client_lease
    for (key, attempt), (since, nbytes, writer) in list(state.held.placed.items()):
        if state.now - since >= (PLACED_LIMIT if writer else late):
            del state.held.placed[key, attempt]
            state.send(DataAdded(key, attempt, nbytes))


def data_unreadable(state: NannyState, event: DataUnreadable, source: PeerId) -> None:
    """Tell the scheduler that a result it knows to be here is gone."""
    if drop(state, event.key, event.attempt):
        state.send(DataLost(event.key, event.attempt))
