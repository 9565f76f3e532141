"""Sentences on a host's store, for who wonders why a call waits: who needs how much, who has the rest."""

from __future__ import annotations

from typing import Final

from himalia.scheduler.state import HostState

MAPPED_SHOWN: Final = 1 / 8
"""Part of a store that has to be mapped until an explanation speaks of it: half of what clients may map
(``MAPPED_SHARE`` of ``nanny/store/store.py``), so that it isn't the reason before."""


def explain_room(host: HostState, needed: int, name: str, seconds: float = 0.0, *, can_fail: bool = True) -> str:
    """Say what waits for room in a store: since when, how much, who has it, and what follows.

    ``seconds`` it has waited so far; 0: a moment.  ``can_fail``: what is read back frees as much on the disk, and never
    fails because that is full.
    """
    use, limit = host.metrics.use, host.info.memory_limit
    users = mappings(host)
    if use.calls:
        users.append(f"inputs of calls under way ({use.calls:,})")
    rest = limit - use.free - use.calls - sum(use.clients.values()) - sum(use.workers.values())
    if rest > 0:
        users.append(f"results and what is being written ({rest:,})")
    disk = f" The disk there takes no more: {use.disk}." if use.disk else ""
    since = f", for {seconds:.1f} s so far" if seconds else ""
    fails = use.disk and can_fail
    end = "If the disk stays full, it fails." if fails else "If nothing of it does, it gets room over the limit."
    return (
        f"{name} waits for room in the store of host {host.label}{since}: needs {needed:,} bytes, free {use.free:,} of "
        f"{limit:,}, in use by {', '.join(users) or 'nobody any more'}.{disk} It goes on when some of that has ended, "
        f"was released or has moved to disk. {end}"
    )


def explain_mappings(host: HostState) -> str:
    """Say who maps a good part of a host's store, if anybody does: what is mapped can't move to disk."""
    use, limit = host.metrics.use, host.info.memory_limit
    if sum(use.clients.values()) + sum(use.workers.values()) <= limit * MAPPED_SHOWN:
        return ""
    return (
        f" Of the store of {host.label} ({limit:,} bytes) much can't move to disk, held by "
        f"{', '.join(mappings(host))}; who reads more there gets copies."
    )


def mappings(host: HostState) -> list[str]:
    """Return who maps results of a host beside running calls, and how many bytes."""
    use = host.metrics.use
    clients = [f"notebook or script {client} ({nbytes:,} mapped)" for client, nbytes in use.clients.items()]
    return clients + [f"code of {worker} that keeps inputs ({nbytes:,})" for worker, nbytes in use.workers.items()]
