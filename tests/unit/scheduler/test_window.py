"""What becomes of news, values, lines and pushes for a client that doesn't read: nothing queues without end."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from himalia.machine import Disconnect, Instruction, Send, Ticked
from himalia.messages.client import (
    CallOutput,
    CancelKeys,
    CatchUp,
    FollowTelemetry,
    GetInfo,
    GetKeys,
    GetTelemetry,
    ReleaseKeys,
    Restart,
    ResultCancelled,
    ResultErred,
    ResultReady,
    Submit,
    Telemetry,
    WantKeys,
)
from himalia.messages.nanny import DataLost, TaskFinished, WorkerOutput
from himalia.messages.parts import Close, Message
from himalia.messages.telemetry import LogLine
from himalia.names import ClientId, Key, PeerId, WorkerName
from himalia.scheduler.window import HOPELESS, MESSAGE, SendWindow
from himalia.settings import DEFAULT
from himalia.testing.stages.scheduler import TIMING, SchedulerStage, spec

VALUES = DEFAULT.client_window
THIN, NEWS = VALUES // 8, VALUES * 3 // 2
ALICE = PeerId("alice")


def window(stage: SchedulerStage, client: str = "alice") -> SendWindow:
    return stage.machine.clients[ClientId(PeerId(client))].window


def tick(stage: SchedulerStage, *, reads: bool) -> list[Instruction]:
    """Let a tick pass at which alice has read everything, or nothing yet."""
    stage.now += 0.1
    return stage.event(Ticked({} if reads else {ALICE: window(stage).sent}))


def finish(stage: SchedulerStage, keys: list[str], data: bytes | None) -> None:
    """Let calls finish, without looking at everything after each."""
    for key in keys:
        task = stage.task(key)
        assert task.host is not None
        message = TaskFinished(Key(key), task.attempt, WorkerName("a-0"), 8, "int", TIMING, data)
        instructions = stage.machine.handle(message, now=stage.now, source=PeerId(str(task.host.id)))
        stage.sent += [(str(i.peer), i.message) for i in instructions if isinstance(i, Send)]
    stage.machine.validate()


def submit(stage: SchedulerStage, number: int, client: str = "alice", name: str = "f", batch: int = 1) -> list[str]:
    keys = [f"{name}-{n}" for n in range(number)]
    message = Submit(batch, [spec(key) for key in keys])
    instructions = stage.machine.handle(message, now=stage.now, source=PeerId(client))
    stage.sent += [(str(i.peer), i.message) for i in instructions if isinstance(i, Send)]
    return keys


def fill(stage: SchedulerStage, nbytes: int) -> None:
    """Have so much under way to alice."""
    own = window(stage)
    own.total += nbytes - own.under_way
    own.sent += 1
    tick(stage, reads=False)
    stage.take()


def test_a_client_that_reads_gets_values() -> None:
    stage = SchedulerStage("a")
    for n in range(20):
        keys = submit(stage, 1, name=f"f{n}", batch=n)
        finish(stage, keys, bytes(10_000_000))
        [(_, ready)] = stage.taken(ResultReady)
        assert ready.data is not None
        tick(stage, reads=True)
    assert window(stage).under_way == 0


def test_what_a_client_has_not_read_is_counted_until_it_has() -> None:
    own = SendWindow(VALUES)
    for _ in range(3):
        own.add(Close("x"))
    own.arrived(3)
    assert own.under_way == 3 * MESSAGE
    own.add(Close("x"))
    own.arrived(1)
    assert own.under_way == MESSAGE
    own.arrived(0)
    assert own.under_way == 0


def test_values_stay_at_their_host_when_much_is_under_way() -> None:
    stage = SchedulerStage("a")
    keys = submit(stage, 2)
    fill(stage, VALUES + 1)
    finish(stage, keys[:1], b"value")
    [(_, ready)] = stage.taken(ResultReady)
    assert (ready.data, ready.holders) == (None, ("a",))
    tick(stage, reads=True)
    finish(stage, keys[1:], b"value")
    [(_, ready)] = stage.taken(ResultReady)
    assert ready.data == b"value"


def test_news_wait_and_only_the_last_word_on_a_key_is_told() -> None:
    stage = SchedulerStage("a")
    keys = submit(stage, 3)
    stage.submit("bob", spec("g-1"))
    fill(stage, NEWS)
    finish(stage, [*keys, "g-1"], b"value")
    stage.message("a", DataLost(Key("f-0"), stage.task("f-0").attempt))
    stage.fail("f-0")
    assert [peer for peer, message in stage.take() if peer in ("alice", "bob")] == ["bob"], "others get theirs"
    tick(stage, reads=True)
    told = [message for peer, message in stage.take() if peer == "alice"]
    assert [(type(message), getattr(message, "key", "")) for message in told] == [
        (ResultReady, "f-1"),
        (ResultReady, "f-2"),
        (ResultErred, "f-0"),
    ]
    assert not window(stage).held


def test_news_of_a_released_key_are_forgotten_so_that_it_can_be_used_again() -> None:
    stage = SchedulerStage("a")
    keys = submit(stage, 1)
    fill(stage, NEWS)
    finish(stage, keys, b"old")
    stage.message("alice", ReleaseKeys([Key("f-0")]))
    stage.message("alice", GetKeys(7, []))
    stage.submit("alice", spec("f-0"), batch=2)
    stage.take()
    tick(stage, reads=True)
    assert stage.taken(ResultReady) == [], "the one before was finished, this one isn't"


def test_that_a_key_was_cancelled_is_not_told_once_it_is_submitted_again() -> None:
    stage = SchedulerStage("a")
    keys = submit(stage, 1)
    fill(stage, NEWS)
    stage.message("alice", CancelKeys([Key(key) for key in keys]))
    submit(stage, 1, batch=2)
    stage.take()
    tick(stage, reads=True)
    assert stage.taken(ResultCancelled) == []
    finish(stage, keys, b"1")
    assert [message.key for _, message in stage.taken(ResultReady)] == keys


def test_all_results_for_a_client_that_stands_still_queue_no_more_than_the_window() -> None:
    stage = SchedulerStage("a")
    most = 0
    for batch in range(100):
        keys = submit(stage, 1000, name=f"f{batch}", batch=batch)
        for key in keys:
            task = stage.task(key)
            done = TaskFinished(Key(key), task.attempt, WorkerName("a-0"), 1000, "bytes", TIMING, bytes(1000))
            for instruction in stage.machine.handle(done, now=stage.now, source=PeerId("a")):
                if getattr(instruction, "peer", "") == "alice":
                    most += 1
        stage.machine.handle(Ticked({ALICE: window(stage).sent}), now=batch * 0.1, source=PeerId(""))
    own = window(stage)
    assert own.under_way <= NEWS + MESSAGE
    assert most < own.sent < most + 5, "a few went before"
    assert most + len(own.held) == 100_000
    told: dict[str, Message] = {}
    for _ in range(10):
        for instruction in stage.machine.handle(Ticked(), now=20.0, source=PeerId("")):
            message = getattr(instruction, "message", None)
            if isinstance(message, ResultReady):
                assert told.setdefault(message.key, message) is message
    assert len(told) == 100_000 - most > 5_000


def test_lines_of_output_are_counted_while_a_client_does_not_read() -> None:
    stage = SchedulerStage("a")
    submit(stage, 1)
    fill(stage, THIN + 1)
    line = LogLine(1.0, "stdout", "hello")
    for _ in range(3):
        stage.message("a", WorkerOutput(Key("f-0"), WorkerName("a-0"), [line, line]))
        tick(stage, reads=False)
    assert stage.taken(CallOutput) == []
    tick(stage, reads=True)
    tick(stage, reads=True)
    [(_, output)] = stage.taken(CallOutput)
    assert (output.lines, output.dropped) == ([], 6)


def test_a_follower_that_does_not_read_gets_no_push_and_is_told_later_how_much_it_missed() -> None:
    ring = 4_000
    stage = SchedulerStage("a", settings=msgspec.structs.replace(DEFAULT, telemetry_ring=ring))
    stage.message("alice", FollowTelemetry(0.05, full=True))
    tick(stage, reads=True)
    stage.take()
    fill(stage, THIN + 1)
    for batch in range(1, 9):
        finish(stage, submit(stage, 1000, "bob", f"f{batch}", batch), None)
        tick(stage, reads=False)
        stage.machine.handle(Restart(1), now=stage.now, source=PeerId("bob"))
    assert stage.taken(Telemetry) == []
    tick(stage, reads=True)
    tick(stage, reads=True)
    pushes = [push for _, push in stage.taken(Telemetry)]
    kept = 8_000 - sum(push.skipped for push in pushes)
    assert ring <= kept < ring + 2048
    assert pushes[-1].status.total == 8_000


def asks() -> Iterator[Message]:
    yield GetInfo(1)
    yield WantKeys([Key(f"nobody-{n}") for n in range(10_000)])
    yield GetTelemetry(2)
    yield CatchUp(3)


def test_who_asks_without_end_and_reads_no_answer_is_cut_off_and_nobody_else() -> None:
    stage = SchedulerStage("a")
    stage.submit("alice", spec("f-1"))
    stage.submit("bob", spec("g-1"))
    queued = 0
    for round in range(200):
        for question in asks():
            if isinstance(question, WantKeys):
                question = WantKeys([Key(f"{key}-{round}") for key in question.keys])
            queued += len(stage.machine.handle(question, now=0.0, source=ALICE))
    assert queued < 3 * HOPELESS / MESSAGE
    assert len(window(stage).held) < 250_000
    instructions = tick(stage, reads=False)
    assert [i.peer for i in instructions if isinstance(i, Disconnect)] == ["alice"]
    assert list(stage.machine.clients) == ["bob"]
    assert stage.status("f-1") is None
    stage.finish("g-1")
    assert [peer for peer, _ in stage.taken(ResultReady)] == ["bob"]


def test_people_are_told_that_a_client_does_not_read_and_that_it_does_again() -> None:
    stage = SchedulerStage("a")
    fill(stage, VALUES + 1)
    tick(stage, reads=False)
    tick(stage, reads=True)
    kinds = [event.kind for event in stage.machine.state.events.of("alice")]
    assert kinds == ["client-behind", "client-caught-up"]
