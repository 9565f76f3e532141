"""What appears under a cell: progress, reports."""

from __future__ import annotations
