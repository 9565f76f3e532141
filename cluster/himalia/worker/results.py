"""How a call ended: its value as it is stored, or in words that fit into a message: its type, an error with its frames.

What describes may not fail, whatever a user's classes do when they are pickled, printed or asked for their name.
"""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Any, Final

import msgspec

from himalia import exceptions, serialize
from himalia.messages.parts import Frame, TaskError
from himalia.names import Key
from himalia.wellformed import LABEL_LIMIT, text_of

TEXT_LIMIT: Final = 8 * 1024
"""Characters of an error's text."""
FRAMES: Final = 60
"""Frames of a traceback: the outermost third and the innermost two thirds of what is more."""
PATH_LIMIT: Final = 300
"""Characters of the name of a file or function in a traceback: a file's name has 255 at most on Linux, and the longest
path in an environment with NumPy, pandas and Bokeh 103 (counted)."""
CAUSES: Final = 3
"""Causes of an error that its text tells."""
ANSWER_LIMIT: Final = 100 * 1024
"""Bytes of an error, so that its answer stays a datagram (``messages.worker.DATAGRAM_LIMIT``)."""
TYPES: Final = 1000
"""Type names remembered."""

PACKAGE: Final = os.path.dirname(serialize.__file__) + os.sep
OWN_FILES: Final = (
    f"{PACKAGE}worker{os.sep}",
    serialize.__file__,
    f"{PACKAGE}callables.py",
    f"{PACKAGE}surroundings.py",
    f"{PACKAGE}client{os.sep}packing{os.sep}remote.py",
)
"""Files whose frames are of no interest to a user."""

_type_names: dict[type, str] = {type(None): "NoneType"}


def in_one_piece(value: Any) -> Any:
    """Return a copy of an array that is a part of a larger one with gaps, and anything else as it is.

    pickle copies such an array twice, and whoever reads it a third time: it is no buffer for it, but a text in the
    pickle.  With slices as those of ``map_overlap`` a computation took half as long again.

    Raises
    ------
    MemoryError
        If there is no room for the copy, as when it is pickled.
    """
    numpy: Any = sys.modules.get("numpy")
    # The very class: a subclass may be more than its array.
    if numpy is None or type(value) is not numpy.ndarray or value.flags.forc or value.dtype.hasobject:
        return value
    return value.copy()


def type_name(value: object) -> str:
    """The name of a value's type: ``numpy.ndarray``, ``int``."""
    kind = type(value)
    name = _type_names.get(kind)
    if name is None:
        module, name = kind.__module__, kind.__qualname__
        name = text_of(name if module == "builtins" else f"{module}.{name}", LABEL_LIMIT)
        # A dict of classes keeps them alive, and a call may make a new one each time.
        if len(_type_names) >= TYPES:
            _type_names.clear()
        _type_names[kind] = name
    return name


def describe(error: BaseException, key: Key, worker: str, before: str = "") -> TaskError:
    """Return a task error for what was raised.

    Parameters
    ----------
    error : BaseException
        With its traceback.
    before : str
        What failed, if it wasn't the call itself.
    """
    text = (before + explain(error))[:TEXT_LIMIT]
    frames = user_frames(error.__traceback__)
    if before:
        # So that it is there as well where the exception is raised again.
        exceptions.add_note(error, before.strip())
    described = TaskError("exception", key, text, exceptions.pack(error, user_frames), frames, worker)
    if len(msgspec.msgpack.encode(described)) > ANSWER_LIMIT:  # names of 60 files in letters of four bytes
        described = TaskError("exception", key, text, described.exception, frames[-1:], worker)
    return described


def explain(error: BaseException, causes: int = CAUSES) -> str:
    """Return ``ValueError: …``, and what caused it."""
    text = text_of(error, TEXT_LIMIT)
    notes = getattr(error, "__notes__", None)
    # Anybody may have put something else there.
    if isinstance(notes, list):
        text = "\n".join([text, *[text_of(note, TEXT_LIMIT) for note in notes if isinstance(note, str)]])
    name = text_of(type(error).__name__, LABEL_LIMIT)
    line = f"{name}: {text}" if text else name
    # As Python prints it: ``raise … from None`` hides the context.
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and causes:
        line += f"\ncaused by {explain(cause, causes - 1)}"
    return line[:TEXT_LIMIT]


def user_frames(trace: TracebackType | None) -> tuple[Frame, ...]:
    """A traceback's frames without the runtime's own."""
    frames = []
    while trace is not None:
        code = trace.tb_frame.f_code
        # Not by module: a user's function that was pickled by value has whatever globals it was given.
        if not code.co_filename.startswith(OWN_FILES):
            file, function = text_of(code.co_filename, PATH_LIMIT), text_of(code.co_qualname, PATH_LIMIT)
            frames.append(Frame(file, max(0, trace.tb_lineno or 0), function, max(0, code.co_firstlineno)))
        trace = trace.tb_next
    if len(frames) > FRAMES:
        # Where it began and where it failed; a recursion between the two repeats itself.
        del frames[FRAMES // 3 : len(frames) - FRAMES * 2 // 3]
    return tuple(frames)
