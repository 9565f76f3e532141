"""How scheduler, nannies and hosts fare over time: CPU, memory, lateness of their loops, descriptors, network."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from himalia_widgets.view.history import History
from himalia_widgets.view.series import Floats, Series
from himalia_widgets.view.text import natural

NANNIES: Final = 24
"""Hosts drawn one by one; of more, those that are highest now."""
FIELDS: Final = {
    "cpu": ("cpu", "nanny_cpu"), "memory": ("memory", "nanny_memory"), "lag": ("lag", "lag"), "fds": ("fds", "fds"),
    "received": ("received", "received"), "sent": ("sent", "sent"),
}  # fmt: skip
"""What there is, and how a scheduler's and a host's series call it."""


class Line(NamedTuple):
    """One process over time."""

    name: str
    """``scheduler`` or the name of a host."""
    time: Floats
    """Epoch seconds."""
    value: Floats


def lines(history: History, field: str, *, since: float = 0.0) -> list[Line]:
    """Return one of :data:`FIELDS` of the scheduler and of nannies, by name."""
    of_scheduler, of_host = FIELDS[field]
    series = sorted(history.trends.hosts.items(), key=lambda item: -item[1].last(of_host))[:NANNIES]
    named = sorted(((history.host_name(host), one) for host, one in series), key=lambda item: natural(item[0]))
    result = [cut("scheduler", history.trends.scheduler, of_scheduler, since)]
    result += [cut(name, one, of_host, since) for name, one in named]
    return result


def cut(name: str, series: Series, column: str, since: float) -> Line:
    """Return the part of a series after a time."""
    time = series.column("time")
    first = int(np.searchsorted(time, since))
    return Line(name, time[first:], series.column(column)[first:])
