"""Faults that come by the thousand, and how many lines a nanny writes about them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from himalia.bucket import COMPLAINT_BURST
from himalia.comm.security import new_credentials
from himalia.errors import StoreDamagedError
from himalia.messages.parts import HostInfo
from himalia.names import HostId, Key, PeerId
from himalia.nanny import events
from himalia.nanny.config import NannyConfig
from himalia.nanny.shell import NannyShell
from himalia.nanny.store.store import Store
from himalia.settings import DEFAULT

MANY = 1000


class Told:
    """A driver that keeps what it is fed."""

    def __init__(self) -> None:
        self.fed: list[object] = []

    def feed(self, event: object) -> None:
        self.fed.append(event)


def test_a_dead_host_whose_inputs_many_calls_wait_for_costs_a_few_lines(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dead = HostInfo(HostId(PeerId("nanny-dead")), f"unix://{tmp_path}/nobody", "node", 1, "machine", "", 0, "")

    async def main() -> None:
        told = Told()
        config = NannyConfig(
            scheduler=[], credentials=new_credentials().to_config(), listen="", nworkers=1, memory_limit=2**24
        )
        shell = NannyShell(config, str(tmp_path))
        shell.driver = told  # type: ignore[assignment]  # it is fed, no more
        try:
            await asyncio.gather(*[shell._fetch_all(dead, [(Key(f"k{number}"), 1)]) for number in range(MANY)])
        finally:
            del shell.driver
            await shell.close()
        assert sum(isinstance(event, events.DataFetched) for event in told.fed) == MANY, "each call is told"

    asyncio.run(main())
    lines = [record.getMessage() for record in caplog.records if "could not be fetched" in record.getMessage()]
    assert 0 < len(lines) <= COMPLAINT_BURST + 2


def test_a_disk_that_damaged_all_results_costs_a_few_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(directory=str(tmp_path), limit=2**24, settings=DEFAULT)
    keys = [Key(f"k{number}") for number in range(MANY)]
    for key in keys:
        store.put_inline(key, 1, b"\x80" + os.urandom(5000))
    store._overflow.spill(2**24, 2**24)
    os.ftruncate(store._overflow._disk._file, 0)
    for key in keys:
        with pytest.raises(StoreDamagedError):
            store.place(key, "reader")
    store.close()
    assert 0 < len(caplog.records) <= COMPLAINT_BURST + 2
