"""What py-spy says of a worker, cut to what the user's calls were doing.

Decides which threads count (those inside :meth:`himalia.worker.calls.Calls.perform`) and which of their frames are the
user's: those below the worker's own.  A stack is one string, see :class:`himalia.messages.client.GetProfile`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

FRAME: Final = re.compile(r"(?P<function>.*?) \((?P<file>.*?)(?::(?P<line>\d+))?\)")
"""A frame in py-spy's raw format; modules without source have no line."""
CALLER: Final = "himalia/worker/calls.py"
"""File of the frame that calls what a user submitted."""
RUNTIME: Final = "himalia/worker/"
"""Whose frames are left out above the user's."""
DEPTH: Final = 100
"""Innermost frames of a stack that are kept, so that a deep recursion doesn't fill the history."""
LIBRARY: Final = re.compile(r".*/(?:site-packages|dist-packages|lib/python3\.\d+)/")

Frame = tuple[str, str, int]
"""Function, file, line."""


def read_dump(text: str) -> Iterator[str]:
    """Yield the stack of each thread that executes a call, from ``py-spy dump --json``."""
    # py-spy lists the innermost frame first.
    for thread in json.loads(text):
        frames = [(frame["name"], frame["filename"], frame["line"]) for frame in reversed(thread["frames"])]
        stack = user_stack(frames)
        if stack:
            yield stack


def read_raw(text: str) -> Iterator[tuple[str, int]]:
    """Yield (stack, count) of the threads that executed calls, from ``py-spy record --format raw --threads``."""
    for line in text.splitlines():
        # From the right: names of functions and files may have spaces.
        described, _, count = line.rpartition(" ")
        # Without the first, which names the thread.
        matches = map(FRAME.fullmatch, described.split(";")[1:])
        frames = [(match["function"], match["file"], int(match["line"] or 0)) for match in matches if match]
        stack = user_stack(frames)
        if stack and count.isdigit():
            yield stack, int(count)


def user_stack(frames: Sequence[Frame]) -> str:
    """The user's part of a thread's frames (outermost first), or nothing if it executes no call."""
    for index, (_, file, _) in enumerate(frames):
        # The outermost one; a call that runs calls by itself is the user's doing.
        if file.endswith(CALLER):
            below: Iterable[Frame] = frames[index + 1 :]
            break
    else:
        return ""
    kept = list(below)
    # A recursion through our own frames further in (a call that pickles, say) is the user's doing and stays.
    while kept and RUNTIME in kept[0][1]:
        del kept[0]
    return ";".join(f"{function} ({shorten_path(file)}:{line})" for function, file, line in kept[-DEPTH:])


def shorten_path(path: str) -> str:
    """Return a source file's name as a person knows it.

    >>> shorten_path("/usr/lib/python3.12/site-packages/pandas/core/frame.py")
    'pandas/core/frame.py'
    >>> shorten_path("/home/ann/project/model/fit.py")
    'model/fit.py'
    >>> shorten_path("/tmp/ipykernel_4711/1234567890.py")
    'a notebook cell'
    """
    if "/ipykernel_" in path or path.startswith("<ipython-input"):
        return "a notebook cell"
    library = LIBRARY.match(path)
    if library:
        return path[library.end() :]
    return "/".join(path.rsplit("/", 2)[-2:])
