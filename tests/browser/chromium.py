"""The browser of the tests: how it starts, what a page may complain about, how a picture is taken.

Decides nothing about what is shown.  Which browser it is, ``scripts/bootstrap.py`` says: the system's, so that no test
run downloads one (else Playwright's, if somebody did); ``HIMALIA_CHROMIUM`` names another.  ``HIMALIA_HEADED=1`` lets
you watch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.leftovers import MARK

SHOTS = Path(__file__).parent / "shots"
"""Screenshots, for people to look at; not kept by git."""
HARMLESS = re.compile(
    r"Cannot read properties of undefined \(reading 'schema'\)"  # Notebook 7.6 without any extension, too
    r"|Command 'filebrowser:open-path' not registered"  # Notebook 7.6 served by JupyterLab's server
    r"|Could not restore the debugger state"  # a kernel that restarts
)
"""What pages of Jupyter say without anything of ours in them."""


@contextmanager
def run_chromium(driver: Any, path: str) -> Iterator[Any]:
    """Start this browser for many contexts; ``driver`` is a started Playwright."""
    headed = os.environ.get("HIMALIA_HEADED") == "1"
    arguments = ["--disable-dev-shm-usage", "--font-render-hinting=none"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")
    unmarked = {name: value for name, value in os.environ.items() if name != MARK}  # its helpers come and go
    browser = driver.chromium.launch(
        executable_path=path, headless=not headed, slow_mo=300 if headed else 0, args=arguments, env=unmarked
    )
    try:
        yield browser
    finally:
        browser.close()


class Complaints:
    """Errors that pages of one context report: exceptions, and errors on the console."""

    def __init__(self, context: Any) -> None:
        self.lines: list[str] = []
        context.on("console", lambda message: self.take(message.text) if message.type == "error" else None)
        context.on("weberror", lambda error: self.take(error.error.stack or str(error.error)))

    def take(self, text: str) -> None:
        """Note one, unless it is known to be harmless."""
        if not HARMLESS.search(text):
            self.lines.append(text[:2000])


def shot(target: Any, name: str) -> Path:
    """Take a picture of a page or of a part of it, ``shots/<name>.png``, and return its path."""
    SHOTS.mkdir(exist_ok=True)
    path = SHOTS / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)}.png"
    target.screenshot(path=path)
    return path
