"""The scheduler's books of which host has which result, and the tally of them that is compared with the host's own.

Pure books: which result is kept or freed is decided elsewhere (``freeing``, ``deaths``).
"""

from __future__ import annotations

from himalia.scheduler.state import HostState, SchedulerTask


def add_held(host: HostState, task: SchedulerTask) -> None:
    """Enter a result into a host's books."""
    host.held[task] = None
    if not task.placed:
        # Placed values are left out on both sides: they are announced by clients, in no order with what the nanny says,
        # so a tally with them would differ for a while at every scatter.
        host.data_tally ^= task.digest
        host.data_count += 1


def remove_held(host: HostState, task: SchedulerTask) -> None:
    """Strike a result from a host's books."""
    del host.held[task]
    if not task.placed:
        host.data_tally ^= task.digest
        host.data_count -= 1


def drop_holder(task: SchedulerTask, host: HostState) -> bool:
    """Note that a host doesn't have a result any more; return whether that was the last one."""
    if host not in task.holders:
        return False
    task.holders = tuple([holder for holder in task.holders if holder is not host])
    remove_held(host, task)
    return not task.holders
