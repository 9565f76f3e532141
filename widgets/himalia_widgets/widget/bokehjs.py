"""BokehJS as a widget of its own: sent to a page once for each kernel, and from there, not from the internet.

350 KB of gzip; all widgets of a kernel refer to the one model.  The page runs it beside, not instead of, what the user
loaded with ``bokeh.io.output_notebook``.
"""

from __future__ import annotations

import functools
import gzip
from pathlib import Path

import anywidget
import bokeh
import traitlets


class BokehJS(anywidget.AnyWidget):
    """The library as a trait."""

    # Never shown; without it anywidget would bring a default that is.
    _esm = "export default {}"
    version = traitlets.Unicode(bokeh.__version__).tag(sync=True)
    # Compressed: traits cross as they are, and are kept in the page.
    code = traitlets.Bytes().tag(sync=True)

    @traitlets.default("code")
    def _read_code(self) -> bytes:
        # The browser's copy has to be of the same version as the models that Python makes.
        script = Path(bokeh.__file__).parent / "server" / "static" / "js" / "bokeh.min.js"
        return gzip.compress(script.read_bytes(), 6)


@functools.cache
def bokehjs() -> BokehJS:
    """Return the kernel's only one."""
    return BokehJS()
