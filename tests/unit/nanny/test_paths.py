from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from himalia.errors import StartError
from himalia.nanny.config import NannyConfig
from himalia.nanny.paths import resolve

ODD = os.fsdecode(b"caf\xe9")
"""A name that is no UTF-8, and that no message can carry."""


def config(**said: Any) -> NannyConfig:
    return NannyConfig(scheduler=[], credentials={}, listen="", nworkers=1, **said)


def test_folders_are_those_of_whoever_said_them() -> None:
    made = resolve(config(cwd="/home/ann/notes", sys_path=["", "lib", "/usr/lib/python3", "../shared"]))
    assert made.cwd == "/home/ann/notes"
    assert made.sys_path == ["/home/ann/notes", "/home/ann/notes/lib", "/usr/lib/python3", "/home/ann/shared"]


def test_a_nanny_that_was_told_nothing_goes_by_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = resolve(config(local_directory="spilled"))
    assert (made.cwd, made.sys_path, made.local_directory) == (str(tmp_path), None, str(tmp_path / "spilled"))
    assert resolve(config()).local_directory == ""
    assert resolve(config(sys_path=[""])).sys_path == [str(tmp_path)]


def test_the_user_s_home_is_found_in_a_local_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert resolve(config(local_directory="~/scratch")).local_directory == "/home/ann/scratch"


def test_what_can_t_be_told_to_anybody_is_left_out() -> None:
    made = resolve(config(cwd=f"/home/{ODD}", sys_path=["lib", "/usr/lib"]))
    assert (made.cwd, made.sys_path) == ("/", ["/usr/lib"])


def test_a_directory_that_is_gone_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(StartError, match="directory was removed"):
        resolve(config())
    assert resolve(config(cwd="/home/ann", sys_path=["lib"])).sys_path == ["/home/ann/lib"]
