"""What bars of progress look like in a notebook's page: small, without script, readable when nothing runs any more.

Colours are the page's own, with one that suits light and dark where there are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

import msgspec

DONE: Final = "var(--jp-brand-color1,#1976d2)"
FAILED: Final = "var(--jp-error-color1,#d32f2f)"
GROUND: Final = "var(--jp-layout-color3,rgba(128,128,128,.25))"
FAINT: Final = "color:var(--jp-ui-font-color2,#757575)"
NAME: Final = 40
"""Characters of a name that are shown; all of it is in the tooltip."""


class Bar(msgspec.Struct, frozen=True):
    """Counts of one group; ``before`` of ``done`` were done when somebody began to look."""

    name: str
    done: int
    total: int
    failed: int = 0
    before: int = 0


def draw(bars: Sequence[Bar], elapsed: float) -> str:
    """Return the bars as HTML, ``elapsed`` seconds after the start."""
    rows = "".join(row(bar, elapsed) for bar in bars)
    return (
        "<div class='mathjax_ignore tex2jax_ignore' "
        "style='display:grid;grid-template-columns:max-content minmax(80px,320px) max-content max-content;"
        "gap:2px 12px;align-items:center;font-size:var(--jp-ui-font-size1,13px);font-variant-numeric:tabular-nums'>"
        f"{rows}</div>"
    )


def row(bar: Bar, elapsed: float) -> str:
    """Return one bar: name, bar, counts, speed."""
    name = bar.name if len(bar.name) <= NAME else bar.name[: NAME - 1] + "…"
    good, bad = (100 * part / bar.total for part in (bar.done - bar.failed, bar.failed))
    counts = f"{bar.done:,} / {bar.total:,}"
    errors = f" <span style='color:{FAILED}'>{bar.failed:,} failed</span>" if bar.failed else ""
    return (
        f"<span title='{escape(bar.name)}'>{escape(name)}</span>"
        f"<span style='display:flex;height:8px;border-radius:4px;overflow:hidden;background:{GROUND}'>"
        f"<span style='width:{good:.1f}%;background:{DONE}'></span>"
        f"<span style='width:{bad:.1f}%;background:{FAILED}'></span></span>"
        f"<span>{counts}{errors}</span><span style='{FAINT}'>{speed(bar, elapsed)}</span>"
    )


def speed(bar: Bar, elapsed: float) -> str:
    """Say how fast it goes and how long it will take; at the end, how long it took.

    >>> speed(Bar("inc", 50, 100), 10.0)
    '5.0/s, 10 s left'
    >>> speed(Bar("inc", 100, 100), 20.0)
    'done in 20 s'
    """
    counted = bar.done - bar.before
    if bar.done == bar.total:
        return f"done in {duration(elapsed)}" if counted else "done"
    if not counted or elapsed <= 0:
        return ""
    rate = counted / elapsed
    left = duration((bar.total - bar.done) / rate)
    return f"{rate:,.0f}/s, {left} left" if rate >= 9.95 else f"{rate:.1f}/s, {left} left"


def duration(value: float) -> str:
    """Return seconds as a person says them.

    >>> duration(0.42), duration(12.3), duration(200), duration(7500)
    ('0.4 s', '12 s', '3 min 20 s', '2 h 05 min')
    """
    if value < 9.95:
        return f"{value:.1f} s"
    if value < 60:
        return f"{value:.0f} s"
    if value < 3600:
        return f"{int(value) // 60} min {int(value) % 60:02d} s"
    return f"{int(value) // 3600} h {int(value) % 3600 // 60:02d} min"
