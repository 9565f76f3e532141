"""Questions of clients that hosts have to answer: asked once, collected, answered once, whoever leaves meanwhile.

How many workers there shall be is asked in ``scaling.py``; its answer is collected here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, assert_never

import msgspec

from himalia.bounds import cut
from himalia.comm.framing import MAX_FRAME
from himalia.messages.answers import (
    CallReplies,
    CallReply,
    ProcessLogs,
    ProfileSamples,
    Reply,
    Restarted,
    Scaled,
)
from himalia.messages.client import GetLogs, GetProfile, Restart, RunFunction
from himalia.messages.nanny import RestartWorkers
from himalia.messages.parts import TaskError, WorkerInfo
from himalia.messages.telemetry import LogLine
from himalia.names import ClientId, Key, WorkerName
from himalia.scheduler.state import ClientState, HostState, SchedulerState

MOST_OPEN: Final = 256
"""Questions of one client that hosts owe an answer to; one that stands still would let them pile up.  HTTP/2
recommends no fewer than 100 (RFC 9113, 6.5.2)."""
LARGEST: Final = MAX_FRAME - 1024 * 1024
"""Bytes of an answer that still fits into a frame."""


def has_room(state: SchedulerState, client: ClientState, number: int) -> bool:
    """Return whether a client may ask hosts another question; if not, it is told why."""
    # Counted when asked: questions are rare, and a number to be kept right is one more that can be wrong.
    count = sum([question.client == client.id for question in state.questions.unanswered.values()])
    if count >= MOST_OPEN:
        why = f"{count} questions of this client wait for their answers; wait for some of them before you ask more"
        state.send(client, Reply(number, error=why))
    return count < MOST_OPEN


def run_function(state: SchedulerState, client: ClientState, message: RunFunction) -> None:
    """Forward ``client.run`` to the nannies of the workers it names."""
    answer = CallReplies({})
    number, question = state.questions.open(client.id, message.request, answer)
    wanted = set(message.workers or ())
    # Names that match nothing are answered for at once; who misspelt one must not wait for a timeout.
    unknown = set(wanted)
    for host in state.hosts.values():
        called = {host.info.address, host.info.hostname, host.info.name}
        meant = select_workers(host, None if not wanted or called & wanted else wanted)
        unknown -= called | names_of(meant)
        if meant:
            question.waiting[host.id] = [info.address for info in meant]
            state.send(host, RunFunction(number, message.call, [str(info.name) for info in meant]))
    for name in sorted(unknown):
        answer.replies[name] = no_answer(no_worker(name))
    # Maybe nobody was asked at all.
    answer_if_complete(state, number)


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


def no_answer(why: str) -> CallReply:
    """Return the reply of a worker that can't give one."""
    return CallReply(error=TaskError(kind="refused", key=Key(""), text=cut(why)))


def get_logs(
    state: SchedulerState,
    client: ClientState,
    message: GetLogs,
    remembered: dict[str, list[LogLine]],
) -> None:
    """Forward a question for log lines to all nannies; what is remembered here answers for those that left."""
    # Hosts that left can't be asked; what their calls wrote last is remembered here.
    number, question = state.questions.open(client.id, message.request, ProcessLogs(remembered))
    for host in state.hosts.values():
        question.waiting[host.id] = []
        state.send(host, GetLogs(number, message.workers, message.key, message.since))
    answer_if_complete(state, number)


def get_profile(state: SchedulerState, client: ClientState, message: GetProfile) -> None:
    """Forward a question for samples to the nannies of these workers; one that can't look is answered for by why."""
    number, question = state.questions.open(client.id, message.request, ProfileSamples({}))
    for host in state.hosts.values():
        meant = select_workers(host, message.workers)
        if meant:
            question.waiting[host.id] = []
            state.send(host, GetProfile(number, message.since, [str(info.name) for info in meant]))
    answer_if_complete(state, number)


def restart(state: SchedulerState, client: ClientState, message: Restart) -> None:
    """Have every nanny replace its workers; the tasks were forgotten before."""
    number, question = state.questions.open(client.id, message.request, Restarted({}))
    for host in state.hosts.values():
        question.waiting[host.id] = []
        state.send(host, RestartWorkers(number))
    answer_if_complete(state, number)


def restart_workers(state: SchedulerState, client: ClientState, message: Restart) -> None:
    """Have nannies replace these workers; nothing is forgotten.  The answer names those that aren't there."""
    answer = Restarted({})
    number, question = state.questions.open(client.id, message.request, answer)
    unknown = set(message.workers or ())
    for host in state.hosts.values():
        meant = select_workers(host, message.workers)
        unknown -= names_of(meant)
        if meant:
            question.waiting[host.id] = []
            state.send(host, RestartWorkers(number, [str(info.name) for info in meant]))
    for name in sorted(unknown):
        answer.workers[name] = no_worker(name)
    answer_if_complete(state, number)


def take_reply(state: SchedulerState, host: HostState, message: Reply) -> None:
    """Collect a host's answer."""
    question = state.questions.unanswered.get(message.request)
    # Answered already, for a host that counted as lost; or an answer to a question that was never asked.
    if question is None or host.id not in question.waiting:
        return
    addresses = question.waiting.pop(host.id)
    match question.answer:
        case CallReplies():
            add_replies(state, question.answer, host, addresses, message)
        case ProcessLogs():
            add_logs(question.answer, host, message)
        case ProfileSamples():
            if isinstance(message.value, ProfileSamples):
                question.answer.samples.update(message.value.samples)
            else:
                question.answer.problems[host.info.address] = why_not(message)
        case Restarted():
            if isinstance(message.value, Restarted):
                question.answer.workers.update(message.value.workers)
            else:
                question.answer.workers[host.info.address] = why_not(message)
        case Scaled():
            if isinstance(message.value, Scaled):
                question.answer.workers.extend(message.value.workers)
            else:
                question.answer.problems[host.info.address] = why_not(message)
        case _:
            assert_never(question.answer)
    answer_if_complete(state, message.request)


def why_not(message: Reply) -> str:
    """Return why a host gave no answer."""
    return message.error or "it answered something else"


def add_replies(
    state: SchedulerState, answer: CallReplies, host: HostState, addresses: list[str], message: Reply
) -> None:
    """Add what a host's workers answered, by address; none speaks for another host's workers."""
    names = {worker.info.name: worker.info.address for worker in host.workers.values()}
    # A nanny is trusted with its own workers, and with nobody else's.
    others = {other.info.address for one in state.hosts.values() if one is not host for other in one.workers.values()}
    if isinstance(message.value, CallReplies):
        given = {names.get(WorkerName(name), name): reply for name, reply in message.value.replies.items()}
        answer.replies.update({address: reply for address, reply in given.items() if address not in others})
    for address in addresses:
        why = f"{address} can't tell: {message.error}" if message.error else f"worker {address} left before it answered"
        answer.replies.setdefault(address, no_answer(why))


def add_logs(answer: ProcessLogs, host: HostState, message: Reply) -> None:
    """Add a host's lines; where it has none, those that are remembered here stay."""
    if not isinstance(message.value, ProcessLogs):
        answer.problems[host.info.address] = why_not(message)
        return
    for name, lines in message.value.lines.items():
        answer.lines[name] = lines or answer.lines.get(name, [])


def drop_host(state: SchedulerState, host: HostState) -> None:
    """Answer for a host that left."""
    for number in list(state.questions.unanswered):
        question = state.questions.unanswered[number]
        addresses = question.waiting.pop(host.id, None)
        if addresses is not None:
            if isinstance(question.answer, CallReplies):
                for address in addresses:
                    why = f"worker {address} left with its host before it answered"
                    question.answer.replies[address] = no_answer(why)
            answer_if_complete(state, number)


def answer_if_complete(state: SchedulerState, number: int) -> None:
    """Send the client its answer once nobody owes one."""
    question = state.questions.unanswered[number]
    if question.waiting:
        return
    del state.questions.unanswered[number]
    # It may have left; then the answer is for nobody.
    client = state.clients.get(ClientId(question.client))
    if client is None:
        return
    # Encoded once more on its way out. That is the price of telling the one who asked, instead of losing his session to
    # a frame that is too large.
    size = len(msgspec.msgpack.encode(question.answer))
    if size > LARGEST:
        why = f"the answer has {size:,} bytes, more than the {LARGEST:,} of a message: ask fewer workers, or for less"
        state.send(client, Reply(question.number, error=why))
    else:
        state.send(client, Reply(question.number, question.answer))
