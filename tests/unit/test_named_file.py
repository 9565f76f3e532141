"""Files at paths that users name, in folders where others write too."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from himalia.follow.recording_file import RecordingFile
from himalia.named_file import replacing, write_text
from himalia.telemetry.recording_format import MAGIC, new_header


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Set a umask and return it."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def record(path: Path) -> None:
    RecordingFile(path, new_header("moons", now=0.0), 10**6).close()


def test_a_new_file_has_the_mode_that_the_umask_leaves_but_not_for_everybody_to_write(
    tmp_path: Path, umask: int
) -> None:
    write_text(tmp_path / "report.html", "ä")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == "ä"
    assert mode(tmp_path / "report.html") == 0o664 & ~umask


def test_a_recording_is_its_user_s_alone(tmp_path: Path, umask: int) -> None:
    record(tmp_path / "run.himalia")
    assert mode(tmp_path / "run.himalia") == 0o600


def test_a_file_that_its_user_has_closed_to_others_stays_so(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    path.chmod(0o602)
    write_text(path, "new")
    assert (path.read_text(), mode(path)) == ("new", 0o600)


@pytest.mark.parametrize("write", [lambda path: write_text(path, "new"), record], ids=["report", "recording"])
@pytest.mark.parametrize("content", [b"", MAGIC], ids=["empty", "recording"])
def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path: Path, write: object, content: bytes) -> None:
    assert callable(write)
    precious, path = tmp_path / "precious", tmp_path / "result"
    precious.write_bytes(content)
    path.symlink_to(precious)
    write(path)
    assert precious.read_bytes() == content
    assert not path.is_symlink()
    assert sorted(tmp_path.iterdir()) == [precious, path]


def test_a_file_that_somebody_holds_open_at_the_path_gets_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.himalia"
    with open(path, "w+b") as planted:
        record(path)
        assert os.fstat(planted.fileno()).st_size == 0
    assert path.stat().st_size > 0


def test_what_is_no_file_stays(tmp_path: Path) -> None:
    folder, pipe = tmp_path / "folder", tmp_path / "pipe"
    folder.mkdir()
    os.mkfifo(pipe)
    for path in (folder, pipe):
        with pytest.raises(FileExistsError, match="not a file"):
            write_text(path, "new")
    assert sorted(tmp_path.iterdir()) == [folder, pipe]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_what_could_not_be_written_whole_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half \ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_swapped_meanwhile_changes_nothing(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    (theirs / "report.html").write_text("precious")
    with replacing(ours / "report.html") as file:
        file.write(b"new")
        ours.rename(tmp_path / "away")
        ours.symlink_to(theirs)
    file.close()
    assert (theirs / "report.html").read_text() == "precious"
    assert (tmp_path / "away" / "report.html").read_text() == "new"
