"""Waiting for workers: as long as it takes, until the time is over, or until they can't come any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from himalia.errors import ClosedError, TimeoutError
from himalia.follow import arrivals
from himalia.follow.arrivals import wait_for_workers
from himalia.messages.answers import ClusterInfo, WorkerView
from himalia.names import HostId, PeerId


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "POLL", 0.0)


def one_more_each_time() -> Callable[[], Coroutine[object, object, ClusterInfo]]:
    info = ClusterInfo(workers={})

    async def describe() -> ClusterInfo:
        info.workers[f"tcp://worker:{len(info.workers)}"] = WorkerView("w", HostId(PeerId("h")))
        return info

    return describe


async def nobody() -> ClusterInfo:
    return ClusterInfo()


def test_it_ends_when_enough_are_there() -> None:
    describe = one_more_each_time()
    asyncio.run(wait_for_workers(describe, 3, None, advice=""))
    assert len(asyncio.run(describe()).workers) == 4


def test_it_ends_in_time_and_says_how_many_came_and_what_to_do() -> None:
    with pytest.raises(TimeoutError, match=r"0 of 2 workers came within 0 s; .* Look at the logs\."):
        asyncio.run(wait_for_workers(nobody, 2, 0.0, advice="Look at the logs."))


def test_it_ends_when_they_can_not_come() -> None:
    def check() -> None:
        raise ClosedError("it failed")

    with pytest.raises(ClosedError, match="it failed"):
        asyncio.run(wait_for_workers(nobody, 1, None, check=check, advice=""))
