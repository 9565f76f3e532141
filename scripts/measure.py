"""Say in a few numbers how the code of the three packages reads; for a note that compares two commits.

python scripts/measure.py                                      # this tree
git archive COMMIT | tar -x -C FOLDER && python scripts/measure.py FOLDER .    # that one beside this one
"""

from __future__ import annotations

import ast
import io
import re
import statistics
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

HOMES: Final = {"himalia": "cluster", "himalia_widgets": "widgets", "himalia_labextension": "labextension"}
LONG_FILE: Final = 400
"""Lines from which a file is long."""
LONG_FUNCTION: Final = 50
"""Lines from which a function is long, docstring included."""
GUESS: Final = re.compile(r"\bGuess[.:;]")
"""How a constant without a better origin says so."""
FOR_TOOLS: Final = ("# type:", "# noqa", "# fmt:")
"""Comments that tell a person nothing."""


class Module(NamedTuple):
    """One file."""

    name: str
    text: str
    tree: ast.Module


def read(root: Path) -> dict[str, Module]:
    """Read all modules of a tree."""
    found: dict[str, Module] = {}
    for package, home in HOMES.items():
        for path in sorted((root / home / package).rglob("*.py")):
            parts = path.relative_to(root / home).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            # By the syntax trees alone: nothing of the measured tree is imported, which may be of another commit.
            text = path.read_text()
            found[name] = Module(name, text, ast.parse(text))
    return found


def functions(module: Module) -> Iterator[tuple[int, str]]:
    """Lines and names of all functions."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.end_lineno - node.lineno + 1, f"{module.name}.{node.name}"


def comments(text: str) -> int:
    """Lines that end with, or are, a comment for people."""
    # Tokens and not lines: a "#" in a string is no comment.
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return sum(token.type == tokenize.COMMENT and not token.string.startswith(FOR_TOOLS) for token in tokens)


def anys(tree: ast.Module) -> int:
    """How often ``Any`` is written, its imports left out."""
    return sum(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(tree))


def imports(node: ast.AST, known: dict[str, Module], *, deep: bool) -> Iterator[str]:
    """Modules of ours that are imported: ``deep`` also in functions and for types, else when the file is loaded."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name in known)
            case ast.ImportFrom(module=str(home), names=names):
                for alias in names:
                    # `from package import module` and `from module import name` look the same.
                    name = f"{home}.{alias.name}" if f"{home}.{alias.name}" in known else home
                    if name in known:
                        yield name
            case ast.FunctionDef() | ast.AsyncFunctionDef() if not deep:
                pass
            case ast.If(test=ast.Name(id="TYPE_CHECKING")) if not deep:
                pass
            case _:
                yield from imports(child, known, deep=deep)


def circles(known: dict[str, Module], *, deep: bool) -> list[list[str]]:
    """Groups of modules that import each other, however long the way around."""
    below = {name: set(imports(module.tree, known, deep=deep)) - {name} for name, module in known.items()}
    below["himalia"] = set()  # it loads its names when they are used
    reach: dict[str, set[str]] = {}
    for name in below:
        seen: set[str] = set()
        queue = [name]
        # To the end of every way: a circle may be as long as you like.
        while queue:
            new = below[queue.pop()] - seen
            seen |= new
            queue += new
        reach[name] = seen
    # Those that reach each other; a set of sets, since each member finds the same one.
    groups = {
        frozenset(other for other in reach[name] if name in reach[other]) for name in reach if name in reach[name]
    }
    return sorted(map(sorted, groups), key=lambda group: (-len(group), group))


def measure(root: Path) -> dict[str, str]:
    """Return what is measured, in words."""
    known = read(root)
    lines = {name: module.text.count("\n") for name, module in known.items()}
    total = sum(lines.values())
    long = [count for count in lines.values() if count > LONG_FILE]
    longest = sorted((item for module in known.values() for item in functions(module)), reverse=True)
    loaded, all_ways = circles(known, deep=False), circles(known, deep=True)
    return {
        "files": f"{len(known)}",
        "lines": f"{total}",
        "median lines of a file": f"{statistics.median(lines.values()):g}",
        f"lines in files over {LONG_FILE}": f"{sum(long)} in {len(long)} ({sum(long) / total:.1%})",
        "longest file": "{1} ({0})".format(*max(lines.items(), key=lambda item: item[1])),
        "longest function": f"{longest[0][0]} ({longest[0][1]})",
        f"functions over {LONG_FUNCTION} lines": f"{sum(count > LONG_FUNCTION for count, _ in longest)}",
        "lines with a comment": f"{sum(comments(module.text) for module in known.values()) / total:.1%}",
        "Any per 1,000 lines": f"{1000 * sum(anys(module.tree) for module in known.values()) / total:.1f}",
        "constants that are a guess": f"{sum(len(GUESS.findall(module.text)) for module in known.values())}",
        "circles of imports, when loaded": words(loaded),
        "circles, functions and types included": words(all_ways),
    }


def words(groups: list[list[str]]) -> str:
    """Say how many circles there are, and how large they are."""
    return f"{len(groups)} ({', '.join(str(len(group)) for group in groups)} files)" if groups else "none"


def main(folders: list[str]) -> None:
    """Print a table: a row for each number, a column for each tree."""
    columns = [measure(Path(folder)) for folder in folders or ["."]]
    for row in columns[0]:
        print(f"| {row} | {' | '.join(column[row] for column in columns)} |")


if __name__ == "__main__":
    main(sys.argv[1:])
