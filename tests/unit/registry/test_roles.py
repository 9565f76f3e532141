"""What the holder of each file may be, and that no file, pickle or copy tells more."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import os
import pickle
from pathlib import Path

import cloudpickle
import pytest

from himalia.comm.connection import Acceptance, Greeting, listen_authenticated, open_authenticated
from himalia.comm.security import CLIENT_ROLES, WORKER_ROLES, Credentials, make_certificate, new_credentials
from himalia.errors import ClusterNotFoundError, HandshakeError, StartError, UsageError
from himalia.names import PeerId
from himalia.private import create_file
from himalia.registry import clusters
from himalia.registry.cluster_file import describe, read_file, token_path, worker_path, write_file
from himalia.registry.dashboard_key import metrics_token, new_key
from himalia.registry.runtime_directory import own_folder, scratch_directory


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIMALIA_HOME", str(tmp_path / "home"))


def written(name: str = "mine") -> tuple[Credentials, str]:
    credentials = new_credentials()
    entry = describe(name, credentials, ["unix:///tmp/nobody.sock"], pid=os.getpid())
    return credentials, clusters.write(entry, credentials)


def test_the_file_of_a_worker_node_holds_the_keys_of_its_roles_alone() -> None:
    credentials, path = written()
    for file, roles in ((path, CLIENT_ROLES), (worker_path(path), WORKER_ROLES)):
        assert os.stat(file).st_mode & 0o777 == 0o600
        text = Path(file).read_text()
        assert credentials.secret.hex() not in text
        for role in {*CLIENT_ROLES, *WORKER_ROLES}:
            assert (credentials.key(role).hex() in text) == (role in roles)
            assert role in roles or credentials.key(role, "n").hex() not in text
    clusters.remove("mine", credentials.cluster_id)
    assert os.listdir(os.path.dirname(path)) == []


def test_the_token_for_metrics_is_in_a_file_of_its_own_as_long_as_the_cluster_is() -> None:
    credentials = new_credentials()
    entry = describe("mine", credentials, ["unix:///tmp/nobody.sock"], pid=os.getpid())
    entry.dashboard_key = new_key()
    path = clusters.write(entry, credentials)
    token = Path(token_path(path))
    assert token.name == "mine.metrics-token"
    assert token.stat().st_mode & 0o777 == 0o600
    assert token.read_text() == metrics_token(entry.dashboard_key)
    assert [found.name for found in clusters.entries()] == ["mine"]
    clusters.remove("mine", "another cluster")
    assert token.exists()
    clusters.remove("mine", credentials.cluster_id)
    assert os.listdir(os.path.dirname(path)) == []


def test_workers_find_their_file_beside_that_of_clients_and_only_clusters_are_listed() -> None:
    credentials, path = written()
    assert [entry.name for entry in clusters.entries()] == ["mine"]
    assert clusters.for_workers(clusters.read("mine")).credentials == credentials.only_for(WORKER_ROLES)
    os.unlink(worker_path(path))
    with pytest.raises(ClusterNotFoundError, match=r"needs .*mine\.worker\.json"):
        clusters.for_workers(clusters.read("mine"))


def test_a_name_that_looks_like_a_worker_file_is_refused() -> None:
    with pytest.raises(UsageError, match="worker"):
        clusters.check_name("mine.worker")


def test_a_file_of_an_older_himalia_says_what_to_do(tmp_path: Path) -> None:
    entry = describe("x", new_credentials(), ["tcp://127.0.0.1:1"], pid=1)
    entry.secret = "ab" * 32
    with pytest.raises(UsageError, match=r"older himalia.*copy the file"):
        read_file(write_file(str(tmp_path / "x.json"), entry))


@pytest.mark.parametrize("role", ["client", "data-nanny", "nanny"])
@pytest.mark.parametrize("forge", [False, True])
def test_a_node_s_keys_make_no_client(role: str, forge: bool, tmp_path: Path) -> None:
    async def main() -> None:
        whole = new_credentials()
        node = whole.only_for(WORKER_ROLES)
        if forge:  # another role's key under the name of the one that is missing
            node = dataclasses.replace(node, keys={**node.keys, "client": node.key("nanny")})
        listener = await listen_authenticated(
            f"unix://{tmp_path}/s",
            greeting=Greeting(role="scheduler", incarnation=PeerId("s")),
            credentials=whole,
            roles=("client", "nanny", "data-nanny"),
            accept=lambda peer: Acceptance(asyncio.Protocol()),
        )
        knocking = open_authenticated(
            listener.address,
            greeting=Greeting(role=role, incarnation=PeerId("n")),
            credentials=node,
            roles=("scheduler",),
            protocol_factory=lambda peer: asyncio.Protocol(),
            timeout=2.0,
        )
        if role == "client":
            with pytest.raises(HandshakeError):
                await knocking
        else:
            (await knocking)[0].abort()
        listener.close()

    asyncio.run(main())


@pytest.mark.parametrize("leave", [pickle.dumps, cloudpickle.dumps, copy.copy, copy.deepcopy])
def test_nothing_that_holds_a_secret_is_pickled_or_copied(leave: object) -> None:
    credentials = new_credentials()
    entry = describe("x", credentials, ["tcp://127.0.0.1:1"], pid=1)
    for thing in (credentials, credentials.only_for(CLIENT_ROLES), credentials.secret, make_certificate()):
        with pytest.raises(TypeError, match="can't be pickled or copied"):
            leave(thing)  # type: ignore[operator]
    if leave is not copy.copy:
        with pytest.raises(TypeError, match="can't be pickled or copied"):
            leave(entry)  # type: ignore[operator]
    with pytest.raises(TypeError, match="can't be pickled or copied"):
        dataclasses.asdict(credentials)
    for text in (repr(credentials), str(credentials.secret), f"{credentials.secret!r}"):
        assert credentials.secret.hex() not in text
        assert "\\x" not in text


def test_what_is_made_on_the_way_to_a_local_directory_is_ours_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        path = scratch_directory("c1", str(tmp_path / "a" / "b"))
    finally:
        os.umask(old)
    for made in (tmp_path / "a", tmp_path / "a" / "b", Path(path)):
        assert made.stat().st_mode & 0o777 == 0o700


def test_a_swapped_folder_is_not_written_to(tmp_path: Path) -> None:
    path = Path(scratch_directory("c1", str(tmp_path)))
    other = tmp_path / "other"
    other.mkdir()
    path.rmdir()
    path.symlink_to(other)
    with pytest.raises(OSError, match="symbolic link"):
        create_file(str(path / "spill"))
    with pytest.raises(StartError, match="symbolic link"):
        scratch_directory("c1", str(tmp_path))
    assert os.listdir(other) == []


def test_a_taken_folder_is_left_alone_and_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    usual = tmp_path / f"himalia-{os.getuid()}"
    usual.symlink_to("/nowhere")
    assert own_folder(str(tmp_path)) == own_folder(str(tmp_path)) == f"{usual}-1"
    assert len(caplog.records) == 1
