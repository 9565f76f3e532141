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


def peer_joined(core: SchedulerState, event: PeerJoined, source: PeerId) -> None:
    """Welcome a client; a nanny registers by itself."""
    if event.role == "client":
        membership.add_client(core, event.peer)


def peer_left(core: SchedulerState, event: PeerLeft, source: PeerId) -> None:
    """Take in that a peer said goodbye, or that its lease ran out."""
    client = core.clients.get(ClientId(event.peer))
    if client is not None:
        forget_client(core, client)
    host = core.hosts.get(HostId(event.peer))
    if host is not None:
        membership.remove_host(core, host, event.reason)
        forwarding.drop_host(core, host)
    if core.closing and not core.hosts:
        core.out.append(ShutDown("every nanny left"))


def forget_client(core: SchedulerState, client: ClientState) -> None:
    """End all that a client had here."""
    membership.remove_client(core, client)
    following.stop_following(core, client.id)
    output.forget_client(core, client)


def close(core: SchedulerState, message: Close, source: PeerId) -> None:
    """End: tell everybody, and wait for the nannies to leave."""
    core.closing = True
    for host in core.hosts.values():
        core.send(host, Close(message.reason))
    for client in core.clients.values():
        if client.id != source:
            core.send(client, Close(message.reason))
    if not core.hosts:
        core.out.append(ShutDown(message.reason))


def ticked(core: SchedulerState, event: Ticked, source: PeerId) -> None:
    """Do what is due."""
    news.catch_up(core, event.pending)
    for client in news.cut_off(core):
        forget_client(core, client)
    following.push(core)
    output.tell_dropped(core)
    if core.open and core.surplus:
        refill_all(core)  # an idle host may find something to steal that wasn't worth it before
    trickle(core)
    if core.queue or any(host.assigned for host in core.hosts.values()):
        core.busy_at = core.now
    elif core.idle_timeout and core.now - core.busy_at > core.idle_timeout and not core.closing:
        close(core, Close(f"idle for {core.idle_timeout:g} s"), NOBODY)
    if core.log.total != core.logged:
        core.logged = core.log.total
        core.rested = False
    elif not core.rested and not core.tasks:
        core.rested = True
        core.rest()
        core.out.append(ReturnMemory())
    if len(core.groups) > GROUPS:
        following.forget_idle_groups(core)
