"""The version of all three packages of the wheel, readable without importing anything else."""

from __future__ import annotations

__version__ = "0.1.0.dev0"
