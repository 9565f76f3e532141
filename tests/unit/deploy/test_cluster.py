"""What a cluster object makes of a scheduler's answers; the scheduler is an endpoint that answers what a test says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from himalia.comm.security import Credentials
from himalia.deploy.cluster import Cluster
from himalia.errors import ScaleError
from himalia.messages.answers import Reply, Scaled
from himalia.messages.client import Scale
from himalia.names import PeerId
from tests.unit.comm.stage import CREDENTIALS, Node, run


class ScalingScheduler(Node):
    """Answers each wish for workers in the same way."""

    def __init__(self, answer: Scaled) -> None:
        super().__init__("scheduler")
        self.answer = answer

    def messages_received(self, peer: PeerId, messages: Sequence[Any]) -> None:
        for message in messages:
            if isinstance(message, Scale):
                self.endpoint.send(peer, Reply(message.request, self.answer))


class RunningCluster(Cluster):
    """A cluster whose processes are somebody else's."""

    def __init__(self, address: str) -> None:
        super().__init__(name="made-up", asynchronous=True)
        self.addresses = [address]
        self._status = "running"

    @property
    def credentials(self) -> Credentials:
        return CREDENTIALS


async def scale(answer: Scaled, workers: int, folder: Path) -> Cluster:
    scheduler = ScalingScheduler(answer)
    cluster = RunningCluster(await scheduler.listen(f"unix://{folder}/s"))
    try:
        await cluster.scale(workers)  # type: ignore[func-returns-value, misc]  # an asynchronous one
    finally:
        await scheduler.endpoint.close()
        assert cluster.expected == workers
    return cluster


def test_a_nanny_that_refuses_to_scale_is_quoted_to_who_asked(tmp_path: Path) -> None:
    async def main() -> None:
        why = {"unix:///n.sock": "this nanny is ending: the nanny was stopped"}
        with pytest.raises(ScaleError, match=r"not scaled to 3 workers: unix:///n\.sock: this nanny is end") as refused:
            await scale(Scaled([], why), 3, tmp_path)
        assert refused.value.problems == why

    run(main())


def test_scaling_that_is_done_says_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        await scale(Scaled(["n-0", "n-1"]), 2, tmp_path)

    run(main())
