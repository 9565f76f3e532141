from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from scripts.notebooks import KEPT, STATIC, clean

NOTEBOOKS = sorted(Path(__file__).resolve().parents[2].glob("notebooks/*.ipynb"))
OF_ONE_MACHINE = re.compile(r"/(home|root|tmp|Users|work)/|\d+\.\d+\.\d+\.\d+:\d+|0x[0-9a-f]{6,}")
"""Folders, addresses: what another machine would write differently."""


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_valid(path: Path) -> None:
    nbformat.validate(read(path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_stored_outputs_are_those_that_are_checked_or_looked_at(path: Path) -> None:
    for cell in read(path).cells:
        if cell.cell_type == "code":
            assert bool(cell.outputs) == bool(KEPT & set(cell.metadata.get("tags", []))), cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_stored_outputs_tell_nothing_of_a_machine(path: Path) -> None:
    for cell in read(path).cells:
        stored = str(cell.get("outputs", "")).replace("127.0.0.1:8787", "")  # where dashboards usually are
        assert not OF_ONE_MACHINE.search(stored), cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_stored_outputs_open_nothing(path: Path) -> None:
    assert not re.search(r"[?&](code|token)=|secret|Bearer", path.read_text())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_stored_outputs_are_shown_where_no_kernel_and_no_script_runs(path: Path) -> None:
    for cell in read(path).cells:
        for output in cell.get("outputs", []):
            assert set(output.get("data", {})) <= STATIC, cell.source
            page = output.get("data", {}).get("text/html", "")
            assert not re.search(r"<script|<iframe|<link|\bon\w+=", page), cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_small(path: Path) -> None:
    assert path.stat().st_size < 150_000


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("unix:///tmp/himalia-0/41cc/scheduler.sock", "unix:///run/user/1000/himalia/scheduler.sock"),
        ("File /home/me/project/a.py:3", "File /scratch/a.py:3"),
        ("http://127.0.0.1:41234/status", "http://127.0.0.1:8787/status"),
    ],
)
def test_what_is_of_one_machine_is_replaced_before_it_is_stored(text: str, stored: str) -> None:
    assert clean(text) == stored
