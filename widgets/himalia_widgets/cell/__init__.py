"""What appears under a cell: progress, output, figures, reports."""

from __future__ import annotations
