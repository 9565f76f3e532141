from __future__ import annotations

import os
import typing
from typing import Any

import msgspec
import pytest

from himalia.comm.unsendable import fits, substitutes
from himalia.messages.client import (
    ClientToScheduler,
    Explain,
    ResultErred,
    ResultReady,
    SchedulerToClient,
    Submit,
    Telemetry,
)
from himalia.messages.nanny import NannyToScheduler, SchedulerToNanny
from himalia.messages.parts import TaskError, TaskSpec
from himalia.messages.telemetry import ClusterEvent
from himalia.names import Key

NAME = os.fsdecode(b"caf\xe9.txt")
UNIONS = [ClientToScheduler, SchedulerToClient, SchedulerToNanny, NannyToScheduler]
KINDS = sorted({kind for union in UNIONS for kind in typing.get_args(union)}, key=lambda kind: kind.__name__)
LISTS = {"keys", "tasks", "lines", "groups", "records", "blocks", "errors", "events", "running"}


def spec(key: str) -> TaskSpec:
    return TaskSpec(Key(key), "f", b"", b"call", (), 0, True)


def test_of_a_submission_the_good_calls_are_sent_and_the_others_refused() -> None:
    message = Submit(1, [spec("good"), spec(NAME), spec("fine")], True)
    ((sent,), (told,)) = substitutes(message, "no")
    assert [task.key for task in sent.tasks] == ["good", "fine"]
    assert (told.key, told.error.kind) == (NAME, "refused")


def test_a_question_is_answered_with_why() -> None:
    sent, (told,) = substitutes(Explain(7, Key(NAME)), "no")
    assert sent == []
    assert (told.request, "can't be sent" in told.error) == (7, True)


def test_a_text_for_people_is_mended() -> None:
    error = TaskError("exception", Key("k"), f"can't read {NAME}")
    ((sent,), told) = substitutes(ResultErred(Key("k"), error), "no")
    assert sent.error.text == "can't read caf\\udce9.txt"
    assert told == []


def test_a_result_whose_description_no_wire_knows_is_an_error() -> None:
    ((sent,), _) = substitutes(ResultReady(Key("k"), 1, 2**70, "int", ()), "no")
    assert (type(sent), sent.key, sent.error.kind) == (ResultErred, "k", "refused")


def test_one_bad_record_ends_nobodys_telemetry() -> None:
    event = ClusterEvent(1, 1.0, "kind", "x", "fine")
    message = Telemetry(1.0, [], [], 0, {}, events=[event, ClusterEvent(2**70, 2.0, "kind", "x", "bad")])
    ((sent,), _) = substitutes(message, "no")
    assert sent.events == [event]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_is_sent_instead_can_be_sent_whatever_the_message(kind: type) -> None:
    fields: dict[str, Any] = dict.fromkeys(kind.__struct_fields__, 2**80)  # type: ignore[attr-defined]
    for name in fields.keys() & {"key", "worker", "span", "reason", "exit"}:
        fields[name] = NAME
    for name in fields.keys() & LISTS:
        fields[name] = [NAME]
    for name in fields.keys() & {"hosts"}:
        fields[name] = {NAME: NAME}
    if "error" in fields:
        fields["error"] = TaskError("exception", Key(NAME), NAME)
    if "tasks" in fields:
        fields["tasks"] = [spec(NAME)]
    message = kind(**fields)
    assert not fits(message) or not fields
    sent, _ = substitutes(message, NAME)
    for other in sent:
        msgspec.msgpack.encode(other)
