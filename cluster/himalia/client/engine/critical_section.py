"""A few lines that ctrl-C doesn't end in their middle, in a thread of the user's.

An interrupt raises between any two lines of the main thread.  Most of what user threads do here bears that; what may
not be left half done is put into this block.  Which calls ctrl-C in a cell cancels is decided elsewhere:
``client/interrupted_cell.py`` tells the scheduler the cell, ``scheduler/cancelling.py`` finds its calls.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType


class CriticalSection:
    """Puts off what SIGINT does until the block is over.

    For a block of microseconds, and not to be nested; costs two system calls in the main thread, nothing in others.
    """

    __slots__ = ("_frame", "_handler", "_number")

    def __enter__(self) -> None:
        self._number = 0
        self._frame: FrameType | None = None
        self._handler: Callable[[int, FrameType | None], object] | None = None
        # Python runs handlers of signals in this thread only, and lets no other set them.
        if threading.get_ident() == threading.main_thread().ident:
            handler = signal.getsignal(signal.SIGINT)
            # Others ignore the signal, or end the process.
            if callable(handler):
                self._handler = handler
                signal.signal(signal.SIGINT, self._note)

    def __exit__(self, *raised: object) -> None:
        handler = self._handler
        if handler is not None:
            # First: the handler mostly raises, and must not leave ours in place.
            signal.signal(signal.SIGINT, handler)
            if self._number:
                handler(self._number, self._frame)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._number, self._frame = number, frame
