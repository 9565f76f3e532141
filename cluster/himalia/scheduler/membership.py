"""Who is there: hosts with their workers, clients with their wishes.  What a loss means is decided in ``deaths``."""

from __future__ import annotations

from himalia.machine import Disconnect
from himalia.messages.nanny import Heartbeat, RegisterNanny, WorkerStarted, WorkerStopped
from himalia.messages.parts import ForgetFunctions, FunctionBody, HostsChanged, WorkerInfo
from himalia.names import ClientId, Digest, PeerId
from himalia.plural import plural
from himalia.scheduler.deaths import compare_tallies, lose_host, remove_worker, take_inventory, unbind
from himalia.scheduler.freeing import settle
from himalia.scheduler.placement import refill, update_room
from himalia.scheduler.scaling import scale_again
from himalia.scheduler.state import ClientState, FunctionState, HostState, SchedulerState, WorkerState
from himalia.scheduler.submission import end_submission
from himalia.scheduler.transitions import unwant


def add_client(state: SchedulerState, peer: PeerId) -> None:
    """Begin a session with a client: it is told about every host."""
    client = state.clients[ClientId(peer)] = ClientState(ClientId(peer), state.settings.client_window)
    state.send(client, HostsChanged([host.info for host in state.hosts.values()], []))


def remove_client(state: SchedulerState, client: ClientState) -> None:
    """End a session with a client: what only it wanted is let go, last wishes first (chains end there)."""
    del state.clients[client.id]
    # What it was still submitting loses its protection, and goes below with the rest.
    end_submission(state, client)
    wants = list(client.wants)
    # First all wishes, then the judgement: settle() of the first would else keep what the second one still wants, and a
    # chain would be let go of from the wrong end.
    for task in wants:
        unwant(task, client)
    for task in reversed(wants):
        settle(state, task)
    for digest in list(client.functions):
        forget_function(state, client, digest)


def define_function(state: SchedulerState, message: FunctionBody, source: PeerId) -> None:
    """Keep a function's pickle for as long as the client may name it."""
    client = state.client(source)
    function = state.functions.get(message.digest)
    if function is None:
        function = state.functions[message.digest] = FunctionState(message.body)
    # Said twice by a client that reconnected; counted once, or the pickle would stay for ever.
    if message.digest not in client.functions:
        client.functions[message.digest] = None
        function.clients += 1


def forget_functions(state: SchedulerState, message: ForgetFunctions, source: PeerId) -> None:
    """Note that a client will define functions again before it names them again."""
    client = state.client(source)
    for digest in message.digests:
        forget_function(state, client, digest)


def forget_function(state: SchedulerState, client: ClientState, digest: bytes) -> None:
    """Let go of a function that a client doesn't name any more."""
    if digest not in client.functions:
        return
    del client.functions[digest]
    function = state.functions[digest]
    function.clients -= 1
    if function.clients == 0 and function.tasks == 0:
        del state.functions[Digest(digest)]


def register_nanny(state: SchedulerState, message: RegisterNanny, source: PeerId) -> None:
    """Take in a nanny: introduce it to everybody, compare its inventory, give it work."""
    if message.info.host != source:
        state.out.append(Disconnect(source, f"it registered as {message.info.host}"))
        return
    # A host's id is that of its process, so this is no namesake: its lease ended here while it believed in it, or the
    # other way round.
    old = state.hosts.get(message.info.host)
    if old is not None:
        lose_host(state, old)  # the same process in a new session: what it still has comes with the registration
    host = HostState(message.info, state.now)
    others = list(state.hosts.values())
    # In the books before anybody is told, and before its workers: what they say next may come in the same frame.
    state.hosts[host.id] = host
    state.membership += 1
    # To the others before any Compute that names it as a holder: who doesn't know a host gives up on it.
    announcement = HostsChanged([message.info], [])
    for other in others:
        state.send(other, announcement)
    for client in state.clients.values():
        state.send(client, announcement)
    state.send(host, HostsChanged([other.info for other in others], []))
    # Before its workers: a call that is placed there at once finds its inputs where the books say.
    take_inventory(state, host, message)
    state.events.add(state.now, "host-joined", host.label, message.info.address)
    for info in message.workers:
        add_worker(state, host, info)
    scale_again(state, host)


def remove_host(state: SchedulerState, host: HostState, reason: str) -> None:
    """Take in that a nanny left or that its lease ran out."""
    held = len(host.held)
    lose_host(state, host)
    # For explain(), and for a Scale that comes before the successor does.
    state.last_left = (host.info.name, state.now, reason)
    state.events.add(state.now, "host-left", host.label, f"it held {held} results; {reason}")
    announcement = HostsChanged([], [host.id])
    for other in state.hosts.values():
        state.send(other, announcement)
    for client in state.clients.values():
        state.send(client, announcement)


def worker_started(state: SchedulerState, message: WorkerStarted, source: PeerId) -> None:
    """Take in that a worker process came up."""
    add_worker(state, state.host(source), message.worker)


def add_worker(state: SchedulerState, host: HostState, info: WorkerInfo) -> None:
    """Take in a worker process, a new one or one that replaces another of its name."""
    # One of its name that nobody reported as gone: what was bound to it can't be there any more.
    old = host.workers.get(info.name)
    worker = WorkerState(info, host)
    if old is not None:
        host.nthreads -= old.info.nthreads
    host.workers[info.name] = state.workers[info.name] = worker
    host.nthreads += info.nthreads
    # Makes every requirement look again for who is eligible.
    state.membership += 1
    state.events.add(state.now, "worker-started", info.name, f"process {info.pid}, {plural(info.nthreads, 'thread')}")
    if old is not None:
        # With the new one in the books: the calls may go to it right away.
        unbind(state, host, old)
    update_room(state, host)
    refill(state, host)


def worker_stopped(state: SchedulerState, message: WorkerStopped, source: PeerId) -> None:
    """Take in that a worker left as it was asked to."""
    host, name = state.host(source), message.name
    worker = remove_worker(state, host, name)
    if worker is not None:
        state.events.add(state.now, "worker-stopped", name, "it was asked to")
        unbind(state, host, worker)
        refill(state, host)


def take_heartbeat(state: SchedulerState, message: Heartbeat, source: PeerId) -> None:
    """Note a host's measurements, and whether it takes new work; compare beliefs."""
    host = state.host(source)
    host.metrics = message.metrics
    host.seen_at = state.now
    # Told by the nanny, not judged here from the numbers: it knows when it measured, and has the hysteresis.
    if host.paused is not message.paused:
        host.paused = message.paused
        text = "its memory is nearly full" if message.paused else "it takes new work again"
        state.events.add(state.now, "paused" if message.paused else "resumed", host.label, text)
        update_room(state, host)
        refill(state, host)
    # Last: refill() above may have sent something, and then the numbers of the message are those of a moment ago.
    compare_tallies(state, host, message.attempts, message.data, message.seen)
