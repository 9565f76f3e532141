"""Who is there: hosts with their workers, clients with their wishes.  What a loss means is decided in ``loss``."""

from __future__ import annotations

from typing import Final

from himalia.machine import Disconnect
from himalia.messages.client import Scale
from himalia.messages.nanny import Heartbeat, RegisterNanny, WorkerStarted, WorkerStopped
from himalia.messages.parts import ForgetFunctions, FunctionBody, HostsChanged, WorkerInfo
from himalia.names import ClientId, Digest, PeerId
from himalia.scheduler.loss import adopt, compare_digests, lose_host, remove_worker, unbind
from himalia.scheduler.placement import refill, update_room
from himalia.scheduler.state import ClientState, FunctionState, HostState, SchedulerState, WorkerState
from himalia.scheduler.submission import end_submission
from himalia.scheduler.transitions import settle, unwant

UNASKED: Final = 0
"""Number of a request of our own, whose answer nobody waits for; those of clients begin at 1."""


def add_client(core: SchedulerState, peer: PeerId) -> None:
    """Begin a session with a client: it is told about every host."""
    client = core.clients[ClientId(peer)] = ClientState(ClientId(peer), core.settings.client_window)
    core.send(client, HostsChanged([host.info for host in core.hosts.values()], []))


def remove_client(core: SchedulerState, client: ClientState) -> None:
    """End a session with a client: what only it wanted is let go, last wishes first (chains end there)."""
    del core.clients[client.id]
    end_submission(core, client)
    wants = list(client.wants)
    for task in wants:
        unwant(task, client)
    for task in reversed(wants):
        settle(core, task)
    for digest in list(client.functions):
        forget_function(core, client, digest)


def define_function(core: SchedulerState, message: FunctionBody, source: PeerId) -> None:
    """Keep a function's pickle for as long as the client may name it."""
    client = core.client(source)
    function = core.functions.get(message.digest)
    if function is None:
        function = core.functions[message.digest] = FunctionState(message.body)
    if message.digest not in client.functions:
        client.functions[message.digest] = None
        function.clients += 1


def forget_functions(core: SchedulerState, message: ForgetFunctions, source: PeerId) -> None:
    """Note that a client will define functions again before it names them again."""
    client = core.client(source)
    for digest in message.digests:
        forget_function(core, client, digest)


def forget_function(core: SchedulerState, client: ClientState, digest: bytes) -> None:
    """Let go of a function that a client doesn't name any more."""
    if digest not in client.functions:
        return
    del client.functions[digest]
    function = core.functions[digest]
    function.clients -= 1
    if function.clients == 0 and function.tasks == 0:
        del core.functions[Digest(digest)]


def register_nanny(core: SchedulerState, message: RegisterNanny, source: PeerId) -> None:
    """Take in a nanny: introduce it to everybody, compare its inventory, give it work."""
    if message.info.host != source:
        core.out.append(Disconnect(source, f"it registered as {message.info.host}"))
        return
    old = core.hosts.get(message.info.host)
    if old is not None:
        lose_host(core, old)  # the same process in a new session: what it still has comes with the registration
    host = HostState(message.info, core.now)
    others = list(core.hosts.values())
    core.hosts[host.id] = host
    core.membership += 1
    announcement = HostsChanged([message.info], [])
    for other in others:
        core.send(other, announcement)
    for client in core.clients.values():
        core.send(client, announcement)
    core.send(host, HostsChanged([other.info for other in others], []))
    adopt(core, host, message)
    core.events.add(core.now, "host-joined", host.label, message.info.address)
    for info in message.workers:
        add_worker(core, host, info)
    wish = core.scaled.get(message.info.name)
    if wish is not None:
        core.send(host, Scale(UNASKED, wish, host.id))


def remove_host(core: SchedulerState, host: HostState, reason: str) -> None:
    """Take in that a nanny left or that its lease ran out."""
    held = len(host.held)
    lose_host(core, host)
    core.last_left = (host.info.name, core.now, reason)
    core.events.add(core.now, "host-left", host.label, f"it held {held} results; {reason}")
    announcement = HostsChanged([], [host.id])
    for other in core.hosts.values():
        core.send(other, announcement)
    for client in core.clients.values():
        core.send(client, announcement)


def worker_started(core: SchedulerState, message: WorkerStarted, source: PeerId) -> None:
    """Take in that a worker process came up."""
    add_worker(core, core.host(source), message.worker)


def add_worker(core: SchedulerState, host: HostState, info: WorkerInfo) -> None:
    """Take in a worker process, a new one or one that replaces another of its name."""
    old = host.workers.get(info.name)
    worker = WorkerState(info, host)
    if old is not None:
        host.nthreads -= old.info.nthreads
    host.workers[info.name] = core.workers[info.name] = worker
    host.nthreads += info.nthreads
    core.membership += 1
    threads = "1 thread" if info.nthreads == 1 else f"{info.nthreads} threads"
    core.events.add(core.now, "worker-started", info.name, f"process {info.pid}, {threads}")
    if old is not None:
        unbind(core, host, old)
    update_room(core, host)
    refill(core, host)


def worker_stopped(core: SchedulerState, message: WorkerStopped, source: PeerId) -> None:
    """Take in that a worker left as it was asked to."""
    host, name = core.host(source), message.name
    worker = remove_worker(core, host, name)
    if worker is not None:
        core.events.add(core.now, "worker-stopped", name, "it was asked to")
        unbind(core, host, worker)
        refill(core, host)


def take_heartbeat(core: SchedulerState, message: Heartbeat, source: PeerId) -> None:
    """Note a host's measurements, and whether it takes new work; compare beliefs."""
    host = core.host(source)
    host.metrics = message.metrics
    host.seen_at = core.now
    if host.paused is not message.paused:
        host.paused = message.paused
        text = "its memory is nearly full" if message.paused else "it takes new work again"
        core.events.add(core.now, "paused" if message.paused else "resumed", host.label, text)
        update_room(core, host)
        refill(core, host)
    compare_digests(core, host, message.attempts, message.data, message.seen)
