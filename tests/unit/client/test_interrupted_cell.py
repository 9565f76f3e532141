from __future__ import annotations

from himalia import Client
from himalia.client.interrupted_cell import CellInterrupts
from himalia.messages.client import CancelSpan
from himalia.testing.stages.fake_cluster import FakeCluster
from tests.waiting import wait_until


def spans(cluster: FakeCluster) -> list[str]:
    return [message.span for message in cluster.seen if isinstance(message, CancelSpan)]


def test_the_scheduler_is_told_the_span_of_a_cell_that_was_interrupted(cluster: FakeCluster, client: Client) -> None:
    CellInterrupts(client._engine).cell_interrupted(3)
    wait_until(lambda: spans(cluster) == [f"{client.id}/3"])


def test_nobody_is_told_by_a_client_that_is_closed(cluster: FakeCluster) -> None:
    with Client(cluster) as client:
        interrupts = CellInterrupts(client._engine)
    interrupts.cell_interrupted(3)
    assert spans(cluster) == []
