"""Make a failing plan small: drop faults, operations and tasks while it still fails the same way.

Greedy: whatever can be left out is left out, larger pieces first.  What is left is printed as a plan, not as code.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from himalia.decoders import decoder_of
from himalia.testing.plan import Plan


def shrink(plan: Plan, fails: Callable[[Plan], bool], *, tries: int = 400) -> Plan:
    """Return a smaller plan that still fails.

    Parameters
    ----------
    plan : Plan
        One that fails.
    fails : callable
        Whether a plan fails in the way that is looked for.
    tries : int
        Runs at most.
    """
    left = tries
    # Tasks last: whoever takes one out takes with it all that needs it, and operations lose keys.
    for field in ("faults", "ops", "tasks"):
        # All at once to begin with: many a failure needs none of them.
        size = len(getattr(plan, field))
        while size >= 1 and left > 0:
            start = 0
            while start < len(getattr(plan, field)) and left > 0:
                smaller = without(plan, field, start, start + size)
                left -= 1
                # If so, what comes next stands at this very place.
                if fails(copy(smaller)):
                    plan = smaller
                else:
                    start += size
            size //= 2
    return plan


def without(plan: Plan, field: str, start: int, end: int) -> Plan:
    """A plan without some of its faults, operations or tasks (and what depends on these)."""
    # These depend on nothing; a fault or operation without its victim is left out as it runs.
    if field != "tasks":
        items = getattr(plan, field)
        return msgspec.structs.replace(plan, **{field: items[:start] + items[end:]})
    gone = set(list(plan.tasks)[start:end])
    tasks = {}
    for key, task in plan.tasks.items():
        if key in gone or gone.intersection(task.call.inputs):
            # Or it would name an input that doesn't exist.
            gone.add(key)
        else:
            tasks[key] = task
    ops = [
        msgspec.structs.replace(
            op, keys=tuple(k for k in op.keys if k not in gone), held=tuple(k for k in op.held if k not in gone)
        )
        for op in plan.ops
    ]
    return msgspec.structs.replace(
        plan, tasks=tasks, ops=[op for op in ops if op.keys or op.kind in ("scale", "leave", "run")]
    )


def copy(plan: Plan) -> Plan:
    """A plan that can be run without changing this one: a run ends the faults of its weather and behaviour."""
    return decoder_of(Plan).decode(msgspec.msgpack.encode(plan))
