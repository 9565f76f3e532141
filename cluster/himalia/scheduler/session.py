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
    client = state.clients.get(ClientId(event.peer))
    if client is not None:
        forget_client(state, client)
    host = state.hosts.get(HostId(event.peer))
    if host is not None:
        membership.remove_host(state, host, event.reason)
        forwarding.drop_host(state, host)
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
    for host in state.hosts.values():
        state.send(host, Close(message.reason))
    for client in state.clients.values():
        if client.id != source:
            state.send(client, Close(message.reason))
    if not state.hosts:
        state.out.append(ShutDown(message.reason))


def ticked(state: SchedulerState, event: Ticked, source: PeerId) -> None:
    """Do what is due."""
    news.catch_up(state, event.pending)
    for client in news.cut_off(state):
        forget_client(state, client)
    following.push(state)
    output.tell_dropped(state)
    if state.open and state.surplus:
        refill_all(state)  # an idle host may find something to steal that wasn't worth it before
    trickle(state)
    if state.queue or any(host.assigned for host in state.hosts.values()):
        state.busy_at = state.now
    elif state.idle_timeout and state.now - state.busy_at > state.idle_timeout and not state.closing:
        close(state, Close(f"idle for {state.idle_timeout:g} s"), NOBODY)
    if state.log.total != state.logged:
        state.logged = state.log.total
        state.rested = False
    elif not state.rested and not state.tasks:
        state.rested = True
        state.rest()
        state.out.append(ReturnMemory())
    if len(state.groups) > GROUPS:
        following.forget_idle_groups(state)
