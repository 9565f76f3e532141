"""What people call says what it returns: a type checker, and an editor, shouldn't have to guess."""

from __future__ import annotations

import ast
from typing import Final

import pytest

from tests.unit.project.tree import modules, parsed

PUBLIC: Final = {
    "Client": "himalia.client.client",
    "Future": "himalia.client.future",
    "Cluster": "himalia.deploy.cluster",
    "LocalCluster": "himalia.deploy.local",
}


@pytest.mark.parametrize("name", PUBLIC)
def test_no_public_method_returns_any(name: str) -> None:
    classes = (node for node in parsed(modules()[PUBLIC[name]]).body if isinstance(node, ast.ClassDef))
    (found,) = [node for node in classes if node.name == name]
    methods = [node for node in found.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    public = [method for method in methods if not method.name.startswith("_")]
    assert public
    names = (ast.walk(method.returns) if method.returns is not None else () for method in public)
    returned = {
        method.name: {part.id for part in parts if isinstance(part, ast.Name)}
        for method, parts in zip(public, names, strict=True)
    }
    assert [method for method, parts in returned.items() if "Any" in parts] == []
