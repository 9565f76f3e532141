"""How much of the store the inputs of calls under way may take: calls are sent ahead by bytes, not by time alone.

A call that was sent to the workers, or whose inputs are being read back for it, reserves its large inputs: they have to
be in memory and can't move.  An input that several calls read is reserved once.  Reservations take half of the store
together, or one call alone takes what it needs; so no call waits for ever for its inputs, and results have room beside
them.  A large call is never passed by those that come after it in its queue.

Decides who may go; when that is asked is ``dispatching``'s business.
"""

from __future__ import annotations

from typing import Final

from himalia.names import Key, shorten
from himalia.nanny.state import NannyState
from himalia.nanny.tasks import NannyTask

INPUT_SHARE: Final = 2
"""Inputs of calls under way take up to this part (one half) of the store; the other half is for results, for
what is on its way to or from disk, and for what clients map.  Ray lets arguments of running tasks take 0.7
of its store (``max_task_args_memory_fraction``)."""


def admits(state: NannyState, task: NannyTask) -> bool:
    """Whether there is room for a call's inputs beside those of calls under way."""
    reserved = state.reserved
    # Nothing large is under way: then anything may go, even what takes more than the half, or it would wait for ever.
    if not reserved.nbytes:
        return True
    needed = needs(state, task)
    # What others read already costs nothing more, so a hundred calls on one large array go together.
    if not needed:
        return True
    if not reserved.is_barred and reserved.nbytes + needed <= state.info.memory_limit // INPUT_SHARE:
        return True
    # Only the last one is remembered, for whoever asks why nothing happens; dispatching finds the others in their
    # heaps.
    reserved.blocked = task
    # Since the first refusal: it is asked for again after every event.
    task.waiting_since = task.waiting_since or state.now
    return False


def needs(state: NannyState, task: NannyTask) -> int:
    """Return the bytes that a call would reserve in addition."""
    inputs = state.reserved.inputs
    return sum(nbytes for key, nbytes in large_inputs(state, task) if key not in inputs)


def large_inputs(state: NannyState, task: NannyTask) -> list[tuple[Key, int]]:
    """Return those inputs of a call that workers map, and their bytes; the others travel inside messages."""
    data, limit = state.held.newest, state.settings.inline_limit
    # On a host of small results this is all that admission costs.
    if state.held.largest <= limit:  # of all that was ever here
        return []
    found = []
    for dependency in task.compute.dependencies:
        held = data.get(dependency.key)
        if held is not None and held[1] > limit:
            found.append((dependency.key, held[1]))
    return found


def reserve(state: NannyState, task: NannyTask) -> None:
    """Count the inputs of a call as taken, until ``state.reserved.remove(task)``."""
    inputs = large_inputs(state, task)
    if inputs:
        task.waiting_since = 0.0
        state.reserved.add(task, inputs)


def is_too_large(state: NannyState, task: NannyTask) -> int:
    """Return by how many bytes a call's inputs exceed all of the store; 0 if they don't."""
    limit = state.info.memory_limit
    # An upper bound that needs no walk; nearly every call ends here.
    if not limit or len(task.compute.dependencies) * state.held.largest <= limit:
        return 0
    return max(0, sum(nbytes for _, nbytes in large_inputs(state, task)) - limit)


def excess_text(state: NannyState, task: NannyTask, excess: int) -> str:
    """Say by how much the inputs of a call exceed the store."""
    limit = state.info.memory_limit
    return (
        f"{shorten(task.key)} needs {limit + excess:,} bytes of inputs at once, {excess:,} more than the store of "
        f"{state.info.hostname} may hold ({limit:,}). Split the call, or raise the memory limit."
    )
