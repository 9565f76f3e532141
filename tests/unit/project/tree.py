"""What the tests of contracts know of the code: its modules, what they import, where a module's name is bound."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, Literal, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[3]
HOMES: Final = {
    "himalia": ROOT / "cluster",
    "himalia_widgets": ROOT / "widgets",
    "himalia_labextension": ROOT / "labextension",
}
"""The import packages of the wheel, each with the folder that holds it."""

Moment = Literal["top", "lazy", "typing"]
"""When an import runs: with its module, when a function is called, or never (only a type checker reads it)."""


class Import(NamedTuple):
    """One module imports another one of ours, or one of somebody else's."""

    module: str
    target: str
    moment: Moment


@cache
def modules() -> dict[str, Path]:
    """All modules of the wheel by their dotted names; a package is named like its folder."""
    found = {}
    for package, home in HOMES.items():
        for path in sorted((home / package).rglob("*.py")):
            parts = path.relative_to(home).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports() -> tuple[Import, ...]:
    """All imports of all modules."""
    return tuple(
        Import(module, target, moment)
        for module, path in modules().items()
        for target, moment in _imports_below(parsed(path), "top")
    )


def _imports_below(node: ast.AST, moment: Moment) -> Iterator[tuple[str, Moment]]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import(names=names):
                yield from ((alias.name, moment) for alias in names)
            case ast.ImportFrom(module=str(home), names=names, level=0):
                yield from ((_module_of(home, alias.name), moment) for alias in names)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                yield from _imports_below(child, "lazy" if moment == "top" else moment)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                for statement in child.body:
                    yield from _imports_below(ast.Module([statement], []), "typing")
                for statement in child.orelse:
                    yield from _imports_below(ast.Module([statement], []), moment)
            case _:
                yield from _imports_below(child, moment)


def _module_of(home: str, name: str) -> str:
    """``from home import name``: a module of that package, or something that ``home`` itself holds."""
    return f"{home}.{name}" if f"{home}.{name}" in modules() else home
