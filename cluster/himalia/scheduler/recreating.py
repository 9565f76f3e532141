"""What a task calls, for a client that wants to repeat it in its own process.  Decides nothing."""

from __future__ import annotations

from himalia.messages.answers import CallSpec, Reply
from himalia.messages.client import GetSpec
from himalia.names import shorten
from himalia.scheduler.state import SchedulerState


def describe_call(state: SchedulerState, message: GetSpec) -> Reply:
    """Answer with a task's function, call, key of its large argument and inputs; bytes stay opaque here."""
    task = state.tasks.get(message.key)
    name = shorten(message.key)
    if task is None:
        why = "it was released or cancelled, or the cluster was restarted. Submit it again and keep its future."
        return Reply(message.request, error=f"{name} is not known to the scheduler any more: {why}")
    if task.placed:
        why = "it was placed on the cluster (scatter, or a large argument), or lost. There is no call to repeat."
        return Reply(message.request, error=f"{name} was not computed: {why}")
    call = CallSpec(
        function=state.functions[task.function].body if task.function else b"",
        call=task.call,
        argument=task.argument,
        dependencies=tuple([dependency.key for dependency in task.dependencies]),
    )
    return Reply(message.request, call)
