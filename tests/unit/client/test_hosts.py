from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from himalia.client.hosts import Hosts
from himalia.client.state import ReadFailed
from himalia.names import HostId, Key, PeerId

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
