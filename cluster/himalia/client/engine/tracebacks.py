"""Tracebacks of another process, made here.

Frames of another process can't be brought here, but a traceback only needs, for each of them, a frame object that says
the same file, function and line; such frames are made by running a two-line function whose code object was given those
names.  The source lines are found by ``linecache``, which knows the cells of this notebook too.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from typing import Final

from himalia.messages.parts import Frame

REMOTE: Final = "__remote__"
"""Module name of frames that stand for those of a worker."""


def traceback_of(frames: Sequence[Frame]) -> types.TracebackType | None:
    """Return a traceback object with these lines, the outermost first."""
    trace: types.TracebackType | None = None
    # From the inside out: a traceback is made with the one that it leads to.
    for frame in reversed(frames):
        made = _frame(frame)
        trace = types.TracebackType(trace, made, made.f_lasti, frame.line)
    return trace


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
    # Never behind the line itself: the table below can't count backwards.
    first = max(1, min(frame.first, line))
    code = _template.replace(
        co_filename=frame.filename,
        co_name=frame.function.rpartition(".")[2],
        co_qualname=frame.function,
        co_firstlineno=first,
        co_linetable=_columnless_lines(len(_template.co_code) // 2, line - first),
    )
    # The stand-in looks sys up there.
    module: dict[str, object] = {"sys": sys, "__name__": REMOTE, "__file__": frame.filename}
    made: types.FrameType = types.FunctionType(code, module)()
    return made
