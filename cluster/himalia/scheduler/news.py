"""News that waited for room on their way to a client, and the end of one that has none and asks for more."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Final

from himalia.machine import Disconnect
from himalia.names import PeerId
from himalia.scheduler.state import ClientState, SchedulerState
from himalia.scheduler.transitions import status_message

BATCH: Final = 20_000
"""News that one client is told at a tick: some 40 ms, then the others have their turn."""


def catch_up(state: SchedulerState, pending: Mapping[PeerId, int]) -> None:
    """Take in what clients have read, and send those with room what waited.

    Parameters
    ----------
    pending : mapping
        Messages that each peer hasn't acknowledged; those that have all are left out.
    """
    for client in state.clients.values():
        window = client.window
        window.arrived(pending.get(client.id, 0))
        if window.held:
            send_held(state, client)
        closed = bool(window.held) or window.under_way > window.values
        if closed is not window.was_closed:
            window.was_closed = closed
            note(state, client)


def send_held(state: SchedulerState, client: ClientState) -> None:
    """Send what waits, in its order, as far as there is room."""
    window = client.window
    for key in list(islice(window.held, BATCH)):
        if window.under_way >= window.news:
            break
        message = window.held.pop(key)
        state.send(client, message if message is not None else status_message(state.tasks[key]))
    if not window.held:
        window.held = {}  # a dict keeps the room it once needed


def note(state: SchedulerState, client: ClientState) -> None:
    """Tell people that a client doesn't read, or does again."""
    if client.window.was_closed:
        text = (
            f"it reads nothing: {client.window.under_way:,} bytes are on their way to it. Until it does it gets no "
            f"telemetry and no values; of each result it will be told how it stands"
        )
        state.events.add(state.now, "client-behind", client.id, text)
    else:
        state.events.add(state.now, "client-caught-up", client.id, "it reads again, and was told what it missed")


def cut_off(state: SchedulerState) -> list[ClientState]:
    """End the sessions of clients that ask and read no answers; return them, whose wishes end as well."""
    cut = [state.clients[client] for client in state.hopeless if client in state.clients]
    state.hopeless.clear()
    for client in cut:
        reason = f"it asked for more than {client.window.hopeless:,} bytes of answers and didn't read them"
        state.events.add(state.now, "client-cut-off", client.id, reason)
        state.out.append(Disconnect(client.id, reason))
    return cut
