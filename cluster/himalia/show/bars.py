"""What bars of progress look like: a line of text, or markup for a notebook's page.

The markup is small, has no script, and can be read when nothing runs any more.  Colours are the page's own, with one
that suits light and dark where there are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

import msgspec

DONE: Final = "var(--jp-brand-color1,#1976d2)"
FAILED: Final = "var(--jp-error-color1,#d32f2f)"
CANCELLED: Final = "var(--jp-ui-font-color3,#9e9e9e)"
GROUND: Final = "var(--jp-layout-color3,rgba(128,128,128,.25))"
FAINT: Final = "color:var(--jp-ui-font-color2,#757575)"
DOUBT: Final = 2.0
"""Seconds in which nothing ended after which a shorter time left is wrong: eight drawings (``follow/progress.py``)
without any end aren't chance."""
NAME: Final = 40
"""Characters of a name that are shown; all of it is in the tooltip."""
WIDTH: Final = 40
"""Characters of a bar of text."""


class Bar(msgspec.Struct, frozen=True):
    """Where the calls of one group are; the words are those of :class:`himalia.messages.telemetry.TaskCounts`."""

    name: str
    ended: int
    """Finished or failed."""
    total: int
    failed: int = 0
    """Of those that ended: by an error, or because their data were lost."""
    cancelled: int = 0
    released: int = 0
    """Let go of before they had ended: nobody here hears what becomes of them."""
    before: int = 0
    """Of those that ended: before somebody began to look.  They say nothing about the speed."""
    waited: float = 0.0
    """Seconds since the first of those was submitted that had not ended when somebody began to look."""
    quiet: float = 0.0
    """Seconds since one was last seen to end."""

    @property
    def left(self) -> int:
        """Calls that are still to come."""
        return self.total - self.ended - self.cancelled - self.released


def total(bars: Sequence[Bar]) -> Bar:
    """Return the sum of all of them."""
    return Bar(
        "all",
        sum(bar.ended for bar in bars),
        sum(bar.total for bar in bars),
        sum(bar.failed for bar in bars),
        sum(bar.cancelled for bar in bars),
        sum(bar.released for bar in bars),
        sum(bar.before for bar in bars),
        # Not the sum: they wait side by side.
        max((bar.waited for bar in bars), default=0.0),
    )


def line(bar: Bar) -> str:
    """Return a bar as a line.

    >>> line(Bar("inc", 54, 100, 1, 46, waited=1.6))
    '[#####################                   ] 54 of 100 |  54% |   1.6s | 1 failed | 46 cancelled'
    """
    share = bar.ended / bar.total if bar.total else 0.0
    # Rounded down: a bar that is full says that all have ended.
    drawn = ("#" * int(share * WIDTH)).ljust(WIDTH)
    told = [f"[{drawn}] {bar.ended} of {bar.total}", f"{share:4.0%}", f"{bar.waited:5.1f}s"]
    told += [f"{bar.failed} failed"] if bar.failed else []
    told += [f"{bar.cancelled} cancelled"] if bar.cancelled else []
    told += [f"{bar.released} released"] if bar.released else []
    return " | ".join(told)


def last_lines(bars: Sequence[Bar]) -> str:
    """Return the last state: a line for each group, with its name if there are several."""
    if len(bars) == 1:
        return line(bars[0])
    width = max((len(bar.name) for bar in bars), default=0)
    return "\n".join(f"{bar.name.ljust(width)} {line(bar)}" for bar in bars)


def draw(bars: Sequence[Bar], elapsed: float) -> str:
    """Return the bars as HTML, ``elapsed`` seconds after somebody began to look."""
    rows = "".join(row(bar, elapsed) for bar in bars)
    return (
        # Names of calls may have dollar signs, which a notebook takes for formulas.
        "<div class='mathjax_ignore tex2jax_ignore' "
        "style='display:grid;grid-template-columns:max-content minmax(80px,320px) max-content max-content;"
        "gap:2px 12px;align-items:center;font-size:var(--jp-ui-font-size1,13px);font-variant-numeric:tabular-nums'>"
        f"{rows}</div>"
    )


def row(bar: Bar, elapsed: float) -> str:
    """Return one bar: name, bar, counts, speed."""
    name = bar.name if len(bar.name) <= NAME else bar.name[: NAME - 1] + "…"
    counts = f"{bar.ended:,} / {bar.total:,}"
    drawn = parts(bar.ended - bar.failed, bar.failed, bar.cancelled + bar.released, bar.total)
    bad = f" <span style='color:{FAILED}'>{bar.failed:,} failed</span>" if bar.failed else ""
    gone = "".join(
        f" <span style='{FAINT}'>{count:,} {word}</span>"
        for count, word in ((bar.cancelled, "cancelled"), (bar.released, "released"))
        if count
    )
    return (
        f"<span title='{escape(bar.name)}'>{escape(name)}</span>"
        "<span style='display:flex;height:8px;border-radius:4px;overflow:hidden;"
        f"background:{GROUND}'>{drawn}</span>"
        f"<span>{counts}{bad}{gone}</span><span style='{FAINT}'>{speed(bar, elapsed)}</span>"
    )


def parts(done: int, failed: int, cancelled: int, total: int) -> str:
    """Return the coloured parts of a bar."""
    shares = ((done, DONE), (failed, FAILED), (cancelled, CANCELLED))
    return "".join(
        f"<span style='width:{100 * share / max(1, total):.1f}%;background:{color}'></span>" for share, color in shares
    )


def speed(bar: Bar, elapsed: float) -> str:
    """Say how fast it goes and how long it will take; at the end, how long it took since it was submitted.

    Nothing is said when the rest takes longer than that: some calls may be much longer than those that ended.

    >>> speed(Bar("inc", 50, 100), 10.0)
    '5.0/s, 10 s left'
    >>> speed(Bar("inc", 100, 100, waited=20.0), 8.0)
    'done in 20 s'
    >>> speed(Bar("inc", 54, 100, cancelled=46, waited=2.0), 1.0)
    'ended after 2.0 s'
    """
    # What ended before took nobody knows how long.
    counted = bar.ended - bar.before
    if not bar.left:
        word, after = ("ended", "after") if bar.ended < bar.total else ("done", "in")
        return f"{word} {after} {duration(bar.waited)}" if bar.waited else word
    if not counted or elapsed <= 0:
        return ""
    rate = counted / elapsed
    if bar.quiet > max(DOUBT, bar.left / rate):
        return ""
    left = duration(bar.left / rate)
    # 9.95 and not 10, here and below: with one digit it would be written as 10.0.
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
