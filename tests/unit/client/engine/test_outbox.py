"""What leaves a client, in which order, by which thread; what waits, and who has to wait for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest

from himalia.client.engine import outbox as home
from himalia.client.engine.outbox import Gate, Outbox
from himalia.client.engine.state import Record
from himalia.comm.endpoint import Endpoint
from himalia.messages.client import FollowTelemetry, ReleaseKeys, Submit
from himalia.messages.parts import FunctionBody, TaskSpec
from himalia.names import SCHEDULER, Digest, Key, PeerId
from himalia.settings import DEFAULT


class Wire:
    """Stands for an endpoint: notes what it is given, and by which thread."""

    def __init__(self) -> None:
        self.sent: list[object] = []
        self.threads: list[int] = []
        self.unread = 0

    def send(self, peer: PeerId, message: object) -> None:
        self.sent.append(message)
        self.threads.append(threading.get_ident())

    def express(self, peer: PeerId, messages: Sequence[object]) -> bool:
        for message in messages:
            self.send(peer, message)
        return True

    def flush(self) -> None:
        pass

    def pending(self) -> dict[PeerId, int]:
        return {SCHEDULER: self.unread}


def message(number: float) -> FollowTelemetry:
    return FollowTelemetry(number)


def submission(key: str) -> Submit:
    return Submit(1, [TaskSpec(Key(key), "f", b"", b"call", (), 0, True)], True)


def opened(wire: Wire) -> Outbox:
    outbox = Outbox(DEFAULT, lambda: None)
    outbox.open(cast(Endpoint, wire))
    return outbox


def test_what_stands_behind_a_gate_waits_for_the_gate_and_keeps_its_place() -> None:
    async def main() -> None:
        wire = Wire()
        outbox = opened(wire)
        gate = Gate()
        outbox.waiting.extend([message(1), gate, submission("x"), message(3)])
        outbox.flush()
        assert wire.sent == [message(1)]
        assert (outbox.is_held_up(), outbox.is_held_up(Key("x")), outbox.is_held_up(Key("y"))) == (True, True, False)
        gate.messages = [message(2)]
        outbox.flush()
        assert wire.sent == [message(1), message(2), submission("x"), message(3)]
        assert not outbox.is_held_up()

    asyncio.run(main())


def test_the_loop_sends_many_in_one_turn_and_a_lone_one_is_sent_by_its_own_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        wire = Wire()
        outbox = opened(wire)
        here = threading.get_ident()
        outbox.send(SCHEDULER, message(1))
        assert wire.sent == []  # the loop's own thread leaves it to the loop's next turn
        await asyncio.sleep(0)
        assert (wire.sent, wire.threads) == ([message(1)], [here])
        monkeypatch.setattr(home, "EXPRESS_PAUSE", 0.0)
        await asyncio.to_thread(outbox.send, SCHEDULER, message(2))
        assert wire.sent == [message(1), message(2)]
        assert wire.threads[1] != here
        monkeypatch.setattr(home, "EXPRESS_PAUSE", 3600.0)
        await asyncio.to_thread(outbox.send, SCHEDULER, message(3))
        await asyncio.sleep(0)
        assert wire.threads[2] == here

    asyncio.run(main())


def test_no_thread_overtakes_a_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        wire = Wire()
        outbox = opened(wire)
        monkeypatch.setattr(home, "EXPRESS_PAUSE", 0.0)
        outbox.waiting.append(Gate())
        await asyncio.to_thread(outbox.send, SCHEDULER, message(1))
        await asyncio.sleep(0)
        assert wire.sent == []

    asyncio.run(main())


def test_who_submits_waits_while_too_much_is_not_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        wire = Wire()
        wire.unread = 1
        outbox = opened(wire)
        monkeypatch.setattr(home, "CONGESTION", 100)
        outbox.send(SCHEDULER, message(1))
        await asyncio.sleep(0)
        assert outbox.congested
        waiting = asyncio.create_task(asyncio.to_thread(outbox.wait_for_room, lambda: ""))
        wire.unread = 0
        await waiting
        assert not outbox.congested

    asyncio.run(main())


def test_nobody_waits_for_a_scheduler_that_is_gone() -> None:
    outbox = Outbox(DEFAULT, lambda: None)
    outbox.congested = True
    outbox.wait_for_room(lambda: "it is gone")


def test_a_call_is_acknowledged_once_all_that_was_sent_until_then_is() -> None:
    async def main() -> None:
        wire = Wire()
        outbox = opened(wire)
        record = Record(Key("x"), submitted=0.001)
        wire.unread = 1
        outbox.send(SCHEDULER, submission("x"))
        await asyncio.sleep(0)
        assert not outbox.is_acknowledged(record)
        wire.unread = 0
        assert outbox.is_acknowledged(record)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("sent", "nbytes"),
    [
        (message(1), home.MESSAGE),
        (submission("x"), 2 * home.MESSAGE + 4),
        (FunctionBody(Digest(b"digest"), b"body"), home.MESSAGE + 4),
        (ReleaseKeys([Key("x")] * 4), 2 * home.MESSAGE),
    ],
)
def test_a_message_weighs_what_it_carries(sent: Any, nbytes: int) -> None:
    assert home.weight(sent) == nbytes
