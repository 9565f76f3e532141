"""The numbers in the widget's header, taken from the history of a telemetry stream.  Pure."""

from __future__ import annotations

from typing import Any, Final

from himalia_widgets.view.history import History
from himalia_widgets.view.tables.summary import summarize

HOLDERS: Final = 3
"""Who maps most of the results, named in the header's tooltip."""


def describe_header(history: History) -> dict[str, Any]:
    """Return the numbers of the header; nothing before the scheduler has said who is there."""
    if not history.membership:
        return {}
    summary = summarize(history)
    return {
        "workers": summary.workers,
        "threads": summary.threads,
        "store": summary.store,
        "store_limit": summary.store_limit,
        "spilled": summary.spilled,
        "held": sum(nbytes for _, nbytes in summary.held),
        "holders": [[name, nbytes] for name, nbytes in summary.held[:HOLDERS]],
        "own_memory": summary.own_memory,
        "running": summary.running,
        "waiting": summary.waiting,
        "done": summary.done,
        "failed": summary.failed,
        "cancelled": summary.cancelled,
        # Rounded, since it is the difference of two clocks at each push: else the header would change every time.
        "started": round(history.now - summary.uptime, 1) if summary.uptime else 0.0,
    }
