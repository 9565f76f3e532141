"""The objects that a worker keeps of what it made or read, so that the next call need not read them again.

Decides what is kept, and for how long: what was used last, up to a number of bytes; until the nanny says that the
result is gone; nothing when the process is too large.  The store has all of it: what is dropped here is read again.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable

from himalia.worker.sharing import NONE, OWN, freeze


class LiveObjects:
    """Values by the number that their store gave them (``Place.number``); any thread.

    Parameters
    ----------
    limit : int
        Bytes of values to keep, as they are packed; 0: none.
    least : int
        Bytes of the smallest that is kept.
    """

    def __init__(self, limit: int, least: int) -> None:
        self._limit = limit
        self._least = least
        self._lock = threading.Lock()
        self._frozen: dict[int, tuple[object, int]] = {}
        """With its bytes; the one that was used last comes last."""
        self._nbytes = 0
        lone = object()
        self._lone = self._count_again(lone)

    def is_worth_it(self, nbytes: int) -> bool:
        """Whether a value of so many bytes would be kept."""
        return self._least <= nbytes <= self._limit // 4  # one that takes all would push out whatever else is used

    def keep(self, number: int, value: object, nbytes: int, *, is_own: bool = False) -> None:
        """Keep a value if it can be shared; an array in it is read-only from now on.

        To be called with a local variable of the caller.  ``is_own`` says that the value was just read, so that nothing
        else has any of its memory; else that is found out.
        """
        # Compared with the same count of an object that nobody else has; in a line of its own, since arguments count.
        references = self._count(value) - self._lone
        try:
            frozen = freeze(value, OWN if is_own else references)
        except Exception:  # of whatever library, or a list in a list in a list: the value itself is right
            return
        if frozen is NONE:
            return
        with self._lock:
            self._drop(number)
            self._frozen[number] = (frozen, nbytes)
            self._nbytes += nbytes
            while self._nbytes > self._limit:
                self._drop(next(iter(self._frozen)))

    def find(self, number: int) -> object:
        """Return a value as it is kept, which a call gets by :func:`sharing.give`; :data:`NONE` if it isn't here."""
        with self._lock:
            found = self._frozen.pop(number, None)
            if found is None:
                return NONE
            self._frozen[number] = found
            return found[0]

    def forget(self, numbers: Iterable[int]) -> None:
        """Drop values of results that are gone."""
        with self._lock:
            for number in numbers:
                self._drop(number)

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._frozen.clear()
            self._nbytes = 0

    def _drop(self, number: int) -> None:
        found = self._frozen.pop(number, None)
        if found is not None:
            self._nbytes -= found[1]

    def _count_again(self, value: object) -> int:
        # As keep() does, for an object that one local variable of the caller refers to.
        return self._count(value)

    def _count(self, value: object) -> int:
        return sys.getrefcount(value)
