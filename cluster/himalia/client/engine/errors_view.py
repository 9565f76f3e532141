"""How an error that happened in a worker looks in the client: as itself, with the traceback it had there.

Decides what is raised for a record that has no result, how many others it stands for, and that a traceback goes from
the user's line here straight to the user's lines there (``tracebacks.py``).
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Final

from himalia import exceptions
from himalia.client.engine.state import CANCELLED, ERROR, LOST, PENDING, Record
from himalia.client.engine.tracebacks import REMOTE, traceback_of
from himalia.errors import (
    CancelledError,
    ClosedError,
    DataLostError,
    HimaliaError,
    KilledWorkerError,
    NoSuitableWorkerError,
    RemoteError,
    StoreFullError,
)
from himalia.messages.parts import TaskError
from himalia.names import Key, shorten
from himalia.telemetry.errors import identify
from himalia.telemetry.group_names import group_name

RAISED_BY: Final = "Raised by "
"""How the note begins that every exception of a call gets."""

KINDS: Final[dict[str, Callable[[str, str], BaseException]]] = {
    "killed": KilledWorkerError,
    "lost": DataLostError,
    "refused": NoSuitableWorkerError,
    "full": lambda text, key: StoreFullError(text),
}


def error_of(record: Record, gone: str = "") -> BaseException:
    """Return what ``future.result()`` raises for a record that settled without a result; a new object each time.

    Parameters
    ----------
    record : Record
    gone : str
        Why there is no scheduler any more, if there is none.
    """
    if record.status is CANCELLED:
        reason = f": {record.reason}" if record.reason else ""
        return CancelledError(f"{shorten(record.key)} was cancelled{reason}.")
    assert record.status in (ERROR, LOST) and record.error is not None
    # What ended with the scheduler was given this very text (session.lose_scheduler); what was lost before has another.
    if gone and record.error.text == gone:
        return ClosedError(gone)
    return rebuild(record.error, record.key)


def rebuild(error: TaskError, key: Key) -> BaseException:
    """Return the exception of a failed call, with its remote traceback and notes on where it happened."""
    if error.kind == "exception":
        exception = _unpack(error)
        BaseException.with_traceback(exception, traceback_of(error.frames))  # its class may refuse the assignment
    else:
        # Raised by no call, but found out by the scheduler or a nanny: there is nothing to unpack.
        exception = KINDS.get(error.kind, RemoteError)(error.text, error.key)
    for note in notes_of(error, key):
        exceptions.add_note(exception, note)
    return exception


def notes_of(error: TaskError, key: Key) -> list[str]:
    """Return what the traceback of an error doesn't say: key, worker, attempts, and whose fault it was."""
    notes = []
    if error.kind == "exception":
        where = f" on {error.worker}" if error.worker else ""
        attempts = f", attempt {error.attempts}" if error.attempts > 1 else ""
        notes.append(f"{RAISED_BY}{shorten(error.key or key)}{where}{attempts}.")
    if error.key and error.key != key:
        notes.append(f"{shorten(key)} depends on it and was not run.")
    return notes


def note_on_others(failed: Record, records: Sequence[Record]) -> str:
    """Return how many of the records failed besides the one that is raised, and whether in the same way; or nothing."""
    # It was cancelled, which says nothing of the others.
    if failed.error is None:
        return ""
    cause = identify(failed.error, group_name(failed.key))
    same = other = pending = 0
    # A future that is given twice, or two futures of one key, are one call.
    distinct = {record.key: record for record in records}
    for record in distinct.values():
        if record.status is PENDING:
            pending += 1
        elif record.error is not None and record is not failed:
            if identify(record.error, group_name(record.key)) == cause:
                same += 1
            else:
                other += 1
    if same:
        ways = "in the same way" + (f", {other} in other ways" if other else "")
    elif other:
        ways = "in other ways"
    else:
        return ""
    rest = f"; {pending} have not ended yet" if pending else ""
    return f"And {same or other} more of {len(distinct)} calls failed {ways}{rest}."


class folded:  # reads as a modifier: `with folded(): …`
    """Context that leaves himalia's own frames out of the traceback of what a call raised, or himalia refuses.

    What has to be seen to be repaired, an error of another kind, keeps all its frames.  The frame of the ``with``
    itself isn't added either: Python notes a frame where an exception is raised, not where it is passed on.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        if error is None:
            return
        # Up to the first frame of the worker all is our own code, between the user's line here and those there.
        while trace is not None and trace.tb_frame.f_globals.get("__name__") != REMOTE:
            trace = trace.tb_next
        # No frame of a worker: unless its kind says that it is no bug of ours, all frames are kept to find it.
        if trace is not None or isinstance(error, HimaliaError | KeyboardInterrupt) or _is_rebuilt(error):
            BaseException.with_traceback(error, trace)


def _is_rebuilt(error: BaseException) -> bool:
    """Whether a call raised it, maybe without a frame of the user's."""
    notes = getattr(error, "__notes__", None)
    return isinstance(notes, list) and any(isinstance(note, str) and note.startswith(RAISED_BY) for note in notes)


def _unpack(error: TaskError) -> BaseException:
    if error.exception:
        try:
            return exceptions.unpack(error.exception, traceback_of)
        except Exception as failure:  # a fault of ours, or of another version of us
            return RemoteError(f"{error.text}\n(The exception can't be unpacked here: {failure!r})", error.key)
    return RemoteError(error.text, error.key)
