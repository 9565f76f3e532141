r"""Users' texts made fit for a plot: short, on one line, and never markup.

The only place that decides this.  Bokeh draws text on a canvas and escapes what its hover shows, so HTML is harmless
there; what it does read in a label is TeX between ``$$``, ``\(`` or ``\[``, and JSON refuses lone surrogates.
"""

from __future__ import annotations

import re
from typing import Final

LABEL: Final = 48
"""Characters of a label."""
HOVER: Final = 120
"""Characters of one line of a hover."""
ZERO_WIDTH: Final = "\u200b"
"""Splits what would be a delimiter; it has no width."""

_TEX = re.compile(r"\$(?=\$)|\\(?=[()\[\]])")
_UNFIT = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff"  # control characters, line ends, halves of pairs
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+"  # what turns the direction of all that follows
)


def label(text: str, limit: int = LABEL) -> str:
    """Return ``text`` as one short line that no plot reads as markup; its beginning and its end are kept."""
    if len(text) > limit:
        # Names and keys differ at their ends, too.
        tail = limit // 3
        text = f"{text[: limit - tail - 1]}…{text[-tail:]}"
    # Nothing in it can be markup or end a line.
    if text.isalnum():
        return text
    return _TEX.sub(_split, _UNFIT.sub(" ", text)).strip()


def hover(text: str) -> str:
    """Return ``text`` as one line of a hover."""
    return label(text, HOVER)


def _split(match: re.Match[str]) -> str:
    return match[0] + ZERO_WIDTH
