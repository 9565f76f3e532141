from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from himalia.client.engine.events import ReadFailed
from himalia.client.engine.hosts import Hosts
from himalia.errors import StoreFullError
from himalia.messages.client import DataPlaced, ReleaseKeys
from himalia.messages.parts import HostInfo
from himalia.names import HostId, Key, PeerId
from himalia.testing.builders import make_host_info
from himalia.testing.clock import HandLoop

HOST = HostId(PeerId("nanny-1"))


class Cancelled:
    """A record that another thread cancels as soon as somebody has looked at its holders."""

    key = Key("x")
    attempt = 3

    def __init__(self) -> None:
        self._looks = iter([(HOST,)])

    @property
    def holders(self) -> tuple[HostId, ...]:
        return next(self._looks, ())


def test_a_result_that_is_cancelled_while_it_is_read_is_reported_as_missing_and_nothing_else() -> None:
    told: list[Any] = []
    machine: Any = SimpleNamespace(hosts={})
    data: Any = None
    records: list[Any] = [Cancelled()]
    assert asyncio.run(Hosts(machine, data, "me", told.append).read(records)) == {}
    assert told == [ReadFailed(Key("x"), 3, HOST)]


class Data:
    """Stores small values, slowly, and has no room for large ones."""

    async def put(self, host: HostInfo, key: Key, frames: list[bytes], attempt: int = 0) -> int:
        if len(frames[0]) > 100:
            raise StoreFullError("no room")
        await asyncio.sleep(0.01)  # of the time that the test moves
        return len(frames[0])


@pytest.mark.parametrize("seconds", [5.0, 0.001], ids=["one doesn't fit", "nobody waits any more"])
def test_what_was_stored_with_others_in_vain_is_given_up(seconds: float) -> None:
    """It is announced, so that the scheduler has it freed; a key that is held here keeps its own."""
    told: list[Any] = []
    held = Key("held")
    host = make_host_info("nanny-1")
    machine: Any = SimpleNamespace(hosts={HOST: host}, records={held: object()}, gone="")
    values = {"a": b"x", str(held): b"y"} | ({"large": bytes(1000)} if seconds > 1 else {})
    parcels: list[Any] = [
        SimpleNamespace(key=Key(key), frames=[data], attempt=0, group="g", type_name="t", wanted=True, origin="")
        for key, data in values.items()
    ]

    async def place() -> None:
        data: Any = Data()
        hosts = Hosts(machine, data, "me", told.append)
        with pytest.raises((StoreFullError, TimeoutError)):
            await asyncio.wait_for(hosts.place_all(parcels), seconds)

    loop = HandLoop()
    loop.run(place())
    loop.advance(1.0)
    messages = [event.message for event in told]
    placed = {message.key: message.wanted for message in messages if isinstance(message, DataPlaced)}
    assert placed == {Key("a"): True, held: False}
    assert [message.keys for message in messages if isinstance(message, ReleaseKeys)] == [[Key("a")]]
