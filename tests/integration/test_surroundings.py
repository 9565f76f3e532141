"""What changed in the client's process after its cluster started: folders of ``sys.path``, the directory."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from himalia import Client, LocalCluster

MODULE = """
from pathlib import Path
class Thing:
    def __init__(self, x): self.x = x
    def double(self): return self.x * 2
def double(x): return Thing(x).double()
def of(thing): return thing.double()
def read(name): return Path(name).read_text()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster:
        yield cluster


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Return what makes a module in a folder that came into ``sys.path`` just now."""

    def make(name: str) -> Any:
        (tmp_path / f"{name}.py").write_text(MODULE)
        monkeypatch.syspath_prepend(tmp_path)
        return importlib.import_module(name)

    return make


def here() -> str:
    return os.getcwd()


WAYS: list[Callable[[Client, Any], Any]] = [
    lambda client, module: client.submit(module.double, 3).result(),
    lambda client, module: client.gather(client.map(module.double, [3, 3], pure=False))[1],
    lambda client, module: client.submit(module.of, module.Thing(3)).result(),
    lambda client, module: client.submit(lambda thing: thing.double(), module.Thing(3)).result(),
    lambda client, module: client.submit(lambda: module.double(3)).result(),
    lambda client, module: client.submit(module.Thing(3).double).result(),
    lambda client, module: client.submit(str.format, "{0.x}", client.scatter(module.Thing(6))).result() == "6" and 6,
    lambda client, module: next(iter(client.run(module.double, 3).values())),
    lambda client, module: next(iter(client.get_executor().map(module.double, [3]))),
    lambda client, module: pytest.importorskip("dask").delayed(module.double)(3).compute(),
    lambda client, module: pytest.importorskip("dask").delayed(sum)([module.Thing(6).x]).compute(),
    lambda client, module: pytest.importorskip("dask").delayed(getattr)(module.Thing(6), "x").compute(),
]


@pytest.mark.parametrize("number", range(len(WAYS)))
def test_a_folder_that_came_into_the_path_is_known_by_every_way_to_a_worker(
    cluster: LocalCluster, folder: Callable[[str], Any], number: int
) -> None:
    with Client(cluster) as client:  # each module and folder has a name that no worker has seen
        client.run(here)
        assert WAYS[number](client, folder(f"fresh_module_{number}")) == 6


def test_workers_that_start_later_know_the_folder_too(folder: Callable[[str], Any]) -> None:
    with LocalCluster(n_workers=1, dashboard_address=None) as cluster, Client(cluster) as client:
        module = folder("module_for_later")
        assert client.submit(module.double, 3).result() == 6
        client.restart()
        assert client.submit(module.double, 4).result() == 8
        cluster.scale(2)
        client.wait_for_workers(2)
        assert list(client.run(module.double, 5).values()) == [10, 10]


def test_a_call_opens_files_where_the_client_is(
    client: Client, folder: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = os.getcwd()
    assert client.submit(here, pure=False).result() == home
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.txt").write_text(name)
        monkeypatch.chdir(tmp_path / name)
        assert client.submit(here).result() == str(tmp_path / name)
        assert client.submit(lambda: Path("data.txt").read_text()).result() == name
        assert set(client.gather(client.map(lambda n: Path("data.txt").read_text(), range(20)))) == {name}
        assert list(client.run(here).values()) == [str(tmp_path / name)]
        assert pytest.importorskip("dask").delayed(here)().compute() == str(tmp_path / name)
    assert client.submit(folder("module_that_reads").read, "data.txt").result() == "two"
    monkeypatch.chdir(home)
    assert client.submit(here, pure=False).result() == home
    assert client.gather(client.map(lambda n: os.getcwd(), range(20))) == [home] * 20


def test_a_module_beside_the_program_is_found_after_changing_there(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside_the_program.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module("beside_the_program")
    assert client.submit(module.double, 3).result() == 6


def test_calls_of_a_client_that_changed_nothing_stay_where_they_are(cluster: LocalCluster, tmp_path: Path) -> None:
    script = (
        "import os, sys\nfrom himalia import Client\n"
        "with Client(sys.argv[1]) as client:\n"
        "    print(client.submit(os.getcwd).result(), client.submit(os.getcwd, pure=False).result())\n"
    )
    (tmp_path / "script.py").write_text(script)
    command = [sys.executable, str(tmp_path / "script.py"), cluster.scheduler_address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=True)
    assert done.stdout.split() == [str(tmp_path)] * 2, done.stderr
    with Client(cluster) as client:
        assert client.submit(os.getcwd, pure=False).result() == os.getcwd()


def test_a_directory_that_is_gone_and_folders_that_never_were_do_no_harm(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path / "nowhere")
    assert client.submit(here, pure=False).result() == os.getcwd()
    (tmp_path / "short").mkdir()
    home = os.getcwd()
    monkeypatch.chdir(tmp_path / "short")
    os.rmdir(tmp_path / "short")
    assert client.submit(here, pure=False).result() == home


def test_an_order_of_folders_is_kept(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "module_in_two_folders.py").write_text(f"def where(): return {name!r}\n")
    monkeypatch.syspath_prepend(tmp_path / "second")
    monkeypatch.syspath_prepend(tmp_path / "first")
    module = importlib.import_module("module_in_two_folders")
    assert client.submit(module.where).result() == module.where() == "first"


def test_folders_whose_names_are_no_utf8_work_as_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    (folder / "module_in_a_cafe.py").write_text(MODULE)
    (folder / "data.txt").write_text("text")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    module = importlib.import_module("module_in_a_cafe")
    with LocalCluster(n_workers=1, dashboard_address=None) as cluster, Client(cluster) as client:
        assert client.submit(module.double, 3).result() == 6
        assert client.gather(client.map(module.read, ["data.txt"] * 3, pure=False)) == ["text"] * 3
