"""A name with an underscore is its module's own: others ask for what it does, and it is free to do it otherwise."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from tests.unit.project.tree import modules, parsed

NAMED_TUPLES: Final = frozenset({"_asdict", "_fields", "_make", "_replace"})
"""Public in spite of the underscore, so that no field can have their names."""
OF_OTHERS: Final = {
    "os._exit": "ends a process at once, flushing nothing: documented",
    "sys._current_frames": "what each thread executes: documented",
    "sys._getframe": "documented, and far cheaper than inspect.stack()",
    "dask._task_spec": "what the nodes of a graph are; dask has no public name for it",
    "frozen._mgr": "the blocks of a pandas frame, which is the only way to what their memory may be used for",
    "widget._repr_mimebundle_": "what IPython calls to show something",
    "asyncio._get_running_loop": "how a loop that tests move takes the place of the running one: documented",
    "asyncio._set_running_loop": "the same",
    "handle._run": "what a loop does with a handle whose time has come",
}
"""Private names of others that are used, with the reason."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in NAMED_TUPLES


def names_of(module: str) -> set[str]:
    """The private names that a module itself makes: functions, classes, variables, attributes, slots."""
    found: set[str] = set()
    for node in ast.walk(parsed(modules()[module])):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Constant(value=str(name)):
                found.add(name)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                found.add(name)
    return {name for name in found if is_private(name)}


def foreign_names(module: str) -> Iterator[tuple[str, str]]:
    """Private names that a module takes from something else than itself: the name, and how it is written."""
    for node in ast.walk(parsed(modules()[module])):
        match node:
            case (
                ast.Attribute(value=ast.Name(id="self" | "cls"))
                | ast.Attribute(value=ast.Call(func=ast.Name(id="super")))
            ):
                pass
            case ast.Attribute(value=value, attr=name) if is_private(name):
                yield name, f"{ast.unparse(value)}.{name}"
            case ast.ImportFrom(module=home, names=names):
                yield from ((alias.name, f"{home}.{alias.name}") for alias in names if is_private(alias.name))


def test_a_private_name_is_used_by_its_own_file_only() -> None:
    found = [
        f"{module}: {text}"
        for module in modules()
        for name, text in foreign_names(module)
        if name not in names_of(module) and text not in OF_OTHERS
    ]
    assert found == []
