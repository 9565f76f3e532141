"""How an error that happened in a worker looks in the client: as itself, with the traceback it had there.

Decides what is raised for a record that has no result, how many others it stands for, and that a traceback goes from
the user's line here straight to the user's lines there.  Frames of another process can't be brought here, but a
traceback only needs, for each of them, a frame object that says the same file, function and line; such frames are
made by running a two-line function whose code object was given those names.  The source lines are found by
``linecache``, which knows the cells of this notebook too.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Sequence
from typing import Any, Final

from himalia import serialize
from himalia.client.grouping import group_name
from himalia.client.state import CANCELLED, ERROR, LOST, PENDING, Record
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
from himalia.messages import Frame, TaskError
from himalia.names import Key, shorten
from himalia.telemetry.errors import identify

REMOTE: Final = "__remote__"
"""Module name of frames that stand for those of a worker."""
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
    if record.status == CANCELLED:
        reason = f": {record.reason}" if record.reason else ""
        return CancelledError(f"{shorten(record.key)} was cancelled{reason}.")
    assert record.status in (ERROR, LOST) and record.error is not None
    if gone and record.error.text == gone:
        return ClosedError(gone)
    return rebuild(record.error, record.key)


def rebuild(error: TaskError, key: Key) -> BaseException:
    """Return the exception of a failed call, with its remote traceback and notes on where it happened."""
    if error.kind == "exception":
        exception = _unpickle(error)
        exception.__traceback__ = traceback_of(error.frames)
    else:
        exception = KINDS.get(error.kind, RemoteError)(error.text, error.key)
    for note in notes_of(error, key):
        exception.add_note(note)
    return exception


def traceback_of(frames: Sequence[Frame]) -> types.TracebackType | None:
    """Return a traceback object with these lines, the outermost first."""
    trace: types.TracebackType | None = None
    for frame in reversed(frames):
        made = _frame(frame)
        trace = types.TracebackType(trace, made, made.f_lasti, frame.line)
    return trace


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
    if failed.error is None:
        return ""
    cause = identify(failed.error, group_name(failed.key))
    same = other = pending = 0
    distinct = {record.key: record for record in records}
    for record in distinct.values():
        if record.status == PENDING:
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
        while trace is not None and trace.tb_frame.f_globals.get("__name__") != REMOTE:
            trace = trace.tb_next
        if trace is not None or isinstance(error, HimaliaError | KeyboardInterrupt) or _is_rebuilt(error):
            error.__traceback__ = trace


def _is_rebuilt(error: BaseException) -> bool:
    """Return whether a call raised it, maybe without a frame of the user's."""
    return any(isinstance(note, str) and note.startswith(RAISED_BY) for note in getattr(error, "__notes__", ()))


def _unpickle(error: TaskError) -> BaseException:
    if error.exception:
        try:
            exception = serialize.loads_packed(error.exception)
        except Exception as failure:  # whatever the user's class does when it is unpickled
            return RemoteError(f"{error.text}\n(The exception can't be unpickled here: {failure!r})", error.key)
        if isinstance(exception, BaseException):
            return exception
    return RemoteError(error.text, error.key)


def _stand_in() -> types.FrameType:
    return sys._getframe()


def _columnless_lines(units: int, line: int) -> bytes:
    """Return a line table that puts all code on one line, without columns, so that nothing is underlined.

    The format is that of CPython's ``Objects/locations.md``: entries of up to 8 code units, kind 13 has a line only,
    which is told as a signed difference (here never negative) in groups of six bits.

    Parameters
    ----------
    units : int
        Length of the code.
    line : int
        Counted from the first line of the function, which is 0.
    """
    table = bytearray()
    while units > 0:
        table.append(0x80 | (13 << 3) | (min(units, 8) - 1))
        difference = line << 1
        while difference >= 64:
            table.append(64 | (difference & 63))
            difference >>= 6
        table.append(difference)
        units -= 8
        line = 0
    return bytes(table)


_template = _stand_in.__code__


def _frame(frame: Frame) -> types.FrameType:
    """Return a frame object that says it is at that place."""
    line = max(1, frame.line)
    first = max(1, min(frame.first, line))
    code = _template.replace(
        co_filename=frame.filename,
        co_name=frame.function.rpartition(".")[2],
        co_qualname=frame.function,
        co_firstlineno=first,
        co_linetable=_columnless_lines(len(_template.co_code) // 2, line - first),
    )
    module: dict[str, Any] = {"sys": sys, "__name__": REMOTE, "__file__": frame.filename}
    made: types.FrameType = types.FunctionType(code, module)()
    return made
