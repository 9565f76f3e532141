"""What the Scale tab shows: how many workers were asked for, how many are there, and why the others aren't.

Pure: takes what is known of the cluster, and returns plain builtins.
"""

from __future__ import annotations

from typing import Final, TypedDict

from himalia.messages.telemetry import ClusterEvent
from himalia_widgets.view.history import History

KINDS: Final = {
    "worker-died": "died", "worker-started": "started", "worker-stopped": "stopped",
    "host-joined": "joined", "host-left": "left",
}  # fmt: skip
"""Events that change how many workers there are, and what is said of them."""
SHOWN: Final = 12
"""Events listed, the newest first."""


class Scaling(TypedDict):
    """The content of the tab."""

    can: bool
    reason: str
    """Why not; empty if it can."""
    requested: int
    arrived: int
    threads: int
    """Of each worker."""
    memory: int
    """Limit of each worker, bytes; 0: unlimited."""
    missing: list[str]
    """Why some aren't there."""
    events: list[list[float | str]]
    """Epoch seconds and what happened, the newest first."""


def describe_scaling(history: History, *, expected: int | None, obstacle: str) -> Scaling:
    """Return the content of the tab.

    Parameters
    ----------
    expected : int or None
        Workers asked for; None: as many as are there.
    obstacle : str
        What its source says against scaling it; empty: nothing.
    """
    workers = list(history.info.workers.values())
    events = [event for event in history.events if event.kind in KINDS][-SHOWN:]
    return {
        "can": not obstacle,
        "reason": obstacle,
        "requested": len(workers) if expected is None else expected,
        "arrived": len(workers),
        # Only a single host can be scaled, and its workers are alike.
        "threads": workers[0].nthreads if workers else 0,
        "memory": workers[0].memory_limit if workers else 0,
        "missing": why_missing(history, len(workers), expected),
        "events": [[history.local(event.time), tell(event)] for event in reversed(events)],
    }


def tell(event: ClusterEvent) -> str:
    """Say what happened to a worker or a host.

    >>> tell(ClusterEvent(0, 0.0, "worker-started", "moons-1", "process 4711, 2 threads"))
    'moons-1 started: process 4711, 2 threads'
    """
    return f"{event.subject} {KINDS[event.kind]}{f': {event.text}' if event.text else '.'}"


def why_missing(history: History, arrived: int, expected: int | None) -> list[str]:
    """Say what is known about workers that were asked for and aren't there."""
    lacking = (expected or 0) - arrived
    # Before the first answer nobody is missing: it isn't known who is there.
    if lacking <= 0 or not history.membership:
        return []
    if not history.info.hosts:
        return ["The host that would run them has left, or hasn't arrived yet."]
    deaths = [event for event in history.events if event.kind == "worker-died"][-lacking:]
    texts = [tell(event) for event in deaths]
    starting = lacking - len(texts)
    if texts:
        texts.append("Its nanny starts another one for each that died.")
    if starting:
        texts.append(f"{starting} {'is' if starting == 1 else 'are'} still starting.")
    return texts
