"""A server that owes a peer many answers reads no more requests of it until it has read some."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from himalia.comm.data.connection import MOST_QUEUED, DataConnection
from himalia.messages.data import DataRequest, PutStored


class Serving(DataConnection):
    hears_out = False

    def lost(self, reason: str) -> None:
        pass


class Transport(asyncio.Transport):
    """A transport whose peer reads nothing until it is told so."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = True
        self.written = 0

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def write(self, data: Any) -> None:
        self.written += len(data)


def test_requests_of_a_peer_that_reads_no_answers_are_left_in_its_socket() -> None:
    async def main() -> None:
        connection, transport = Serving(DataRequest, {}), Transport()
        connection.connection_made(transport)
        connection.pause_writing()
        for number in range(MOST_QUEUED):
            connection.send(PutStored(number, 1))
        assert transport.reads
        connection.send(PutStored(0, 1))
        assert not transport.reads
        connection.resume_writing()
        assert transport.reads and transport.written

    asyncio.run(main())


@pytest.mark.parametrize("first", ["answers", "room"])
def test_it_reads_again_only_when_both_reasons_not_to_are_gone(first: str) -> None:
    async def main() -> None:
        connection, transport = Serving(DataRequest, {}), Transport()
        connection.connection_made(transport)
        connection.pause_writing()
        connection.hold()
        for number in range(MOST_QUEUED + 1):
            connection.send(PutStored(number, 1))
        ends = [connection.resume_writing, connection.go_on]
        for end in ends if first == "answers" else reversed(ends):
            assert not transport.reads
            end()
        assert transport.reads

    asyncio.run(main())
