"""Each question names the struct that answers it, and who asks gets that or an error."""

from __future__ import annotations

import typing

import msgspec
import pytest

from himalia.errors import HimaliaError
from himalia.messages.answers import (
    AnyAnswer,
    ClusterInfo,
    ErrorView,
    Explanation,
    HostView,
    Question,
    Reply,
    TaskView,
    WorkerView,
    answer_of,
    read_answer,
)
from himalia.messages.client import ClientToScheduler, Explain, GetInfo, SchedulerToClient
from himalia.messages.nanny import SchedulerToNanny
from himalia.messages.telemetry import TaskCounts
from himalia.names import HostId, Key, PeerId
from himalia.show.plain import plain_info, plain_task

QUESTIONS = [
    kind
    for kind in dict.fromkeys((*typing.get_args(ClientToScheduler), *typing.get_args(SchedulerToNanny)))
    if issubclass(kind, Question)
]
HOST = HostId(PeerId("nanny-1"))


@pytest.mark.parametrize("kind", QUESTIONS, ids=lambda kind: kind.__name__)
def test_every_question_is_answered_by_something_that_a_reply_may_carry(kind: type[Question[TaskView]]) -> None:
    assert answer_of(kind) in typing.get_args(AnyAnswer)
    assert kind.__struct_fields__[0] == "request"


def test_every_answer_answers_a_question() -> None:
    assert {answer_of(kind) for kind in QUESTIONS} == set(typing.get_args(AnyAnswer))


def test_an_answer_is_a_struct_as_soon_as_its_reply_is_decoded() -> None:
    info = ClusterInfo(id="scheduler-1", hosts={HOST: HostView("tcp://h")}, counts=TaskCounts(1, 2, 3))
    packed = msgspec.msgpack.encode(Reply(7, info))
    reply = msgspec.msgpack.decode(packed, type=SchedulerToClient)
    assert isinstance(reply, Reply)
    assert read_answer(GetInfo(7), reply.value) == info


def test_an_answer_to_something_else_is_an_error() -> None:
    with pytest.raises(HimaliaError, match="answer to Explain is a ClusterInfo, not a Explanation"):
        read_answer(Explain(1, Key("x")), ClusterInfo())
    with pytest.raises(HimaliaError, match="is a NoneType"):
        read_answer(Explain(1, Key("x")), None)
    assert read_answer(Explain(1, Key("x")), Explanation("it waits")).text == "it waits"


def test_the_dict_of_a_cluster_has_the_keys_that_it_always_had() -> None:
    worker = WorkerView("w-0", HOST, "node1", "tcp://h", metrics=(0.5, 2**20, 1))
    found = plain_info(ClusterInfo(hosts={HOST: HostView("tcp://h")}, workers={"tcp://h/0": worker}, here="m"))
    assert list(found) == [
        "type", "id", "address", "started", "clients", "tasks", "counts", "queued", "drift_repaired", "hosts",
        "workers",
    ]  # fmt: skip
    assert list(found["hosts"][HOST]) == [
        "type", "address", "name", "hostname", "machine", "pid", "memory_limit", "local_directory", "nthreads",
        "assigned", "held", "store_bytes", "spilled_bytes", "store_clients", "store_workers", "paused", "last_seen",
        "versions",
    ]  # fmt: skip
    assert list(found["workers"]["tcp://h/0"]) == [
        "type", "name", "id", "host", "nanny", "host_id", "pid", "nthreads", "memory_limit", "local_directory",
        "resources", "metrics",
    ]  # fmt: skip


def test_the_dict_of_a_task_has_what_is_known_of_it() -> None:
    assert plain_task(TaskView(Key("x"), why="gone")) == {"key": "x", "status": "unknown", "why": "gone", "events": []}
    known = TaskView(Key("x"), status="finished", type_name="int", tries=1)
    assert plain_task(known) == {
        "key": "x", "status": "finished", "why": "", "tries": 1, "type": "int", "error": None, "events": [],
    }  # fmt: skip
    error = ErrorView(Key("x"), "exception", "no", "w-0", 1)
    assert plain_task(msgspec.structs.replace(known, error=error))["error"] == {
        "key": "x", "kind": "exception", "text": "no", "worker": "w-0", "attempts": 1,
    }  # fmt: skip
