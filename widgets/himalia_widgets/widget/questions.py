"""What a click on the widget asks of the cluster, and what the page is answered.

Everything goes through the feed's session, without blocking the kernel; answers are plain builtins.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Final

from himalia.errors import HimaliaError, UsageError
from himalia.follow.source import Question, Source
from himalia.show.plain import Plain, plain_task
from himalia_widgets.view.history import History
from himalia_widgets.view.tables.progress import NAME
from himalia_widgets.view.text import hover, label

MOST_WORKERS: Final = 100_000
"""Workers that may be asked for: a slip of the finger shouldn't fill a machine.  Kubernetes is made for up to
150,000 pods."""


def make_question(message: Mapping[str, object], history: History) -> Question[object]:
    """Return what to ask of the cluster for a page's message.

    Raises
    ------
    UsageError
        If the message makes no sense.
    """
    match message:
        case {"action": "scale", "workers": int(workers)} if 0 <= workers <= MOST_WORKERS:
            return lambda source: scale(source, workers)
        case {"action": "restart", "worker": str(worker)}:
            return lambda source: restart(source, worker)
        case {"action": "describe", "key": str(key), "group": str(group)}:
            # Plots shorten texts: what was clicked is looked up by how it is shown.
            name = find_key(key, history) or find_group(group, history) or key or group
            return lambda source: describe(source, name)
    raise UsageError(f"The page asked for something that can't be done: {str(dict(message))[:200]}.")


async def scale(source: Source, workers: int) -> None:
    """Have so many workers kept."""
    await source.scale(workers)


async def restart(source: Source, worker: str) -> None:
    """Replace one worker's process, and wait until it is back."""
    outcome = (await source.restart_workers([worker])).get(worker, "It isn't here any more.")
    # Told as a failure of the click: the scheduler answers for each worker by itself.
    if outcome != "OK":
        raise HimaliaError(outcome)


async def describe(source: Source, key: str) -> Plain:
    """Return what is known of a task, and why it is where it is."""
    found = await source.describe_task(key)
    is_known = found.status != "unknown"  # of a group, or a key that is gone, the sentence says it all
    facts = {name: value for name, value in plain_task(found).items() if name not in ("key", "why")}
    return {"key": found.key, "why": found.why, "facts": facts if is_known else {}}


def find_key(text: str, history: History) -> str:
    """Return the key that a plot shows as ``text``, which may be shortened; empty if it is none."""
    # First what runs: it isn't among the calls that ended, unless it runs again.
    running = (call.key for metrics in history.hosts.values() for call in metrics.running)
    return next((str(key) for key in chain(running, history.calls["key"][::-1]) if hover(key) == text), "")


def find_group(text: str, history: History) -> str:
    """Return the group that a plot shows as ``text``; empty if it is none."""
    return next((name for name, _ in history.groups if text in (name, hover(name), label(name, NAME))), "")


def explain_failure(error: BaseException) -> str:
    """The text to show for an action that failed."""
    return str(error) or type(error).__name__
