from __future__ import annotations

import ast

import pytest

from scripts import draw_states
from scripts.draw_states import PACKAGE, PICTURES, Picture

FOLDERS = sorted({picture.folder for picture in PICTURES})


def title(picture: Picture) -> str:
    return picture.title


def test_the_page_of_moves_is_what_the_code_does() -> None:
    assert draw_states.PAGE.read_text() == draw_states.page(), "run scripts/draw_states.py"


@pytest.mark.parametrize("picture", PICTURES, ids=title)
def test_a_table_of_moves_speaks_of_every_status(picture: Picture) -> None:
    assert list(picture.moves) == [status.name for status in type(picture.first)]


@pytest.mark.parametrize("picture", PICTURES, ids=title)
def test_every_status_is_that_of_somebody(picture: Picture) -> None:
    makers = draw_states.makers_of(picture)
    assert set(picture.moves) - {picture.first.name} <= set(makers)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_machine_has_the_same_files_as_the_others(folder: str) -> None:
    files = {path.stem for path in (PACKAGE / folder).glob("*.py")}
    assert {"events", "state", "machine", "checks", "shell", "config"} <= files


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_machine_is_a_table_and_one_class_and_nothing_else(folder: str) -> None:
    body = ast.parse((PACKAGE / folder / "machine.py").read_text()).body
    assert [type(node).__name__ for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)] == ["ClassDef"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_status_is_changed_by_move_alone(folder: str) -> None:
    movers = {picture.mover for picture in PICTURES}
    changed = []
    for path in sorted((PACKAGE / folder).glob("*.py")):
        tree = ast.parse(path.read_text())
        if any(isinstance(node, ast.FunctionDef) and node.name in movers for node in tree.body):
            continue  # the table is there, and what is asked to look into it
        for node in ast.walk(tree):
            targets = node.targets if isinstance(node, ast.Assign) else []
            flat = [part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])]
            names = [part for part in flat if isinstance(part, ast.Attribute) and part.attr == "status"]
            changed += [f"{path.name}:{name.lineno}" for name in names]
    assert changed == []
