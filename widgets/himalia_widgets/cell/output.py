"""What the calls of a cell print and log, shown under that cell, whichever cell runs when it arrives.

Decides what of it is shown: each line once, with how many calls on which workers wrote it; the newest in full, earlier
ones folded.  It is one display for each cell, which is updated.  Text of users is escaped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Final, NamedTuple

from himalia_widgets.cell.display import show_under

if TYPE_CHECKING:
    from himalia.messages.client import CallOutput
    from himalia.notebook_cells import Cells

CELLS: Final = 100
"""Cells whose output goes on, the newest."""
LINES: Final = 1000
"""Different lines of a cell that are shown at most."""
TEXT: Final = 50_000
"""Characters that are shown at most: each update sends all of them."""
OPEN: Final = 10
"""Lines, the newest, that are shown without unfolding."""
NAMES: Final = 20
"""Workers that are named for a line."""

# Every display brings it along: nobody knows which others are in the page, or in the notebook that was saved.
STYLE: Final = """
.himalia-output{margin:.3em 0;font-family:var(--jp-code-font-family,var(--vscode-editor-font-family,
ui-monospace,SFMono-Regular,Menlo,Consolas,monospace));font-size:var(--jp-code-font-size,13px);line-height:1.4;
color:var(--jp-content-font-color1,var(--vscode-editor-foreground,inherit))}
.himalia-output .h-line{padding:0 .5em;border-left:3px solid transparent;white-space:pre-wrap;overflow-wrap:anywhere}
.himalia-output .h-stderr{border-color:var(--jp-border-color1,rgba(128,128,128,.6));background:rgba(128,128,128,.12)}
.himalia-output .h-warning{border-color:var(--jp-warn-color1,#d9922b);background:rgba(217,146,43,.14)}
.himalia-output .h-error{border-color:var(--jp-error-color1,#dd5b53);background:rgba(221,91,83,.14)}
.himalia-output .h-count{margin-left:.8em;padding:0 .5em;border-radius:99px;background:rgba(128,128,128,.2);
font-size:.85em;font-family:var(--jp-ui-font-family,system-ui,sans-serif)}
.himalia-output summary,.himalia-output .h-note{padding:.1em .5em;opacity:.75;
font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:.92em}
.himalia-output summary{cursor:pointer}
""".replace("\n", "")


@dataclass(slots=True)
class Line:
    """One text, however often it was written."""

    kind: str
    text: str
    count: int = 0
    workers: dict[str, None] = field(default_factory=dict)

    def who(self) -> str:
        """Name the workers that wrote it."""
        names = list(self.workers)
        more = [f"and {len(names) - NAMES} more"] if len(names) > NAMES else []
        return ", ".join(names[:NAMES] + more)


class CellLines:
    """What was written by the calls of one cell, as far as it is shown."""

    def __init__(self) -> None:
        self.lines: dict[tuple[str, str], Line] = {}
        self.earlier = 0
        """Lines that aren't shown any more."""
        self.dropped = 0
        """Lines that never came here."""
        self._nbytes = 0

    def add(self, output: CallOutput) -> None:
        """Take what a call wrote."""
        self.dropped += output.dropped
        for written in output.lines:
            kind = kind_of(written.source)
            # Equal texts are one line with a count, at the place where it came first.
            line = self.lines.get((kind, written.text))
            if line is None:
                line = self.lines[kind, written.text] = Line(kind, written.text)
                self._nbytes += len(written.text)
            line.count += 1
            line.workers[output.worker] = None
        # Bounded by both: few lines may be long, and many may be short.
        while len(self.lines) > LINES or self._nbytes > TEXT:
            oldest = self.lines.pop(next(iter(self.lines)))
            self._nbytes -= len(oldest.text)
            self.earlier += oldest.count

    def notes(self) -> list[str]:
        """Say what is missing."""
        notes = []
        if self.earlier:
            notes.append(f"{self.earlier:,} earlier lines aren't shown; future.logs() has those of a call.")
        if self.dropped:
            lost = "1 line was" if self.dropped == 1 else f"{self.dropped:,} lines were"
            notes.append(f"{lost} dropped: the calls wrote more than anybody can read.")
        return notes

    def as_text(self) -> str:
        """Return it for a front end that shows no HTML."""
        lines = [f"{line.text}  ×{line.count}" if line.count > 1 else line.text for line in self.lines.values()]
        return "\n".join([*lines, *self.notes()])

    def as_html(self) -> str:
        """Return it for a page."""
        lines = [html_of(line) for line in self.lines.values()]
        folded, shown = lines[:-OPEN], lines[-OPEN:]
        fold = f"<details><summary>{len(folded):,} earlier lines</summary>{''.join(folded)}</details>" if folded else ""
        notes = "".join([f'<div class="h-note">{escape(note)}</div>' for note in self.notes()])
        return (
            # Else JupyterLab would typeset what looks like TeX in what calls print.
            f'<div class="himalia-output mathjax_ignore tex2jax_ignore"><style>{STYLE}</style>'
            f"{fold}{''.join(shown)}{notes}</div>"
        )


def kind_of(source: str) -> str:
    """Return how lines of a source look: ``stdout``, ``stderr``, ``warning`` or ``error``."""
    match source:
        case "WARNING":
            return "warning"
        case "ERROR" | "CRITICAL":
            return "error"
        case "stderr":
            return "stderr"
    return "stdout"


def html_of(line: Line) -> str:
    """Return one line; who wrote it is in its tooltip."""
    count = f'<span class="h-count">×{line.count:,}</span>' if line.count > 1 else ""
    return (
        f'<div class="h-line h-{line.kind}" title="{escape(line.who())}">{escape(line.text) or "&nbsp;"}{count}</div>'
    )


class CellDisplay(NamedTuple):
    """What is shown under one cell, and how it is replaced; one thread at a time."""

    lines: CellLines
    replace: Callable[[str, str], None]


_displays: dict[str, CellDisplay] = {}
"""By the id of the message that had the cell executed: several clients of a cell share its display."""
_lock = threading.Lock()
"""Each client has a thread of its own for this."""


def show_output(outputs: Iterable[CallOutput], cells: Cells) -> None:
    """Show what calls wrote under the cells that submitted them; any thread."""
    with _lock:
        _show(outputs, cells)


def _show(outputs: Iterable[CallOutput], cells: Cells) -> None:
    changed: dict[str, CellDisplay] = {}
    for output in outputs:
        header = cells.header_of(output.span)
        # By message, not by span: two clients in one cell have two spans and one place in the page.
        id = header.get("msg_id", "")
        display = _displays.get(id)
        if display is None:
            display = _displays[id] = CellDisplay(CellLines(), show_under(cells.publisher, header))
            if len(_displays) > CELLS:
                del _displays[next(iter(_displays))]
        display.lines.add(output)
        changed[id] = display
    # Once for each display, however many outputs came: each time all of its text is sent.
    for display in changed.values():
        display.replace(display.lines.as_html(), display.lines.as_text())
