"""What a client says of a call when the scheduler doesn't: since when, whether that has it, and what follows."""

from __future__ import annotations

import asyncio
import re

import pytest

from himalia import Client, as_completed
from himalia.backlog import Backlog
from himalia.client.engine import explaining
from himalia.client.engine.awaiting import awaiting
from himalia.comm.contact import Contact, describe_contact
from himalia.errors import TimeoutError
from himalia.testing.stages.fake_cluster import FakeCluster, snooze
from tests.waiting import until, wait_until


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "EXPLAIN_TIMEOUT", 0.2)
    monkeypatch.setattr(explaining, "SAID_AFTER", 0.05)


def inc(number: int) -> int:
    return number + 1


def size(data: bytes) -> int:
    return len(data)


def test_a_call_can_be_explained_by_its_future_or_its_key(client: Client) -> None:
    future = client.submit(inc, 1)
    assert future.result(5) == 2
    assert client.explain(future) == client.explain(future.key) == future.explain()
    assert client.explain("nobody-knows").startswith("nobody-knows is not known to the scheduler")


def test_a_submission_that_is_not_acknowledged_says_since_when(client: Client, cluster: FakeCluster) -> None:
    cluster.stands_still = True
    future = client.submit(inc, 1)
    text = future.explain()
    assert text.startswith(
        f"{future.key} is pending as far as is known here: the scheduler has not answered for 0.2 s."
    )
    assert re.search(
        r"submitted 0\.\d s ago, and the scheduler has not acknowledged it\. It was last heard of 4\.0 s ago", text
    )
    assert client.explain("other").startswith("other is not held as far as is known here")


def test_a_submission_that_was_acknowledged_before_says_so(client: Client, cluster: FakeCluster) -> None:
    future = client.submit(snooze, 30)
    wait_until(lambda: client._engine.outbox.is_acknowledged(future._record))
    cluster.stands_still = True
    late = client.submit(inc, 1)
    assert "and the scheduler has it." in future.explain()
    assert "and the scheduler has not acknowledged it." in late.explain()
    assert "and the scheduler has it." in future.explain()


def test_an_error_about_time_says_that_a_submission_is_not_acknowledged(client: Client, cluster: FakeCluster) -> None:
    slow = client.submit(snooze, 30)
    wait_until(lambda: client._engine.outbox.is_acknowledged(slow._record))
    with pytest.raises(TimeoutError, match=r"goes on\. Wait longer, or ask"):
        slow.result(0.1)
    cluster.stands_still = True
    future = client.submit(inc, 1)
    unheard = (
        r"goes on\. It was submitted 0\.\d s ago, and the scheduler has not acknowledged it\. It was last heard of"
    )
    with pytest.raises(TimeoutError, match=unheard):
        future.result(0.1)
    with pytest.raises(TimeoutError, match=unheard):
        list(as_completed([future], timeout=0.05))


def test_calls_behind_an_argument_that_is_still_being_stored_say_so_at_once(cluster: FakeCluster) -> None:
    async def main() -> None:
        async with Client(cluster, asynchronous=True) as client:
            before = client.submit(snooze, 30)
            await until(lambda: client._engine.outbox.is_acknowledged(before._record))
            cluster.stores_nothing = True
            future = client.submit(size, bytes(5_000_000))
            after = client.submit(inc, 1)
            for waiting in (future, after):
                text = await awaiting(waiting.explain())
                assert "ago and has not been sent yet. Large arguments are still being stored on a host" in text
            text = await awaiting(before.explain())
            assert "could not be asked, because what was submitted before waits here" in text
            assert client._engine.outbox.is_acknowledged(before._record)
            assert not client._engine.outbox.is_acknowledged(after._record)
            with pytest.raises(TimeoutError, match="has not been sent yet"):
                await after.result(0.1)  # type: ignore[misc]

    asyncio.run(main())


def test_a_connection_that_broke_says_for_how_long_it_is_tried_again() -> None:
    assert describe_contact(Contact(7.0, 60.0, 4.0, "the peer closed it")) == (
        "It was last heard of 7.0 s ago; the connection to it broke 4.0 s ago (the peer closed it) and is tried again "
        "for another 56 s. If it comes back by then nothing is lost; if not, this session is over."
    )
    assert describe_contact(None) == "There is no session with it."


def test_a_backlog_knows_until_when_everything_was_acknowledged() -> None:
    backlog = Backlog()
    backlog.count(10)
    backlog.arrived(1, 1.0)
    backlog.count(10)
    backlog.arrived(2, 2.0)
    assert (backlog.until, backlog.under_way) == (0.0, 20)
    backlog.arrived(1, 3.0)
    assert (backlog.until, backlog.under_way) == (1.0, 10)
    backlog.arrived(0, 4.0)
    assert (backlog.until, backlog.under_way) == (4.0, 0)
