from __future__ import annotations

from collections.abc import Iterator

import pytest

from himalia import Client
from himalia.testing.stages.fake_cluster import FakeCluster, install


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    install(monkeypatch)
    with FakeCluster() as cluster:
        yield cluster


@pytest.fixture
def client(cluster: FakeCluster) -> Iterator[Client]:
    with Client(cluster) as client:
        yield client
        with client._engine.shell.lock:  # a result may arrive at this moment
            client._engine.shell.machine.validate()
