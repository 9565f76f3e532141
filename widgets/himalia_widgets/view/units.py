"""Numbers as a person reads them.  Decides the digits and the unit, nothing else."""

from __future__ import annotations

from himalia.show.bars import duration
from himalia.show.units import BINARY


def seconds(value: float) -> str:
    """Return a duration in three digits: ``412 µs``, ``1.23 s``, ``3 min 20 s``, ``2 h 05 min``."""
    # Just below a power, so that rounding to three digits never makes 1000 of it.
    if value < 0.9995e-3:
        return f"{value * 1e6:.0f} µs"
    if value < 0.9995:
        return f"{value * 1e3:.3g} ms"
    if value < 99.5:
        return f"{value:.3g} s"
    if value < 86400:
        return duration(value)
    return f"{int(value) // 86400} d {int(value) % 86400 // 3600} h"


def soon(value: float) -> str:
    """Return how long something will take, which nobody knows more exactly than this: ``12 s``, ``3 min``, ``2 h``."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if value >= 1.5 * length:
            return f"{value / length:.0f} {unit}"
    return f"{max(1.0, value):.0f} s"


def size(nbytes: float) -> str:
    """Return a size in three digits: ``1.50 GiB``."""
    for unit, one in BINARY:
        if nbytes >= one * 0.9995:
            value = nbytes / one
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:.{digits}f} {unit}"
    return f"{int(nbytes)} B"


def count(value: float) -> str:
    """Return a number of things: ``12``, ``9,800``, ``1.25 M``."""
    # As above: 999,500 is 1.00 M in three digits.
    if value >= 999_500:
        return f"{value / 1e6:.3g} M"
    return f"{int(value):,}"


def rate(per_second: float) -> str:
    """Return how many a second."""
    return f"{per_second:,.0f}/s" if per_second >= 9.95 else f"{per_second:.2g}/s"


def percent(fraction: float) -> str:
    """Return a fraction of one in percent."""
    return f"{fraction * 100:.0f} %"
