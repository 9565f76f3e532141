"""The list of mutants (scripts/mutants.py) fits the code that it breaks."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def load() -> ModuleType:
    path = Path(__file__).parents[3] / "scripts" / "mutants.py"
    spec = importlib.util.spec_from_file_location("mutants", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


mutants = load()


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.why)
def test_a_mutant_changes_one_place_and_is_still_python(mutant: Any) -> None:
    text, mutated = mutants.texts(mutant)
    assert mutated != text
    compile(mutated, mutant.file, "exec")


def test_each_mutant_is_another() -> None:
    assert len({mutant.why for mutant in mutants.MUTANTS}) == len(mutants.MUTANTS) >= 25
