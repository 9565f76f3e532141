"""Where the pages' scripts can be run without a browser."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest


def find_node() -> str:
    """Return the path of a node: the system's, or the one that Playwright brings with it."""
    playwright = importlib.util.find_spec("playwright")
    brought = Path(playwright.origin).parent / "driver" / "node" if playwright and playwright.origin else Path("node")
    found = shutil.which("node") or shutil.which(brought)
    if found is None:
        pytest.skip("needs node to run a page's script: install it, or playwright, which brings one")
    return found
