"""How an error that happened in a worker looks in the client: as itself, with the traceback it had there.

Decides what is raised for a record that has no result.  Frames of another process can't be brought here, but a
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
from himalia.client.state import CANCELLED, ERROR, LOST, Record
from himalia.errors import (
    CancelledError,
    ClosedError,
    DataLostError,
    KilledWorkerError,
    NoSuitableWorkerError,
    RemoteError,
)
from himalia.messages import Frame, TaskError
from himalia.names import Key, shorten

KINDS: Final[dict[str, Callable[[str, str], BaseException]]] = {
    "killed": KilledWorkerError,
    "lost": DataLostError,
    "refused": NoSuitableWorkerError,
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
    if error.kind != "exception":
        return KINDS.get(error.kind, RemoteError)(error.text, error.key)
    exception = _unpickle(error)
    exception.__traceback__ = traceback_of(error.frames)
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
    where = f" on {error.worker}" if error.worker else ""
    attempts = f", attempt {error.attempts}" if error.attempts > 1 else ""
    notes = [f"Raised by {shorten(error.key or key)}{where}{attempts}."]
    if error.key and error.key != key:
        notes.append(f"{shorten(key)} depends on it and was not run.")
    return notes


def describe(error: TaskError) -> str:
    """Return an error's text in one line."""
    return error.text.strip().splitlines()[-1] if error.text.strip() else error.kind


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


def _columnless_lines(code: types.CodeType) -> bytes:
    """Return a line table that puts all of ``code`` on its first line, without columns, so that nothing is underlined.

    The format is that of CPython's ``Objects/locations.md``: entries of up to 8 code units, kind 13 has a line only.
    """
    table = bytearray()
    units = len(code.co_code) // 2
    while units > 0:
        table += bytes((0x80 | (13 << 3) | (min(units, 8) - 1), 0))
        units -= 8
    return bytes(table)


_template = _stand_in.__code__.replace(co_linetable=_columnless_lines(_stand_in.__code__))


def _frame(frame: Frame) -> types.FrameType:
    """Return a frame object that says it is at that place."""
    code = _template.replace(
        co_filename=frame.filename,
        co_name=frame.function.rpartition(".")[2],
        co_qualname=frame.function,
        co_firstlineno=max(1, frame.line),
    )
    module: dict[str, Any] = {"sys": sys, "__name__": "__remote__", "__file__": frame.filename}
    made: types.FrameType = types.FunctionType(code, module)()
    return made
