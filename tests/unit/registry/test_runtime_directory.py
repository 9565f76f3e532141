"""The private directories of a cluster."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from himalia import private
from himalia.errors import StartError
from himalia.registry import runtime_directory as rd


def mode(path: str | Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_a_session_s_own_directory_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = tmp_path / "r"
    session.mkdir(mode=0o700)
    monkeypatch.setattr(rd, "SOCKET_PATH_LIMIT", 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(session))
    path = rd.runtime_directory("abc")
    assert path == str(session / "himalia" / "abc")
    assert mode(path) == mode(session / "himalia") == 0o700
    rd.remove_directory(path)
    assert list(session.iterdir()) == []


def test_an_empty_folder_of_the_user_is_left_to_him(tmp_path: Path) -> None:
    mine = tmp_path / "himalia-scratch"
    mine.mkdir()
    rd.remove_directory(rd.scratch_directory("abc", str(mine)))
    assert list(mine.iterdir()) == []


def test_a_session_directory_that_others_may_enter_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o755)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert str(tmp_path) not in " ".join(rd.runtime_bases())


def test_a_path_too_long_for_a_socket_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 90)
    monkeypatch.setattr(rd, "runtime_bases", lambda: [str(deep), str(tmp_path / "s")])
    monkeypatch.setattr(rd, "SOCKET_PATH_LIMIT", len(str(tmp_path)) + 40)
    assert rd.runtime_directory("abc") == str(tmp_path / "s" / "abc")
    assert not deep.exists()


def test_a_link_in_a_shared_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "base").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setattr(rd, "SOCKET_PATH_LIMIT", 1000)
    monkeypatch.setattr(rd, "runtime_bases", lambda: [str(tmp_path / "base")])
    with pytest.raises(StartError, match="not a directory"):
        rd.runtime_directory("abc")


def test_somebody_else_s_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / "base"
    base.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(PermissionError, match="another user"):
        private.make_private(str(base))


def test_our_directory_is_closed_to_others(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    base.chmod(0o777)
    private.make_private(str(base))
    assert mode(base) == 0o700


def test_data_go_below_the_directory_that_was_named(tmp_path: Path) -> None:
    path = rd.scratch_directory("abc", str(tmp_path / "mine"))
    assert path == str(tmp_path / "mine" / "abc-data")
    assert mode(path) == 0o700
    rd.remove_directory(path)
    assert (tmp_path / "mine").is_dir()


def test_a_directory_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="local_directory"):
        rd.scratch_directory("abc", str(tmp_path / "file"))


def test_the_directory_of_a_killed_cluster_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rd, "SOCKET_PATH_LIMIT", 1000)
    monkeypatch.setattr(rd, "runtime_bases", lambda: [str(tmp_path)])
    alive, dead = (rd.runtime_directory(name) for name in ("alive", "dead"))
    monkeypatch.setattr(rd, "SETTLED", 0.0)
    (tmp_path / "unmarked").mkdir()
    (tmp_path / "unmarked" / "something").write_text("")
    (tmp_path / "empty").mkdir()
    held = rd.hold(alive)
    os.close(rd.hold(dead))
    rd.runtime_directory("next")
    assert sorted(os.listdir(tmp_path)) == ["alive", "next", "unmarked"]
    os.close(held)
