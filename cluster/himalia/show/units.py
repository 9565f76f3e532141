"""Sizes, durations and resources as people write them, read and written.

A spelling that means nothing is refused with one that does.  Nothing is guessed, and what a number is used for is not
known here: ``"4"`` is a size of 4 bytes and a duration of 4 seconds, ``"4 parsecs"`` is an error.
"""

from __future__ import annotations

import math
import re
from typing import Final, overload

from himalia.errors import UsageError

SIZES: Final = {
    "": 1, "b": 1,
    "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9, "t": 10**12, "tb": 10**12, "p": 10**15,
    "pb": 10**15, "ki": 2**10, "kib": 2**10, "mi": 2**20, "mib": 2**20, "gi": 2**30, "gib": 2**30, "ti": 2**40,
    "tib": 2**40, "pi": 2**50, "pib": 2**50,
}  # fmt: skip
"""Bytes of each unit, in lower case; decimal and binary ones as the IEC writes them, which is also what Dask reads."""

# "m" is a minute here and a million bytes above, as in Dask.
DURATIONS: Final = {
    "": 1.0, "us": 1e-6, "ms": 1e-3,
    "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0,
    "m": 60.0, "min": 60.0, "mins": 60.0, "minute": 60.0, "minutes": 60.0,
    "h": 3600.0, "hr": 3600.0, "hrs": 3600.0, "hour": 3600.0, "hours": 3600.0,
    "d": 86400.0, "day": 86400.0, "days": 86400.0, "w": 604800.0, "week": 604800.0, "weeks": 604800.0,
}  # fmt: skip
"""Seconds of each unit, in lower case."""

# [0-9] and not \d, which takes the digits of all scripts.
PIECE: Final = re.compile(r"\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([a-zµμ]*)\s*", re.IGNORECASE)
BINARY: Final = (("PiB", 2**50), ("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def parse_bytes(text: str | float) -> int:
    """Return the bytes that ``text`` means.

    Parameters
    ----------
    text : str or float
        ``"4 GiB"``, ``"512MB"``, ``"1e9"`` or a number of bytes.

    Raises
    ------
    UsageError
        If it isn't a size, or less than nothing.
    """
    if isinstance(text, str):
        match = PIECE.fullmatch(text)
        unit = SIZES.get(match[2].lower()) if match else None
        if match is None or unit is None:
            raise UsageError(f"{text!r} is not a size; write it like '4 GiB', '512MB' or 1000000000.")
        value = float(match[1]) * unit
    else:
        value = float(text)
    # Also refuses NaN, which compares as false.
    if not 0 <= value < 2**63:
        raise UsageError(f"A size of {text} bytes can't be; write it like '4 GiB', '512MB' or 1000000000.")
    return int(value)


def parse_duration(text: str | float) -> float:
    """Return the seconds that ``text`` means.

    Parameters
    ----------
    text : str or float
        ``"5m"``, ``"1h 30min"``, ``"500ms"`` or a number of seconds.

    Raises
    ------
    UsageError
        If it isn't a duration, or a negative one.
    """
    if isinstance(text, str):
        return sum_of_pieces(text)
    if not (math.isfinite(text) and text >= 0):
        raise UsageError(f"{text} seconds is not a duration; write it like '5m', '1h 30m', '500ms' or 300.")
    return float(text)


@overload
def parse_timeout(duration: float | str) -> float: ...


@overload
def parse_timeout(duration: float | str | None) -> float | None: ...


def parse_timeout(duration: float | str | None) -> float | None:
    """Return the seconds that somebody is ready to wait.

    Parameters
    ----------
    duration : float, str or None
        A text as :func:`parse_duration` takes it.  A number means itself, also if it is infinite, or less than nothing
        because it is what is left of something; ``None``, which means for ever, stays ``None``.

    Raises
    ------
    UsageError
        If it is none of these.
    """
    if duration is None:
        return None
    if isinstance(duration, str):
        return sum_of_pieces(duration)
    # Not checked as parse_duration() does: callers subtract from a deadline, and less than nothing means now.
    if isinstance(duration, int | float):
        return float(duration)
    raise UsageError(f"{duration!r} is not a duration; write it like '5m', '1h 30m', '500ms' or 300 (seconds).")


def sum_of_pieces(text: str) -> float:
    """Return the seconds of ``1h30m``: every piece but a lone one needs its unit."""
    pieces = list(PIECE.finditer(text))
    units = [DURATIONS.get(piece[2].lower().replace("µ", "u").replace("μ", "u")) for piece in pieces]
    whole = "".join(piece[0] for piece in pieces) == text
    # "300" is seconds; "1h 30" might be minutes or seconds.
    lone = len(pieces) == 1
    if (
        not pieces
        or not whole
        or any(unit is None or not (lone or piece[2]) for piece, unit in zip(pieces, units, strict=True))
    ):
        raise UsageError(f"{text!r} is not a duration; write it like '5m', '1h 30m', '500ms' or 300 (seconds).")
    return sum(float(piece[1]) * (unit or 0.0) for piece, unit in zip(pieces, units, strict=True))


def parse_resources(text: str) -> dict[str, float]:
    """Return ``{"GPU": 1.0, "foo": 2.0}`` of ``"GPU=1,foo=2"``; blanks separate as well, as in Dask."""
    found: dict[str, float] = {}
    for piece in re.split(r"[,\s]+", text.strip()):
        name, equals, amount = piece.partition("=")
        try:
            value = float(amount)
        except ValueError:
            # Refused below, with everything else that can't be an amount.
            value = -1.0
        if not name or not equals or not (math.isfinite(value) and value >= 0):
            raise UsageError(f"{text!r} does not list resources; write them like 'GPU=1,foo=2'.")
        # Whichever were taken, the other was meant as well.
        if name in found:
            raise UsageError(f"{text!r} names the resource {name!r} twice.")
        found[name] = value
    return found


def format_bytes(nbytes: float) -> str:
    """Return ``nbytes`` as a person reads it: ``1.50 GiB``."""
    for unit, size in BINARY:
        # From nine tenths of a unit on, as Dask: 0.95 GiB reads better than 972.80 MiB.
        if nbytes >= size * 0.9:
            return f"{nbytes / size:.2f} {unit}"
    return f"{int(nbytes)} B"


def format_ago(seconds: float) -> str:
    """Return how long ago something was: ``Just now``, ``5 minutes ago``."""
    for name, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "Just now" if seconds < 10 else f"{int(seconds)} seconds ago"
