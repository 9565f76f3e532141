"""The scheduler's bounded memory of failed calls, by cause: four hundred calls that fail at one line are one entry.

The same cause is the same kind of failure and the same class of exception raised at the same line, or, for what killed
its worker, the same group.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b
from itertools import islice
from typing import Final

import msgspec

from himalia.messages.parts import TaskError
from himalia.messages.telemetry import ErrorSummary
from himalia.names import Key

CAUSES: Final = 200
"""Causes that are kept; the one that was seen longest ago goes first."""
EXAMPLES: Final = 10
"""Workers and inputs that are named for a cause."""


class ErrorTable:
    """Failed calls by cause; ``version`` rises with every one."""

    def __init__(self) -> None:
        self.version = 0
        self._causes: OrderedDict[str, tuple[int, ErrorSummary]] = OrderedDict()
        """Cause by its id, with the version of its last change; the oldest change first."""

    def add(self, error: TaskError, group: str, inputs: Iterable[Key], now: float) -> None:
        """Count one failed call; ``now`` in seconds of the scheduler's clock."""
        self.version += 1
        cause = identify(error, group)
        # Out and in again: the order of the dict is that of the last change.
        known = self._causes.pop(cause, None)
        workers = known[1].workers if known is not None else ()
        # Not a set: a few are kept, in the order in which they were seen.
        if error.worker and error.worker not in workers and len(workers) < EXAMPLES:
            workers = (*workers, error.worker)
        newest = msgspec.structs.replace(error, exception=b"")  # what is shown needs no pickle
        count = known[1].count + 1 if known is not None else 1
        first = tuple(islice(inputs, EXAMPLES))
        self._causes[cause] = (self.version, ErrorSummary(cause, newest, group, count, first, workers, now))
        # A program that generates code has a new line for each call.
        while len(self._causes) > CAUSES:
            self._causes.popitem(last=False)

    def since(self, version: int) -> list[ErrorSummary]:
        """Return the causes that changed after that version."""
        # Nearly always: followers ask at each push, and errors are rare.
        if version >= self.version:
            return []
        return [summary for changed, summary in self._causes.values() if changed > version]


def headline(error: TaskError) -> str:
    """Return the first line of an error's text, which names the exception; its causes come after that."""
    # A text may begin with empty lines: an exception's own is a user's.
    return next((line for line in map(str.strip, error.text.splitlines()) if line), error.kind)


def identify(error: TaskError, group: str) -> str:
    """Return what errors of the same cause share: a digest."""
    if error.frames:
        # The innermost: where it was raised, whoever called.
        frame = error.frames[-1]
        # The class only: texts name keys, numbers and addresses, which differ from call to call.
        facts = [error.kind, frame.filename, str(frame.line), frame.function, headline(error).partition(":")[0]]
    else:
        # No frames: nothing of the call is known but what it is a call of.
        facts = [error.kind, group]
    # Eight bytes: 200 of them don't collide.  "replace", since a file's name may be no UTF-8.
    return blake2b("\0".join(facts).encode(errors="replace"), digest_size=8).hexdigest()
