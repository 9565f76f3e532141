"""One name, one thing: a class is found by its name alone, a message by its tag."""

from __future__ import annotations

import ast
from importlib import import_module
from typing import Any, Final

from tests.unit.project.tree import modules, parsed

SHARED: Final = {
    "Owner": "whom a link tells, and whom the simulator's network tells",
    "WorkerInfo": "what a nanny says of a worker, and what a person is shown of it",
}
"""Names of more than one class, with the reason.  A new one needs a better reason than these."""


def test_no_two_classes_share_a_name() -> None:
    homes: dict[str, list[str]] = {}
    for module, path in modules().items():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(module)
    shared = {name: places for name, places in homes.items() if len(places) > 1}
    assert {name: places for name, places in shared.items() if name not in SHARED} == {}
    assert [name for name in SHARED if name not in shared] == []


def test_no_two_messages_share_a_tag() -> None:
    """Not even where they never meet in one union: a tag in a hex dump names its message."""
    homes: dict[object, list[str]] = {}
    for module in modules():
        if module.startswith("himalia.messages."):
            for name, value in vars(import_module(module)).items():
                if getattr(value, "__module__", "") == module and (tag := tag_of(value)) is not None:
                    homes.setdefault(tag, []).append(name)
    assert len(homes) > 50
    assert {tag: names for tag, names in homes.items() if len(names) > 1} == {}


def tag_of(value: Any) -> object:
    """The tag that a struct was given; those that nobody gave one are parts of messages, or their base."""
    config = getattr(value, "__struct_config__", None)
    return config.tag if config is not None and isinstance(config.tag, int) else None
