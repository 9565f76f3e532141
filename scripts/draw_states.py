"""Draw the legal moves of every machine into ``docs/states.md``: ``python scripts/draw_states.py``.

What is drawn are the tables that ``move`` looks into, and the functions that call it, so the page can't say what the
code doesn't do.  ``tests/unit/project/test_states.py`` sees to it that the page is the one this script would write.
"""

from __future__ import annotations

import ast
import enum
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from himalia.client.engine import state as client
from himalia.nanny import tasks, workers
from himalia.scheduler import state as scheduler

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "cluster" / "himalia"
PAGE = ROOT / "docs" / "states.md"
WIDTH = 120
"""Characters of a line, as in other documents."""
HEAD = """\
# What can become of what

The legal moves of the three machines, drawn by `scripts/draw_states.py` (regenerate this page, don't edit it) from the
tables that their `move` looks into: it asserts that a move is drawn here.

Below each picture: which functions make a move to which status.
"""


class Picture(NamedTuple):
    """One table of moves."""

    title: str
    text: str
    folder: str
    """Below ``cluster/himalia``: where the machine's modules are."""
    moves: dict[str, list[str]]
    first: enum.Enum
    """How it begins."""
    mover: str = "move"
    """The function that looks into the table."""


Status = TypeVar("Status", bound=enum.Enum)


def named(moves: Mapping[Status, frozenset[Status]]) -> dict[str, list[str]]:
    """Return a table by names; what follows a status comes in the order of the table, where a set has none."""
    return {before.name: [after.name for after in moves if after in afters] for before, afters in moves.items()}


# The tables themselves, imported: what is drawn is what the machines look into.
PICTURES = (
    Picture(
        "A task in the scheduler",
        "The table is in `scheduler/state.py`. A task without inputs skips WAITING; data that a client "
        "places goes from RELEASED to FINISHED.",
        "scheduler",
        named(scheduler.MOVES),
        scheduler.RELEASED,
    ),
    Picture(
        "A task at its host",
        "That is, an attempt of it which the scheduler gave to this host. The table is in `nanny/tasks.py`, whose "
        "docstring says what each status means.",
        "nanny",
        named(tasks.MOVES),
        tasks.READY,
    ),
    Picture(
        "A worker process",
        "As its nanny sees it; the table is in `nanny/workers.py`.",
        "nanny",
        named(workers.WORKER_MOVES),
        workers.WorkerStatus.BACKING_OFF,
        "move_worker",
    ),
    Picture(
        "A future's record in the client",
        "The table is in `client/engine/state.py`. A client that reads slowly is told only the last word on a key, so "
        "news may skip what was in between, or repeat what is known; only what was cancelled stays so.",
        "client/engine",
        named(client.MOVES),
        client.PENDING,
    ),
)


def page() -> str:
    """Return the whole document."""
    return HEAD + "".join([f"\n{section(picture)}" for picture in PICTURES])


def section(picture: Picture) -> str:
    """Return one picture with what there is to say about it."""
    lines = [
        f"## {picture.title}",
        "",
        textwrap.fill(picture.text, WIDTH),
        "",
        "```mermaid",
        *diagram(picture),
        "```",
        "",
    ]
    makers = makers_of(picture)
    said = [f"- {status}: {', '.join(makers[status])}" for status in picture.moves if status in makers]
    lines += [textwrap.fill(line, WIDTH, subsequent_indent="  ") for line in said]
    return "\n".join(lines) + "\n"


def diagram(picture: Picture) -> Iterator[str]:
    """Yield the lines of a Mermaid state diagram."""
    yield "stateDiagram-v2"
    yield f"    [*] --> {picture.first.name}"
    for before, afters in picture.moves.items():
        # A status that nothing follows is an end.
        yield from (f"    {before} --> {after}" for after in afters or ["[*]"])


def makers_of(picture: Picture) -> dict[str, list[str]]:
    """Return the functions that move something to a status, by the status's name."""
    names = set(picture.moves)
    found: dict[str, list[str]] = {}
    # Sorted, here and below: a test compares the page, whatever the order of a directory.
    for path in sorted((PACKAGE / picture.folder).glob("*.py")):
        for function in ast.parse(path.read_text()).body:
            # Machines' modules are functions at the top; what is in classes moves nothing.
            if not isinstance(function, ast.FunctionDef):
                continue
            calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
            # move(thing, STATUS): the second argument may also be an expression that names several.
            to = [call.args[1] for call in calls if isinstance(call.func, ast.Name) and call.func.id == picture.mover]
            for name in sorted({name for target in to for name in names_in(target)} & names):
                found.setdefault(name, []).append(f"`{path.stem}.{function.name}`")
    return found


def names_in(node: ast.expr) -> Iterator[str]:
    """Yield every name and attribute in an expression."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            yield part.id
        elif isinstance(part, ast.Attribute):
            yield part.attr


if __name__ == "__main__":
    PAGE.write_text(page())
