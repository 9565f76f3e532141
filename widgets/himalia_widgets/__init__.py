"""What a person sees of a cluster: the widget, what appears under cells, the dashboard, recordings, and their plots."""

from __future__ import annotations

from himalia.version import __version__

__all__ = ["__version__"]
