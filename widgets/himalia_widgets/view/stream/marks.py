"""Bars as columns: what every part of a task stream is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from himalia_widgets.view.stream.crowds import Floats, Ints

Columns = dict[str, Any]
"""Arrays or lists of equal length, by name."""

HEIGHT: Final = 0.84
"""Of a bar in a row of height 1."""
TEXTS: Final = ("name", "key", "time", "detail", "where")
"""What the hover says."""


def bars(
    left: Floats,
    right: Floats,
    row: Ints,
    color: Ints,
    texts: dict[str, list[str]],
    *,
    low: Floats | float = 0.0,
    high: Floats | float = 1.0,
) -> Columns:
    """Return bars between these times; ``low`` and ``high`` are parts of a row's height, from its foot upwards."""
    # Rows count downwards, parts of a row upwards. There are few rows: four bytes are exact enough.
    foot = row + HEIGHT / 2
    return {
        "left": left, "right": right, "top": np.asarray(foot - HEIGHT * high, np.float32),
        "bottom": np.asarray(foot - HEIGHT * low, np.float32), "color": color, **texts,
    }  # fmt: skip


def join(pieces: Sequence[Columns]) -> Columns:
    """Return one set of columns."""
    joined: Columns = {}
    for name in ("left", "right", "top", "bottom", "color"):
        joined[name] = np.concatenate([piece[name] for piece in pieces])
    for name in TEXTS:
        joined[name] = [text for piece in pieces for text in piece[name]]
    return joined
