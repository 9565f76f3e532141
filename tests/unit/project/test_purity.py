"""Pure files stay pure through what they import (docs/notes/0005): ruff sees only their own imports, this sees all."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Final

import pytest

from tests.unit.project.tree import ROOT, imports, modules

RULE: Final = "TID251"
"""Ruff's rule that keeps I/O out of pure files."""

VALUES: Final = """
callables exceptions client.dask.graphs client.engine.errors_view client.engine.submitting client.engine.values
client.packing.calls client.packing.functions client.packing.origin client.packing.remote
"""
"""They pickle values or read pickles, so that the user's classes run in them; of I/O they do none themselves."""
CALLED: Final = """
cli client.dask.collections client.default client.future client.futures_in client.holdings client.listing
client.nesting client.pictures client.recreate client.running client.scattering client.telemetry client.workers
"""
"""What people call: it waits in their thread for what the engine does, and decides nothing about tasks."""
THROUGH_OTHERS: Final = frozenset(f"himalia.{name}" for name in (VALUES + CALLED).split())
"""Files that reach I/O through what they import.  No machine, and nothing that a machine needs, may be among them."""

MACHINES: Final = ("himalia.scheduler.machine", "himalia.nanny.machine", "himalia.client.engine.machine")


def patterns(text: str) -> list[str]:
    """A pattern without its braces: ``a/{b,c}`` is ``a/b`` and ``a/c``."""
    found = re.search(r"\{([^{}]*)\}", text)
    if found is None:
        return [text]
    head, tail = text[: found.start()], text[found.end() :]
    return list(chain.from_iterable(patterns(head + choice + tail) for choice in found[1].split(",")))


@cache
def ignores() -> tuple[str, ...]:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    listed = [pattern for pattern, rules in lint["per-file-ignores"].items() if RULE in rules]
    return tuple(chain.from_iterable(patterns(pattern) for pattern in listed))


@cache
def rim() -> frozenset[str]:
    """The modules that may do I/O, as pyproject.toml lists them."""
    paths: set[Path] = set()
    for pattern in ignores():
        paths.update(ROOT.glob(f"{pattern}/*.py" if pattern.endswith("**") else pattern))
    return frozenset(name for name, path in modules().items() if path in paths)


@cache
def needed() -> dict[str, set[str]]:
    """What each module of ours imports when it runs, sooner or later, of our modules."""
    found: dict[str, set[str]] = {name: set() for name in modules()}
    for one in imports():
        if one.moment != "typing" and one.target in found:
            found[one.module].add(one.target)
    found["himalia"] = set()  # the facade: it loads a name's module when somebody asks for it
    return found


def way_to_the_rim(module: str) -> list[str]:
    """The shortest chain of imports from a module to one that may do I/O; empty if there is none."""
    came_from: dict[str, str | None] = {module: None}
    for name in (queue := [module]):
        if name in rim():
            way: list[str] = []
            step: str | None = name
            while step is not None:
                way.insert(0, step)
                step = came_from[step]
            return way
        for target in sorted(needed()[name] - came_from.keys()):
            came_from[target] = name
            queue.append(target)
    return []


def test_what_is_called_pure_reaches_no_io_through_its_imports() -> None:
    pure = modules().keys() - rim() - THROUGH_OTHERS
    assert [way for name in sorted(pure) if (way := way_to_the_rim(name))] == []


def test_no_exception_is_left_over() -> None:
    assert [name for name in sorted(THROUGH_OTHERS) if name in rim() or not way_to_the_rim(name)] == []


@pytest.mark.parametrize("machine", MACHINES)
def test_a_machine_is_pure_to_the_ground(machine: str) -> None:
    assert machine not in rim()
    assert way_to_the_rim(machine) == []


def test_every_pattern_of_the_rim_names_a_file() -> None:
    assert [pattern for pattern in ignores() if not any(ROOT.glob(pattern))] == []
