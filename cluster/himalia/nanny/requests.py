"""What the scheduler asks of a nanny beside tasks: calls on every worker, functions to know, logs, an inventory."""

from __future__ import annotations

from himalia.messages.answers import CallReplies, CallReply, Reply
from himalia.messages.client import GetLogs, GetProfile, RunFunction
from himalia.messages.nanny import Inventory, ReportInventory
from himalia.messages.parts import ForgetFunctions, FunctionBody, TaskError
from himalia.messages.worker import CallFunction, CallReturned, NeedFunction
from himalia.names import Digest, Key, PeerId, WorkerName
from himalia.nanny.events import AnswerLogs, AnswerProfile, SendToWorker
from himalia.nanny.state import NannyCall, NannyState
from himalia.nanny.workers import WorkerStatus


def run_function(state: NannyState, message: RunFunction, source: PeerId) -> None:
    """Call a function on workers, beside their tasks; the answer comes when all of them have answered."""
    state.last_call += 1
    call = state.calls[state.last_call] = NannyCall(message.request)
    names = message.workers
    if names is None:
        names = [worker.name for worker in state.workers_up()]
    for name in map(WorkerName, names):
        worker = state.workers.get(name)
        if worker is not None and worker.status is WorkerStatus.UP:
            call.pending[name] = None
            state.out.append(SendToWorker(name, CallFunction(state.last_call, message.call)))
        else:
            text = f"{name} isn't running at the moment; its nanny is {state.info.address}."
            call.replies[name] = CallReply(error=TaskError(kind="lost", key=Key(""), text=text, worker=name))
    # Maybe none of them is up.
    answer_if_complete(state, state.last_call)


def call_returned(state: NannyState, message: CallReturned, source: PeerId) -> None:
    """Collect one worker's answer."""
    reply = CallReply(error=message.error) if message.error is not None else CallReply(message.value)
    # The number is ours, the worker is who the channel says: a reply for another worker can't be made up.
    add_reply(state, message.request, WorkerName(source), reply)


def add_reply(state: NannyState, number: int, worker: WorkerName, reply: CallReply) -> None:
    """Note an answer, and pass all on if it was the last."""
    call = state.calls.get(number)
    if call is not None and worker in call.pending:
        del call.pending[worker]
        call.replies[worker] = reply
        answer_if_complete(state, number)


def answer_if_complete(state: NannyState, number: int) -> None:
    """Answer the scheduler when nobody is waited for any more."""
    call = state.calls[number]
    if not call.pending:
        del state.calls[number]
        state.send(Reply(call.request, CallReplies(call.replies)))


def define_function(state: NannyState, message: FunctionBody, source: PeerId) -> None:
    """Keep a function for the workers that will ask for it."""
    state.functions[message.digest] = message.body
    # Told again while it waited to be dropped: it is needed after all.
    state.forgotten.pop(message.digest, None)


def forget_functions(state: NannyState, message: ForgetFunctions, source: PeerId) -> None:
    """Drop functions as soon as no task here names them."""
    for digest in message.digests:
        if digest in state.functions:
            state.forgotten[digest] = None
    sweep_functions(state)


def sweep_functions(state: NannyState) -> None:
    """Drop the forgotten functions that no task names."""
    if state.forgotten:
        # Both: a run that was withdrawn has no task any more, and its worker may still ask for the function.
        tasks = [*state.tasks.values(), *state.runs.values()]
        used = {task.compute.function for task in tasks}
        for digest in [digest for digest in state.forgotten if digest not in used]:
            del state.forgotten[digest]
            del state.functions[digest]


def need_function(state: NannyState, message: NeedFunction, source: PeerId) -> None:
    """Send a worker a function; an empty body says that there is none of that name."""
    # An answer in any case: a thread of the worker waits for it.
    body = state.functions.get(message.digest, b"")
    state.out.append(SendToWorker(WorkerName(source), FunctionBody(Digest(message.digest), body)))


def get_logs(state: NannyState, message: GetLogs, source: PeerId) -> None:
    """Let the shell answer: it has the lines."""
    state.out.append(AnswerLogs(message.request, message.workers, message.key, message.since))


def get_profile(state: NannyState, message: GetProfile, source: PeerId) -> None:
    """Let the shell answer: it has the samples."""
    state.out.append(AnswerProfile(message.request, message.since, message.workers))


def report_inventory(state: NannyState, message: ReportInventory, source: PeerId) -> None:
    """Say what is here; true where it stands in the session."""
    state.send(Inventory(state.held.inventory(), state.attempts(), state.seen))
