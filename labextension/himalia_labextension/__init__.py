"""The JupyterLab sidebar and the Jupyter server's side of it.  The sidebar comes with a later release."""

from __future__ import annotations

from himalia.version import __version__

__all__ = ["__version__"]
