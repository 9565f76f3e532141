"""What moved between hosts: a matrix of sums, and bytes a second over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from himalia.show.natural import natural
from himalia_widgets.view.history import History
from himalia_widgets.view.series import Floats


@dataclass(slots=True, frozen=True)
class Cell:
    """What ``target`` received from ``source``; numbers of hosts in the matrix's order."""

    source: int
    target: int
    nbytes: int
    count: int
    bandwidth: float
    """Bytes/s of a single transfer, on average."""


class Matrix(NamedTuple):
    """Transfers from host to host."""

    hosts: list[str]
    """Names, in order; with more than fit, those that moved most."""
    cells: list[Cell]


def matrix(history: History, *, most: int = 40) -> Matrix:
    """Return the sums since the beginning."""
    moved: dict[str, int] = {}
    for (source, target), link in history.links.totals.items():
        # Both ends: a host that only sends is as busy as who receives.
        moved[source] = moved.get(source, 0) + link.nbytes
        moved[target] = moved.get(target, 0) + link.nbytes
    busiest = sorted(moved, key=lambda host: -moved[host])[:most]
    # Two hosts may have one name.
    order = sorted(busiest, key=lambda host: (natural(history.host_name(host)), host))
    at = {host: number for number, host in enumerate(order)}
    cells = [
        Cell(at[source], at[target], link.nbytes, link.count, link.nbytes / link.seconds if link.seconds else 0.0)
        for (source, target), link in history.links.totals.items()
        if source in at and target in at
    ]
    return Matrix([history.host_name(host) for host in order], cells)


def over_time(history: History, start: float, *, bins: int = 120) -> tuple[Floats, Floats]:
    """Return times and bytes/s received by all hosts together, since ``start``."""
    # Never empty: the widths of bins are divided by.
    end = max(history.now, start + 1.0)
    edges = np.linspace(start, end, bins + 1)
    recent = history.links.recent
    sums, _ = np.histogram([one.time for one in recent], edges, weights=[one.nbytes for one in recent])
    return edges[1:], sums / (edges[1] - edges[0])
