"""The JavaScript and the style of the widget, as the two strings that anywidget takes.

The modules in ``js/`` are ordinary ES modules, one idea each; a browser could load them as they are.  anywidget wants
one string, so they are put together here, in an order in which nobody uses a class before it exists.  No build step.
"""

from __future__ import annotations

import functools
import re
from importlib.resources import files
from typing import Final

MODULES: Final = (
    "dom", "format", "columns", "store", "status", "windowed", "header", "workers", "logs", "scale", "detail", "bokeh",
    "theme", "plot", "tabs", "index",
)  # fmt: skip

# Imports of one line only, which is how the modules write them; all names are in one scope afterwards.
_IMPORT = re.compile(r"^import .*? from \"\./\w+\.js\";\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const)\b)", re.MULTILINE)


@functools.cache
def script() -> str:
    """Return all modules as one; names at their top level must differ, which a test checks."""
    folder = files(__package__) / "js"
    texts = [(folder / f"{name}.js").read_text("utf-8") for name in MODULES]
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", text)) for text in texts)


@functools.cache
def style() -> str:
    """Return the style sheet."""
    return (files(__package__) / "cluster.css").read_text("utf-8")
