from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

NOTEBOOKS = sorted(Path(__file__).resolve().parents[2].glob("notebooks/*.ipynb"))
OF_ONE_MACHINE = re.compile(r"/(home|root|tmp|Users|work)/|\d+\.\d+\.\d+\.\d+:\d+|0x[0-9a-f]{6,}")
"""Folders, addresses: what another machine would write differently."""


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_valid(path: Path) -> None:
    nbformat.validate(read(path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_stored_outputs_are_those_that_are_checked(path: Path) -> None:
    for cell in read(path).cells:
        if cell.cell_type == "code":
            checked = "nbval-check-output" in cell.metadata.get("tags", [])
            assert bool(cell.outputs) == checked, cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_stored_outputs_tell_nothing_of_a_machine(path: Path) -> None:
    for cell in read(path).cells:
        assert not OF_ONE_MACHINE.search(str(cell.get("outputs", ""))), cell.source
