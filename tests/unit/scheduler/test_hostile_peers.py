"""A peer that proved who it is may still be broken, or hostile: what it sends changes only what is its own."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any, get_args

import msgspec
import pytest

from himalia.bounds import FEW
from himalia.messages.answers import CallReplies, CallReply, KeyTable, ProcessLogs, Reply
from himalia.messages.client import ClientToScheduler, DataPlaced, GetKeys, GetLogs, Restart, ResultErred, RunFunction
from himalia.messages.nanny import InputMissing, NannyToScheduler, TaskFailed, TaskFinished, Withdrawn, WorkerDied
from himalia.messages.parts import Close, Message, TaskError, TaskOptions
from himalia.names import HostId, Key, PeerId, WorkerName
from himalia.scheduler.forwarding import MOST_OPEN
from himalia.scheduler.state import TaskStatus
from himalia.testing.stages.scheduler import TIMING, SchedulerStage, spec
from tests.unit.test_bounds import example

KEYS = ["", "x", "f-1", "a", "alice", "alice/1"]
VALUES: list[Any] = [*KEYS, KEYS[2:3], [], 0, 1, -1, 2**53, 1.5, -1.0, b"", b"f" * 16, None, True]


def mutations(packed: bytes, chance: random.Random, number: int) -> Iterator[bytes]:
    """Yield encoded messages that differ from one in some field, at any depth."""
    for _ in range(number):
        tree = msgspec.msgpack.decode(packed)
        for _ in range(chance.randrange(1, 4)):
            node = tree
            while True:
                index = chance.randrange(1 if node is tree else 0, len(node)) if len(node) > (node is tree) else None
                if index is None:
                    break
                if isinstance(node[index], list) and node[index] and chance.random() < 0.7:
                    node = node[index]
                    continue
                node[index] = copy.copy(chance.choice(VALUES))
                break
        yield msgspec.msgpack.encode(tree)


def stage() -> SchedulerStage:
    """Return a cluster in the middle of something, alice's and bob's."""
    it = SchedulerStage("a", "b")
    it.submit("alice", spec("f-1"), spec("f-2", "f-1"), spec("f-3", "f-2", options=TaskOptions(retries=1)))
    it.submit("bob", spec("g-1"), spec("g-2", "g-1"))
    it.finish("g-1")
    return it


def test_a_host_speaks_only_for_calls_that_were_assigned_to_it() -> None:
    it = SchedulerStage("a", "b")
    it.submit("alice", spec("f-1"))
    task = it.task("f-1")
    assert task.host is not None
    thief = "b" if task.host.id == "a" else "a"
    lies: list[Message] = [
        TaskFinished(task.key, task.attempt, WorkerName(f"{thief}-0"), 1, "int", TIMING, b"forged"),
        TaskFailed(task.key, task.attempt, TaskError(kind="exception", key=task.key, text="forged"), TIMING),
        Withdrawn(task.key, task.attempt, False),
        InputMissing(task.key, task.attempt, []),
        WorkerDied(WorkerName(f"{thief}-0"), "signal SIGKILL", [(task.key, task.attempt)], True, []),
    ]
    for lie in lies:
        before = task.attempt
        it.message(thief, lie)
        assert task.status is TaskStatus.ASSIGNED, lie
        assert (task.attempt, task.strikes, task.host.id == thief) == (before, 0, False), lie


def test_a_host_complains_only_of_inputs_that_it_was_told_to_fetch() -> None:
    it = SchedulerStage("a", "b")
    it.submit("bob", spec("g-1"))
    it.finish("g-1")
    held = it.task("g-1")
    (holder,) = held.holders
    it.submit("alice", spec("f-1"), spec("f-2"))
    call = next(it.task(key) for key in ("f-1", "f-2") if it.task(key).host is not holder)
    assert call.host is not None
    it.message(call.host.id, InputMissing(call.key, call.attempt, [(held.key, held.attempt, holder.id)]))
    assert held.holders == (holder,)


@pytest.mark.parametrize(
    ("source", "kind"),
    [("alice", kind) for kind in get_args(ClientToScheduler)] + [("a", kind) for kind in get_args(NannyToScheduler)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_no_message_that_decodes_breaks_the_machine(source: str, kind: type) -> None:
    chance = random.Random(f"{source}{kind.__name__}")
    decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(kind).decode
    accepted = 0
    it = stage()
    for packed in mutations(msgspec.msgpack.encode(example(kind)), chance, 300):
        try:
            message = decode(packed)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        accepted += 1
        if accepted % 20 == 0:
            it = stage()
        it.message(source, message)
        encode_all(it.take())
        if kind not in (Close, Restart):
            assert it.status("g-1") is TaskStatus.FINISHED, "bob's own, whatever alice or another host says"
        if source not in it.machine.hosts and source not in it.machine.clients:
            it = stage()
    assert accepted, "nothing was tried"


def test_a_call_that_needs_its_own_result_is_refused() -> None:
    it = SchedulerStage("a")
    it.submit("alice", spec("f-1", "f-1"), spec("f-2"))
    [(_, refused)] = it.taken(ResultErred)
    assert (refused.key, refused.error.kind) == ("f-1", "refused")
    assert it.assigned() == {"f-2": "a"}


def test_a_longer_circle_ends_as_an_error_of_whoever_is_in_it() -> None:
    """What is needed has to be submitted before: the first one's input is not there, and never comes to be."""
    it = SchedulerStage("a")
    it.submit("alice", spec("f-1", "f-3"), spec("f-2", "f-1"), spec("f-3", "f-2"))
    assert {message.key for _, message in it.taken(ResultErred)} == {"f-1", "f-2", "f-3"}
    it.submit("alice", spec("g-1", "g-2"), batch=2)
    it.submit("alice", spec("g-2", "g-1"), batch=3)
    assert {message.key for _, message in it.taken(ResultErred)} == {"g-1", "g-2"}
    assert it.assigned() == {}


def test_an_input_that_is_named_twice_is_waited_for_once() -> None:
    it = SchedulerStage("a")
    it.submit("alice", spec("f-1"), spec("f-2", "f-1", "f-1"))
    it.finish("f-1")
    assert it.assigned() == {"f-2": "a"}


def test_what_is_in_memory_is_told_in_pages() -> None:
    it = SchedulerStage("a")
    names = [f"f-{n}" for n in range(FEW + 5)]
    for number, name in enumerate(names):
        placed = DataPlaced(Key(name), "f", HostId(PeerId("a")), 8, "int", True, -1 - number)
        it.machine.handle(placed, now=0.0, source=PeerId("alice"))
    it.message("alice", GetKeys(1))
    it.message("alice", GetKeys(2, None, FEW))
    first, second = [reply.value.keys for _, reply in it.taken(Reply) if isinstance(reply.value, KeyTable)]
    assert (len(first), len(second)) == (FEW, 5)
    assert {*first, *second} == set(names)


def test_questions_to_hosts_that_do_not_answer_do_not_pile_up() -> None:
    it = SchedulerStage("a")
    for number in range(MOST_OPEN + 3):
        it.machine.handle(RunFunction(number, b"call"), now=0.0, source=PeerId("alice"))
    it.message("alice", GetLogs(1000))
    it.message("bob", GetLogs(1))
    assert [reply.request for _, reply in it.taken(Reply) if reply.error] == [1000]
    assert len(it.machine.state.questions.unanswered) == MOST_OPEN + 1


def test_an_answer_that_fits_into_no_message_is_an_error() -> None:
    it = SchedulerStage("a", "b")
    it.message("alice", RunFunction(5, b"call"))
    asked = {peer: message.request for peer, message in it.taken(RunFunction)}
    for host, request in asked.items():
        it.message(host, Reply(request, CallReplies({f"{host}-0": CallReply(bytes(40_000_000))})))
    [(_, reply)] = it.taken(Reply)
    assert "80,000" in reply.error


def encode_all(sent: list[tuple[str, Message]]) -> None:
    """Fail if something that the machine sends can't be sent."""
    for _, message in sent:
        msgspec.msgpack.encode(message)


def test_a_host_that_can_not_tell_answers_for_its_own_workers_only() -> None:
    it = SchedulerStage("a", "b")
    it.message("alice", RunFunction(5, b"call"))
    asked = {peer: message.request for peer, message in it.taken(RunFunction)}
    it.message("a", Reply(asked["a"], error="it can't be sent"))
    it.message("b", Reply(asked["b"], CallReplies({"b-0": CallReply(b"fine"), "unix:///a/0": CallReply(b"forged")})))
    [(_, reply)] = it.taken(Reply)
    assert isinstance(reply.value, CallReplies)
    replies = reply.value.replies
    assert replies["unix:///b/0"] == CallReply(b"fine")
    error = replies["unix:///a/0"].error
    assert error is not None
    assert "it can't be sent" in error.text


def test_a_host_that_answers_something_else_is_told_of_and_ends_nothing() -> None:
    it = SchedulerStage("a")
    it.message("alice", GetLogs(6))
    asked = {peer: message.request for peer, message in it.taken(GetLogs)}
    it.message("a", Reply(asked["a"], KeyTable({})))
    [(_, reply)] = it.taken(Reply)
    assert reply.value == ProcessLogs({}, {"unix:///a": "it answered something else"})
