"""Log lines as people read them: of many processes, as text, as static HTML that folds.

Decides how lines are written; which ones there are is known elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import msgspec

from himalia.messages.telemetry import LogLine


class Logs(dict[str, str]):
    """The output of processes by their names; in a notebook each folds."""

    def _repr_html_(self) -> str:
        return "".join(
            f"<details><summary>{escape(name)} ({len(text.splitlines())} lines)</summary>"
            f'<pre style="white-space: pre-wrap;">{escape(text)}</pre></details>'
            for name, text in self.items()
        )


def read_logs(answer: Mapping[str, Any]) -> dict[str, list[LogLine] | str]:
    """Return the lines that the scheduler answered with, by process; a text says why there are none."""
    return {
        name: lines if isinstance(lines, str) else msgspec.convert(lines, list[LogLine])
        for name, lines in answer.items()
    }


def as_text(lines: list[LogLine] | str) -> str:
    """Return lines as one text, each as it was written."""
    return lines if isinstance(lines, str) else "\n".join([line.text for line in lines])
