"""The last line of a terminal, which a bar of progress writes again and again, and the lines that come between.

A bar ends without a line break, so that what is written next stands behind it.  Who writes lines while a bar may stand
there does it here: the bar is taken away before, and drawn again below.  What a bar looks like, and when it changes,
is decided elsewhere.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_lock = threading.RLock()
"""For one writer at a time.  Again by the same thread: what a stream does when it is written to isn't ours."""
_standing: tuple[TextIO, str] | None = None
"""The line that stands there, without a line break, and in what."""


@contextmanager
def rewriting(out: TextIO) -> Iterator[None]:
    """Let :func:`rewrite` write; what stands there in the end, or when something goes wrong, is ended as a line."""
    global _standing
    try:
        yield
    finally:
        with _lock:
            if _standing is not None and _standing[0] is out:
                _standing = None
                out.write("\n")
                out.flush()


def rewrite(out: TextIO, text: str) -> None:
    """Write ``text`` in the place of what stands there, and leave the line open."""
    global _standing
    with _lock:
        before = _standing[1] if _standing is not None and _standing[0] is out else ""
        first, *others = text.split("\n")
        _standing = out, others[-1] if others else first
        # Blanks where the line was longer before.
        out.write("\r" + "\n".join([first.ljust(len(before)), *others]))
        out.flush()


def write_lines(stream: TextIO, lines: list[str]) -> None:
    """Write whole lines to a stream, above the bar if one stands in the same place."""
    with _lock:
        standing = _standing if _standing is not None and is_same_place(_standing[0], stream) else None
        if standing is not None:
            # By blanks: a page or a file that it may be has no escape sequences.
            standing[0].write("\r" + " " * len(standing[1]) + "\r")
            standing[0].flush()
        print("\n".join(lines), file=stream, flush=True)
        if standing is not None:
            standing[0].write(standing[1])
            standing[0].flush()


def is_same_place(one: TextIO, other: TextIO) -> bool:
    """Whether what is written to both streams comes to the same terminal, file or pipe."""
    if one is other:
        return True
    try:
        return os.path.sameopenfile(one.fileno(), other.fileno())
    # A stream of Python's own has no descriptor, and somebody's object may lack the method.
    except (OSError, ValueError, AttributeError):
        return False
