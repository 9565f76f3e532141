"""Sessions begin and end, time passes, everything ends: what concerns all of a scheduler at once."""

from __future__ import annotations

from himalia.machine import PeerJoined, PeerLeft, Ticked
from himalia.messages.parts import Close
from himalia.names import ClientId, HostId, PeerId
from himalia.scheduler import following, forwarding, membership, news, output
from himalia.scheduler.events import ReturnMemory, ShutDown
from himalia.scheduler.placement import refill_all, trickle
from himalia.scheduler.state import GROUPS, ClientState, SchedulerState

NOBODY = PeerId("")
"""Source of events of this side."""


def peer_joined(state: SchedulerState, event: PeerJoined, source: PeerId) -> None:
    """Welcome a client; a nanny registers by itself."""
    if event.role == "client":
        membership.add_client(state, event.peer)


def peer_left(state: SchedulerState, event: PeerLeft, source: PeerId) -> None:
    """Take in that a peer said goodbye, or that its lease ran out."""
    # Looked for in both tables: a peer that never registered is in neither.
    client = state.clients.get(ClientId(event.peer))
    if client is not None:
        forget_client(state, client)
    host = state.hosts.get(HostId(event.peer))
    if host is not None:
        membership.remove_host(state, host, event.reason)
        forwarding.drop_host(state, host)
    # The nannies leave when their workers have ended; the last one out ends the scheduler.
    if state.closing and not state.hosts:
        state.out.append(ShutDown("every nanny left"))


def forget_client(state: SchedulerState, client: ClientState) -> None:
    """End all that a client had here."""
    membership.remove_client(state, client)
    following.stop_following(state, client.id)
    output.forget_client(state, client)


def close(state: SchedulerState, message: Close, source: PeerId) -> None:
    """End: tell everybody, and wait for the nannies to leave."""
    state.closing = True
    # Nannies first: their workers need the time.
    for host in state.hosts.values():
        state.send(host, Close(message.reason))
    for client in state.clients.values():
        # Who asked for it hears of the end from the connection; a Close would be taken for somebody else's.
        if client.id != source:
            state.send(client, Close(message.reason))
    if not state.hosts:
        state.out.append(ShutDown(message.reason))


def ticked(state: SchedulerState, event: Ticked, source: PeerId) -> None:
    """Do what is due."""
    # First of all: what a client has read since the last tick decides what it gets in this one.
    news.catch_up(state, event.pending)
    # Only at ticks, never in the middle of an event: the transition that found it hopeless may be walking its tasks.
    for client in news.cut_off(state):
        forget_client(state, client)
    # Before anything below can fill the windows.
    following.push(state)
    output.tell_dropped(state)
    if state.open and state.surplus:
        refill_all(state)  # an idle host may find something to steal that wasn't worth it before
    trickle(state)
    # Work, not clients: a notebook that was left open must not keep a cluster for the weekend.
    if state.queue or any(host.assigned for host in state.hosts.values()):
        state.busy_at = state.now
    elif state.idle_timeout and state.now - state.busy_at > state.idle_timeout and not state.closing:
        close(state, Close(f"idle for {state.idle_timeout:g} s"), NOBODY)
    if state.log.total != state.logged:
        state.logged = state.log.total
        # There was something since; memory is given back once, at the end of it, not at each tick of an idle night.
        state.rested = False
    elif not state.rested and not state.tasks:
        state.rested = True
        state.rest()
        state.out.append(ReturnMemory())
    if len(state.groups) > GROUPS:
        following.forget_idle_groups(state)
