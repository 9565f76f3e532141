"""Who holds how much: each host, each function's results.  Worker processes are in ``workers.py``."""

from __future__ import annotations

from typing import NamedTuple

from himalia.show.natural import natural
from himalia_widgets.view.history import History


class HostMemory(NamedTuple):
    """Bytes at one host."""

    name: str
    store: int
    """Results in memory."""
    spilled: int
    """Results on disk."""
    limit: int
    """What the store may hold in memory; 0: unknown."""


def hosts(history: History) -> list[HostMemory]:
    """Return a row for each host, by name."""
    rows = []
    for host, metrics in history.hosts.items():
        view = history.host_view(host)
        # Metrics may come before the scheduler has said who is there.
        limit = view.memory_limit if view is not None else 0
        rows.append(HostMemory(history.host_name(host), metrics.store_bytes, metrics.spilled_bytes, limit))
    return sorted(rows, key=lambda row: natural(row.name))


def groups(history: History, *, most: int = 20) -> list[tuple[str, int, int]]:
    """Return function, bytes of its results held now, and a bound of what they ever were; largest first."""
    held: dict[str, tuple[int, int]] = {}
    for group in history.groups.values():
        memory, peak = held.get(group.name, (0, 0))
        # Peaks of several cells may have been at different times: their sum is a bound.
        held[group.name] = (memory + group.memory, peak + group.peak)
    rows = sorted(((name, *sizes) for name, sizes in held.items() if sizes[0]), key=lambda row: row[1], reverse=True)
    return rows[:most]
