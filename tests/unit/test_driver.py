"""The driver: one clock reading a batch, instructions in order, and a bug that stays one message's own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from himalia.driver import NOBODY, Driver
from himalia.machine import Disconnect, Event, Instruction, PeerJoined, PeerLeft, Send, Ticked
from himalia.messages.client import Explain, ReleaseKeys
from himalia.names import Key, PeerId
from himalia.settings import DEFAULT, Settings
from himalia.testing.clock import HandLoop

CLIENT = PeerId("client-1")


class Asked(Event):
    """An event of this side."""

    number: int


class Do(Instruction):
    """Something to perform."""

    number: int


class Echo:
    """A machine that remembers and does as it is told."""

    def __init__(self, answer: Callable[[Any], list[Any]] = lambda _: []) -> None:
        self.seen: list[tuple[Any, float, PeerId]] = []
        self.answer = answer

    def handle(self, event: Any, *, now: float, source: PeerId = NOBODY) -> list[Any]:
        self.seen.append((event, now, source))
        return self.answer(event)


class FakeEndpoint:
    """Remembers what was sent."""

    def __init__(self, settings: Settings = DEFAULT) -> None:
        self.settings = settings
        self.done: list[Any] = []

    def send(self, peer: PeerId, message: Any) -> None:
        self.done.append((peer, message))

    def disconnect(self, peer: PeerId, reason: str) -> None:
        self.done.append((peer, reason))

    def pending(self) -> dict[PeerId, int]:
        return {CLIENT: 2}


def counting_clock() -> Callable[[], float]:
    readings = iter(range(1, 1000))
    return lambda: float(next(readings))


def test_a_batch_is_handled_in_order_at_one_reading_of_the_clock() -> None:
    machine = Echo()
    driver = Driver(machine, clock=counting_clock(), perform={})
    driver.messages_received(CLIENT, ["a", "b"])
    driver.feed("c")
    assert machine.seen == [("a", 1.0, CLIENT), ("b", 1.0, CLIENT), ("c", 2.0, PeerId(""))]


def test_peers_come_and_go_as_events() -> None:
    machine = Echo()
    driver = Driver(machine, clock=lambda: 0.0, perform={})
    driver.peer_joined(CLIENT, "client")
    driver.peer_left(CLIENT, "enough")
    assert [event for event, _, _ in machine.seen] == [PeerJoined(CLIENT, "client"), PeerLeft(CLIENT, "enough")]


def test_instructions_are_performed_in_their_order() -> None:
    endpoint = FakeEndpoint()
    machine = Echo(lambda _: [Send(CLIENT, "x"), Do(1), Disconnect(CLIENT, "enough"), Do(2)])
    driver = Driver(machine, clock=lambda: 0.0, perform={Do: endpoint.done.append})
    driver.attach(endpoint)
    driver.feed(Asked(1))
    assert endpoint.done == [(CLIENT, "x"), Do(1), (CLIENT, "enough"), Do(2)]


def test_an_event_that_arises_while_another_is_handled_waits_for_its_turn() -> None:
    done: list[int] = []
    machine = Echo(lambda event: [Do(1), Do(2)] if event == Asked(0) else [])
    driver = Driver(machine, clock=lambda: 0.0, perform={Do: lambda do: perform(do)})

    def perform(do: Do) -> None:
        driver.feed(Asked(do.number))
        done.append(do.number)
        assert machine.seen[-1][0] == Asked(0), "the second event was handled inside the first"

    driver.feed(Asked(0))
    assert done == [1, 2]
    assert [event for event, _, _ in machine.seen] == [Asked(0), Asked(1), Asked(2)]


def fail_for_explain(event: Any) -> list[Any]:
    if isinstance(event, Explain):
        raise ValueError("a bug")
    return [Do(1)]


def test_a_bug_is_logged_with_type_and_key_and_the_rest_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    done: list[Any] = []
    driver = Driver(Echo(fail_for_explain), clock=lambda: 0.0, perform={Do: done.append})
    driver.messages_received(CLIENT, [ReleaseKeys([]), Explain(1, Key("inc-7")), ReleaseKeys([])])
    assert done == [Do(1), Do(1)]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "handling Explain inc-7 failed; it is skipped"
    assert record.exc_info is not None


def test_an_instruction_that_nobody_performs_is_logged_and_the_rest_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    done: list[Any] = []

    class Unknown(Instruction):
        pass

    driver = Driver(Echo(lambda _: [Unknown(), Do(1)]), clock=lambda: 0.0, perform={Do: done.append})
    driver.feed(Asked(1))
    assert done == [Do(1)]
    assert "performing Unknown" in caplog.text


def test_a_strict_driver_raises_and_can_be_used_again() -> None:
    driver = Driver(Echo(fail_for_explain), clock=lambda: 0.0, perform={Do: lambda _: None}, strict=True)
    for _ in range(2):
        with pytest.raises(ValueError, match="a bug"):
            driver.feed(Explain(1, Key("x")))
    driver.feed(Asked(1))


def test_it_ticks_while_it_is_attached() -> None:
    machine = Echo()
    loop = HandLoop()
    driver = Driver(machine, clock=lambda: 0.0, perform={})
    loop.call_soon(driver.attach, FakeEndpoint(msgspec.structs.replace(DEFAULT, tick_interval=0.1)))
    loop.settle()
    assert machine.seen == []
    loop.advance(0.35)
    assert len(machine.seen) == 3
    driver.stop()
    loop.advance(60.0)
    assert len(machine.seen) == 3
    assert machine.seen[0] == (Ticked({CLIENT: 2}), 0.0, PeerId(""))


def test_without_a_loop_nothing_ticks() -> None:
    machine = Echo()
    Driver(machine, clock=lambda: 0.0, perform={}).attach(FakeEndpoint())
    assert machine.seen == []
