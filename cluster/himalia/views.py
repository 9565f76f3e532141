"""The way from the runtime to what a person sees, which is another package that needn't be installed.

Decides only whether there are views: ``himalia_widgets`` with what it stands on.  It is imported when somebody looks,
never by a worker, and everything here works without it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Final

NEEDED: Final = ("anywidget", "bokeh", "ipywidgets")
"""Packages that ``himalia_widgets`` stands on; the extra ``himalia[jupyter]`` brings them."""


def find_views() -> ModuleType | None:
    """Return ``himalia_widgets.hooks``, or None where it or something that it needs isn't installed."""
    if any(name not in sys.modules and importlib.util.find_spec(name) is None for name in ("himalia_widgets", *NEEDED)):
        return None
    return importlib.import_module("himalia_widgets.hooks")


def missing() -> str:
    """Say what to do where :func:`find_views` returns None."""
    return "Views need more packages than computing does: pip install 'himalia[jupyter]'."


def in_notebook() -> bool:
    """Whether this process is a Jupyter kernel, whose output is shown in a page."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None
