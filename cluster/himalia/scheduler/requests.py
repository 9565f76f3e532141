"""Questions of clients that hosts have to answer: asked once, collected, answered once, whoever leaves meanwhile."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from himalia.comm.framing import MAX_FRAME
from himalia.messages.client import GetLogs, GetProfile, Restart, RunFunction, Scale
from himalia.messages.nanny import RestartWorkers
from himalia.messages.parts import Reply, TaskError, WorkerInfo
from himalia.messages.telemetry import LogLine
from himalia.names import ClientId
from himalia.scheduler.state import ClientState, HostState, SchedulerState

MOST_OPEN: Final = 256
"""Questions of one client that hosts owe an answer to; one that stands still would let them pile up.  Guess."""
LARGEST: Final = MAX_FRAME - 1024 * 1024
"""Bytes of an answer that still fits into a frame."""


def has_room(core: SchedulerState, client: ClientState, number: int) -> bool:
    """Return whether a client may ask hosts another question; if not, it is told why."""
    count = sum([request.client == client.id for request in core.requests.pending.values()])
    if count >= MOST_OPEN:
        why = f"{count} questions of this client wait for their answers; wait for some of them before you ask more"
        core.send(client, Reply(number, error=why))
    return count < MOST_OPEN


def run_function(core: SchedulerState, client: ClientState, message: RunFunction) -> None:
    """Forward ``client.run`` to the nannies of the workers it names."""
    number, request = core.requests.open(client.id, message.request, "run")
    wanted = set(message.workers or ())
    unknown = set(wanted)
    for host in core.hosts.values():
        called = {host.info.address, host.info.hostname, host.info.name}
        meant = select_workers(host, None if not wanted or called & wanted else wanted)
        unknown -= called | names_of(meant)
        if meant:
            request.waiting[host.id] = [info.address for info in meant]
            core.send(host, RunFunction(number, message.call, [str(info.name) for info in meant]))
    for name in sorted(unknown):
        request.answers[name] = no_answer(no_worker(name))
    answer_if_complete(core, number)


def select_workers(host: HostState, wanted: Collection[str] | None) -> list[WorkerInfo]:
    """Return those of a host's workers that are meant by name or address; all of them for ``None``."""
    infos = [worker.info for worker in host.workers.values()]
    return infos if wanted is None else [info for info in infos if info.name in wanted or info.address in wanted]


def names_of(workers: Iterable[WorkerInfo]) -> set[str]:
    """Return all that workers may be called by."""
    return {text for info in workers for text in (info.name, info.address)}


def no_worker(name: str) -> str:
    """Return what is answered for a worker that isn't here."""
    return f"there is no worker {name!r} on this cluster; see client.scheduler_info()"


def no_answer(why: str) -> bytes:
    """Return the packed reply of a worker that can't give one."""
    return msgspec.msgpack.encode(["error", TaskError(kind="refused", key="", text=why)])  # type: ignore[arg-type]


def get_logs(
    core: SchedulerState,
    client: ClientState,
    message: GetLogs,
    remembered: dict[str, list[LogLine]],
) -> None:
    """Forward a question for log lines to all nannies; what is remembered here answers for those that left."""
    number, request = core.requests.open(client.id, message.request, "logs")
    request.answers.update(remembered)
    for host in core.hosts.values():
        request.waiting[host.id] = []
        core.send(host, GetLogs(number, message.workers, message.key, message.since))
    answer_if_complete(core, number)


def get_profile(core: SchedulerState, client: ClientState, message: GetProfile) -> None:
    """Forward a question for samples to the nannies of these workers; one that can't look is answered for by why."""
    number, request = core.requests.open(client.id, message.request, "profile")
    for host in core.hosts.values():
        meant = select_workers(host, message.workers)
        if meant:
            request.waiting[host.id] = []
            core.send(host, GetProfile(number, message.since, [str(info.name) for info in meant]))
    answer_if_complete(core, number)


def restart(core: SchedulerState, client: ClientState, message: Restart) -> None:
    """Have every nanny replace its workers; the tasks were forgotten before."""
    number, request = core.requests.open(client.id, message.request, "restart")
    for host in core.hosts.values():
        request.waiting[host.id] = []
        core.send(host, RestartWorkers(number))
    answer_if_complete(core, number)


def restart_workers(core: SchedulerState, client: ClientState, message: Restart) -> None:
    """Have nannies replace these workers; nothing is forgotten.  The answer names those that aren't there."""
    number, request = core.requests.open(client.id, message.request, "restart")
    unknown = set(message.workers or ())
    for host in core.hosts.values():
        meant = select_workers(host, message.workers)
        unknown -= names_of(meant)
        if meant:
            request.waiting[host.id] = []
            core.send(host, RestartWorkers(number, [str(info.name) for info in meant]))
    for name in sorted(unknown):
        request.answers[name] = no_worker(name)
    answer_if_complete(core, number)


def scale(core: SchedulerState, client: ClientState, message: Scale) -> None:
    """Forward a wish for a number of workers to the one host it is for, or keep it for one that is being replaced."""
    hosts = [host for host in core.hosts.values() if message.host in (None, host.id)]
    if not core.hosts and message.host is None and core.last_left is not None and core.last_left[0]:
        core.scaled[core.last_left[0]] = message.workers
        core.send(client, Reply(message.request, {"workers": []}))
        return
    if len(hosts) != 1:
        why = f"{len(hosts)} hosts match; name the one to scale" if hosts else "that host is not on this cluster"
        core.send(client, Reply(message.request, error=why))
        return
    number, request = core.requests.open(client.id, message.request, "scale")
    request.waiting[hosts[0].id] = []
    if hosts[0].info.name:
        core.scaled[hosts[0].info.name] = message.workers
    core.send(hosts[0], Scale(number, message.workers, hosts[0].id))


def take_reply(core: SchedulerState, host: HostState, message: Reply) -> None:
    """Collect a host's answer."""
    request = core.requests.pending.get(message.request)
    if request is None or host.id not in request.waiting:
        return
    addresses = request.waiting.pop(host.id)
    if message.error:
        request.answers[host.info.address] = message.error
    elif request.kind == "run":
        names = {worker.info.name: worker.info.address for worker in host.workers.values()}
        others = {
            other.info.address for one in core.hosts.values() if one is not host for other in one.workers.values()
        }
        given = {names.get(name, name): value for name, value in (message.value or {}).items()}
        answers = {address: value for address, value in given.items() if address not in others}
        for address in addresses:
            answers.setdefault(address, no_answer(f"worker {address} left before it answered"))
        request.answers.update(answers)
    elif request.kind == "logs":
        for name, lines in (message.value or {}).items():
            request.answers[name] = lines or request.answers.get(name, [])
    elif isinstance(message.value, dict):
        request.answers.update(message.value)
    answer_if_complete(core, message.request)


def drop_host(core: SchedulerState, host: HostState) -> None:
    """Answer for a host that left."""
    for number in list(core.requests.pending):
        request = core.requests.pending[number]
        addresses = request.waiting.pop(host.id, None)
        if addresses is not None:
            if request.kind == "run":
                for address in addresses:
                    request.answers[address] = no_answer(f"worker {address} left with its host before it answered")
            answer_if_complete(core, number)


def answer_if_complete(core: SchedulerState, number: int) -> None:
    """Send the client its answer once nobody owes one."""
    request = core.requests.pending[number]
    if request.waiting:
        return
    del core.requests.pending[number]
    client = core.clients.get(ClientId(request.client))
    if client is None:
        return
    size = len(msgspec.msgpack.encode(request.answers))
    if size > LARGEST:
        why = f"the answer has {size:,} bytes, more than the {LARGEST:,} of a message: ask fewer workers, or for less"
        core.send(client, Reply(request.number, error=why))
    else:
        core.send(client, Reply(request.number, request.answers))
