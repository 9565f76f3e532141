from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import bootstrap


def make_folder(folder: Path, stamp: dict[str, str] | None = None) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    if stamp:
        (folder / bootstrap.STAMP).write_text(json.dumps(stamp))
    return folder


def test_an_environment_whose_python_runs_is_sound(tmp_path: Path) -> None:
    assert bootstrap.is_sound(make_folder(tmp_path / ".venv"))


def test_an_environment_that_was_copied_from_elsewhere_is_made_again(tmp_path: Path) -> None:
    assert not bootstrap.is_sound(make_folder(tmp_path / ".venv", {"folder": "/elsewhere/.venv"}))


def test_an_environment_without_python_is_made_again(tmp_path: Path) -> None:
    assert not bootstrap.is_sound(tmp_path)


def test_a_folder_that_is_no_environment_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(bootstrap.SetupError, match="no virtual environment"):
        bootstrap.make_environment(tmp_path, None)
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_an_unfinished_installation_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / bootstrap.STAMP).write_text('{"extras": ["te')
    assert bootstrap.read_stamp(tmp_path) == {}


def test_every_extra_that_is_installed_is_declared() -> None:
    declared = (bootstrap.ROOT / "pyproject.toml").read_text()
    wanted = {extra for environment in bootstrap.ENVIRONMENTS.values() for extra in environment.extras.split(",")}
    assert [extra for extra in sorted(wanted) if f"\n{extra} = [" not in declared] == []


def test_an_unknown_environment_is_a_usage_error() -> None:
    script = bootstrap.ROOT / "scripts" / "bootstrap.py"
    result = subprocess.run([sys.executable, str(script), "production"], capture_output=True, text=True, timeout=30)
    assert result.returncode == 2
    assert "usage: bootstrap.py demo|test|bench" in result.stderr


def test_a_browser_on_the_path_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "chromium").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("HIMALIA_CHROMIUM", raising=False)
    assert bootstrap.find_browser() == str(tmp_path / "chromium")


def test_a_browser_that_was_chosen_is_not_replaced_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "chromium").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HIMALIA_CHROMIUM", "/nowhere/chrome")
    assert bootstrap.find_browser() is None


def test_who_has_no_browser_is_told_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # without apt-get, too
    monkeypatch.delenv("HIMALIA_CHROMIUM", raising=False)
    assert bootstrap.main(["browser"]) == 0
    assert "sudo apt install chromium" in capsys.readouterr().out
