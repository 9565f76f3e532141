"""How scheduler and nannies fare over time: CPU, memory, lateness of their loops, descriptors, network."""

from __future__ import annotations

from typing import Final, NamedTuple

from himalia.show.natural import natural
from himalia_widgets.view.history import History
from himalia_widgets.view.series import Floats

NANNIES: Final = 24
"""Hosts drawn one by one; of more, those that are highest now."""


class SystemLine(NamedTuple):
    """One process over time."""

    name: str
    """``scheduler`` or the name of a host."""
    time: Floats
    """Epoch seconds."""
    value: Floats


def lines(history: History, field: str) -> list[SystemLine]:
    """Return one column (``trends.NANNY``) of the scheduler and of nannies, by name."""
    # By what they are now: a plot of a thousand lines shows none of them.
    highest = sorted(history.trends.hosts.items(), key=lambda item: -item[1].last(field))[:NANNIES]
    named = sorted(((history.host_name(host), series) for host, series in highest), key=lambda item: natural(item[0]))
    processes = [("scheduler", history.trends.scheduler), *named]
    return [SystemLine(name, series.column("time"), series.column(field)) for name, series in processes]
