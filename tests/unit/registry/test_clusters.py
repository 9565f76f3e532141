"""The cluster files of a user."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from himalia.comm.security import new_credentials
from himalia.errors import ClusterNotFoundError, UsageError
from himalia.registry import clusters
from himalia.registry.cluster_file import ClusterEntry, describe, read_file, remove_file, write_file


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HIMALIA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def wide_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def entry(name: str = "mine", *, address: str = "tcp://127.0.0.1:8786", pid: int | None = None) -> ClusterEntry:
    return describe(name, new_credentials(), [address], pid=os.getpid() if pid is None else pid)


def test_what_is_written_is_read(home: Path) -> None:
    written = entry()
    path = clusters.write(written)
    found = clusters.read("mine")
    assert path == found.path == str(home / "clusters" / "mine.json")
    assert found.credentials == written.credentials
    assert [other.name for other in clusters.entries()] == ["mine"]


@pytest.mark.usefixtures("wide_umask")
def test_the_file_is_its_owner_s_alone_whatever_the_umask(home: Path) -> None:
    path = clusters.write(entry())
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(home / "clusters").st_mode) == 0o700
    assert os.listdir(home / "clusters") == ["mine.json"]


def test_the_secret_is_in_no_repr() -> None:
    written = entry()
    assert written.keys
    assert not any(key in repr(written) for key in written.keys.values())


def test_a_name_in_use_is_refused_with_the_ways_out() -> None:
    clusters.write(entry())
    with pytest.raises(UsageError, match=r"runs already.*himalia stop mine"):
        clusters.write(entry())
    with pytest.raises(UsageError, match="runs already"):
        clusters.check_free("mine")


def test_the_name_of_a_dead_cluster_is_free_again(dead_pid: int) -> None:
    clusters.write(entry(pid=dead_pid))
    written = entry()
    clusters.write(written)
    assert clusters.read("mine").id == written.id


def test_files_of_dead_clusters_are_removed_when_seen(home: Path, dead_pid: int) -> None:
    clusters.write(entry("dead", pid=dead_pid))
    clusters.write(entry("alive"))
    assert [found.name for found in clusters.entries()] == ["alive"]
    assert os.listdir(home / "clusters") == ["alive.json"]


def test_another_process_of_the_same_number_is_not_the_cluster() -> None:
    written = entry()
    written.pid_started += 12345.0
    clusters.write(written)
    assert clusters.entries() == []


def test_nothing_is_known_of_another_host_so_its_clusters_stay() -> None:
    written = entry(pid=1)
    written.machine, written.hostname = "another", "another-host"
    clusters.write(written)
    assert [found.hostname for found in clusters.entries()] == ["another-host"]


def test_a_cluster_from_before_this_host_s_last_boot_is_gone() -> None:
    written = entry(address="unix:///nowhere/scheduler.sock")
    written.machine = "the same host, booted earlier"
    clusters.write(written)
    assert clusters.entries() == []


def test_an_unknown_name_says_what_runs() -> None:
    clusters.write(entry("other"))
    with pytest.raises(ClusterNotFoundError, match=r"mine.*Running: other"):
        clusters.read("mine")


@pytest.mark.parametrize("name", ["", "a/b", "../a", ".hidden", "x" * 65, "a b", "-x"])
def test_what_cannot_be_a_file_name_cannot_be_a_cluster_s(name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        clusters.check_name(name)


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:8786", "localhost:8786", "tcp://[::1]:8786", "tls://localhost:8786"]
)
def test_a_cluster_is_found_by_any_spelling_of_its_address(address: str) -> None:
    clusters.write(entry())
    found = clusters.find(address)
    assert found is not None
    assert found.name == "mine"


def test_another_port_is_another_cluster() -> None:
    clusters.write(entry())
    assert clusters.find("tcp://127.0.0.1:8787") is None


def test_loopback_of_another_host_is_not_here() -> None:
    written = entry()
    written.machine, written.hostname = "another", "another-host"
    clusters.write(written)
    assert clusters.find("tcp://127.0.0.1:8786") is None
    assert clusters.read("mine").reachable == []


def test_only_the_cluster_that_wrote_a_file_removes_it() -> None:
    written = entry()
    path = clusters.write(written)
    clusters.remove("mine", "somebody else's id")
    assert os.path.exists(path)
    clusters.remove("mine", written.id)
    assert not os.path.exists(path)
    clusters.remove("mine", written.id)


def test_a_file_that_others_may_read_is_not_used() -> None:
    path = clusters.write(entry())
    os.chmod(path, 0o640)
    with pytest.raises(UsageError, match="chmod 600"):
        clusters.read("mine")
    assert clusters.entries() == []
    assert os.path.exists(path)


def test_a_file_of_another_user_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    path = clusters.write(entry())
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(UsageError, match="another user"):
        read_file(path)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"\xff\xfe", b'{"name":"a","id":"b","addresses":[],"keys":{"client":"zz"}}']
)
def test_what_is_no_cluster_file_is_refused_as_such(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UsageError, match="not a cluster file"):
        read_file(str(path))


def test_a_directory_is_no_cluster_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a cluster file"):
        read_file(str(tmp_path))


def test_a_named_file_replaces_an_older_one_and_goes_with_its_cluster(tmp_path: Path) -> None:
    path = tmp_path / "scheduler.json"
    path.write_text("older")
    written = entry()
    write_file(str(path), written)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_file(str(path)).id == written.id
    remove_file(str(path), written.id)
    assert not path.exists()


def test_a_named_file_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be written"):
        write_file(str(tmp_path / "missing" / "scheduler.json"), entry())
