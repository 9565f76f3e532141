"""Which cluster is meant where nobody says which."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from himalia.comm.security import new_credentials
from himalia.errors import ClusterNotFoundError, UsageError
from himalia.registry import clusters
from himalia.registry.cluster_file import ClusterEntry, describe
from himalia.registry.resolving import find_target


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIMALIA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HIMALIA_CLUSTER_FILE", raising=False)


def write(name: str, address: str = "tcp://127.0.0.1:8786", *, hostname: str = "") -> ClusterEntry:
    entry = describe(name, new_credentials(), [address], pid=os.getpid())
    if hostname:
        entry.machine = entry.hostname = hostname
    clusters.write(entry)
    return entry


def test_the_only_cluster_is_meant_where_nothing_says_which() -> None:
    write("mine")
    target = find_target(None, None)
    assert target.entry is not None
    assert (target.name, target.addresses) == ("mine", ["tcp://127.0.0.1:8786"])


def test_of_several_clusters_the_names_are_said() -> None:
    write("mine")
    write("yours", "tcp://127.0.0.1:8787")
    with pytest.raises(UsageError, match=r"2 clusters of yours run: mine, yours\. Give the name of one"):
        find_target(None, None)


def test_without_a_cluster_it_is_said_how_to_start_one() -> None:
    with pytest.raises(ClusterNotFoundError, match=r"No cluster .* `himalia scheduler`.*--cluster-file"):
        find_target(None, None)


def test_a_cluster_that_only_its_own_host_can_reach_is_not_meant_elsewhere() -> None:
    write("notebook", hostname="laptop")
    write("shared", "tls://head:8786", hostname="head")
    assert find_target(None, None).name == "shared"


def test_a_cluster_file_is_meant_before_the_only_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("mine")
    monkeypatch.setenv("HIMALIA_CLUSTER_FILE", str(tmp_path / "none.json"))
    with pytest.raises(ClusterNotFoundError, match=r"none\.json"):
        find_target(None, None)
