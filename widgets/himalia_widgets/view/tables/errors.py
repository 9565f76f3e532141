"""Failed calls by cause: one row for each, however many calls it had."""

from __future__ import annotations

from dataclasses import dataclass

from himalia.messages.parts import Frame
from himalia_widgets.view.history import History


@dataclass(slots=True, frozen=True)
class ErrorRow:
    """One cause; texts are raw, and as long as they came."""

    id: str
    kind: str
    """``exception``, ``killed``, ``lost`` or ``refused``."""
    text: str
    function: str
    count: int
    key: str
    """Of the newest; as are ``worker``, ``attempts``, ``inputs`` and ``frames``."""
    worker: str
    attempts: int
    inputs: tuple[str, ...]
    frames: tuple[Frame, ...]
    """From the outermost user frame to where it was raised."""
    workers: tuple[str, ...]
    last: float
    """Epoch seconds of the newest."""


def error_rows(history: History) -> list[ErrorRow]:
    """Return all causes, the newest first."""
    rows = [
        ErrorRow(
            one.id, one.error.kind, one.error.text, one.group, one.count, one.error.key, one.error.worker,
            one.error.attempts, tuple(one.inputs), one.error.frames, tuple(one.workers), history.local(one.last),
        )
        for one in history.errors.values()
    ]  # fmt: skip
    return sorted(rows, key=lambda row: row.last, reverse=True)
