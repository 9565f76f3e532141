"""What a notebook shows of a cluster: widgets that live in a cell.  The live views come with a later release."""

from __future__ import annotations

from himalia.version import __version__

__all__ = ["__version__"]
