"""A call as a recording knows it: what telemetry told of it, put into the words of an answer."""

from __future__ import annotations

from himalia.messages.answers import ErrorView, TaskView
from himalia.names import Key
from himalia_widgets.view.history import History


def describe(history: History, key: str) -> TaskView:
    """Return what is known of a call."""
    calls = history.calls
    found = calls.of_key(key)
    if not found:
        why = "No call of that key had ended by then, or it is older than what the recording keeps at this moment."
        return TaskView(Key(key), why=why)
    # The newest: a task that was computed again is where it ended last.
    row = {name: column[found[-1]] for name, column in calls.columns.items()}
    worker = calls.lanes[int(row["lane"])].worker
    times = ", ".join(
        f"{float(row[part]) * 1000:.3g} ms {word}"
        for part, word in (
            ("transfer", "to fetch inputs"),
            ("deserialize", "to read them"),
            ("compute", "to run"),
            ("serialize", "to write the result"),
        )
        if row[part] > 0
    )
    outcome = "failed" if row["failed"] else "finished"
    return TaskView(
        key=Key(key),
        group=calls.groups[int(row["group"])],
        status=outcome,
        why=f"It {outcome} on {worker}: {times or 'at once'}.",
        worker=worker,
        tries=len(found),
        nbytes=int(row["nbytes"]),
        error=error_of(history, key),
    )


def error_of(history: History, key: str) -> ErrorView | None:
    """Return how a call failed, if it is the one that its cause is told with."""
    for summary in history.errors.values():
        error = summary.error
        if error.key == key:
            return ErrorView(error.key, error.kind, error.text, error.worker, error.attempts)
    return None
