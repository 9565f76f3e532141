"""Times as users write them."""

from __future__ import annotations

import re
from typing import Final

from himalia.errors import UsageError

UNITS: Final = {
    "": 1.0, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "m": 60.0, "min": 60.0,
    "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hour": 3600.0, "hours": 3600.0, "d": 86400.0, "day": 86400.0,
    "days": 86400.0,
}  # fmt: skip
FORM: Final = re.compile(r"\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([a-z]*)\s*", re.IGNORECASE)


def seconds(duration: float | str) -> float:
    """Return a number of seconds, of a number or of a text like ``"500ms"``, ``"10 s"``, ``"2 minutes"``.

    Raises
    ------
    UsageError
        If it is neither.
    """
    if isinstance(duration, str):
        match = FORM.fullmatch(duration)
        if match is not None and match[2].lower() in UNITS:
            return float(match[1]) * UNITS[match[2].lower()]
    elif isinstance(duration, int | float):
        return float(duration)
    raise UsageError(f"{duration!r} is not a time: give seconds, or a text like '500ms', '10s', '2 minutes'.")
