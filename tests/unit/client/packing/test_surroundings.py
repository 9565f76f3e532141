"""What a client tells workers of its path and directory, and what they make of it."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from himalia import serialize
from himalia.client.packing.functions import FunctionCache
from himalia.client.packing.surroundings import Surroundings
from himalia.messages.parts import HostInfo
from himalia.surroundings import Difference, InDirectory, add_folders
from himalia.testing.builders import make_host_info


def told(directory: str, sys_path: list[str], machine: str = "here") -> HostInfo:
    return make_host_info(machine=machine, directory=directory, sys_path=sys_path)


@pytest.fixture
def surroundings() -> Surroundings:
    return Surroundings("here")


def test_nothing_changed_is_nothing_to_tell(surroundings: Surroundings) -> None:
    assert surroundings.look() is None
    surroundings.hosts_changed([told(os.getcwd(), [os.path.abspath(path) for path in sys.path])])
    assert surroundings.look() is None


def test_new_folders_are_told_with_what_follows_them(
    surroundings: Surroundings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = os.path.abspath(sys.path[0])
    monkeypatch.setattr(sys, "path", [str(tmp_path / "a"), Path("ignored"), *sys.path, "relative"])
    difference = surroundings.look()
    assert difference is not None
    assert difference.folders == ((str(tmp_path / "a"), first), (os.path.abspath("relative"), ""))
    assert difference.directory == ""
    assert surroundings.look() is difference
    sys.path.append(str(tmp_path / "b"))
    assert surroundings.look() is not difference


def test_a_change_and_back_is_no_difference(
    surroundings: Surroundings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = os.getcwd()
    monkeypatch.chdir(tmp_path)
    difference = surroundings.look()
    assert difference is not None
    assert difference.directory == str(tmp_path)
    monkeypatch.chdir(home)
    assert surroundings.look() is None


def test_a_cluster_of_another_program_here_is_compared_with_us(surroundings: Surroundings) -> None:
    surroundings.hosts_changed([told("/elsewhere", [os.path.abspath(path) for path in sys.path])])
    difference = surroundings.look()
    assert difference is not None
    assert (difference.folders, difference.directory) == ((), os.getcwd())


def test_other_machines_and_workers_that_were_told_nothing_do_not_count(surroundings: Surroundings) -> None:
    surroundings.hosts_changed([told("/elsewhere", [], machine="far away"), told("", [])])
    assert surroundings.look() is None


def test_the_folders_of_an_interpreter_are_its_own(surroundings: Surroundings) -> None:
    surroundings.hosts_changed([told(os.getcwd(), [])])
    difference = surroundings.look()
    folders = [] if difference is None else [folder for folder, _ in difference.folders]
    assert os.path.dirname(os.__file__) not in folders
    assert os.path.dirname(os.path.dirname(pytest.__file__)) not in folders


def test_a_function_has_another_name_where_its_surroundings_are_others(
    surroundings: Surroundings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FunctionCache(10, surroundings)
    function = lambda: os.getcwd()  # noqa: E731
    at_home = cache.pickle(function)
    home = os.getcwd()
    monkeypatch.chdir(tmp_path)
    away = cache.pickle(function)
    assert cache.pickle(function) is away
    assert cache.is_worth_naming(away)
    assert away.digest != at_home.digest
    assert away.is_shared
    monkeypatch.chdir(home)
    assert cache.pickle(function).digest == at_home.digest
    assert serialize.loads_packed(away.body)() == str(tmp_path)
    assert os.getcwd() == home


def test_folders_are_put_where_the_client_has_them_and_never_in_place_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abcd":
        (tmp_path / name).mkdir()
    a, b, c, d = (str(tmp_path / name) for name in "abcd")
    monkeypatch.setattr(sys, "path", ["x", c, "y"])
    monkeypatch.setitem(sys.path_importer_cache, a, None)
    add_folders(((a, b), (b, c), (c, d), (d, "unknown"), (str(tmp_path / "nowhere"), "x")))
    assert sys.path == ["x", a, b, c, "y", d]
    assert a not in sys.path_importer_cache


def test_threads_that_want_different_directories_leave_the_process_where_it_was(tmp_path: Path) -> None:
    home = os.getcwd()
    places = [tmp_path / name for name in "abc"]
    seen: list[str] = []
    meet = threading.Barrier(3)

    def call() -> None:
        meet.wait(10)
        seen.append(os.getcwd())

    for place in places:
        place.mkdir()
    threads = [threading.Thread(target=InDirectory(call, str(place))) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(seen) == 3
    assert os.getcwd() == home


def test_an_error_and_a_missing_directory_end_a_visit_too() -> None:
    home = os.getcwd()

    def fail() -> Any:
        raise OSError(os.getcwd())

    with pytest.raises(OSError, match=home):
        InDirectory(fail, "/not/there")()
    assert os.getcwd() == home


def test_a_whole_call_is_surrounded_too(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    call = Difference((), str(tmp_path / "new")).around_call(serialize.dumps_packed((os.path.abspath, ("x",), {})))
    function, args, kwargs = serialize.loads_packed(call)
    assert function(*args, **kwargs) == str(tmp_path / "new" / "x")
